// The page /docs: shows what /openapi.json says. No dependencies; nothing is loaded from elsewhere, and
// text of the document becomes text of the page, never markup.

const base = location.origin;
/** How deep the fields of a schema are shown; deeper ones stand under their own name. */
const DEPTH = 4;

/** @param {string} name @param {Record<string, string>} [attributes] @param {...(Node|string)} content */
function make(name, attributes, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

/** Text in which `this` is code. @param {string} text */
function prose(text) {
  return text.split("`").map((part, at) => (at % 2 === 1 ? make("code", {}, part) : part));
}

/** Text with paragraphs. @param {string} text */
function paragraphs(text) {
  return text.split(/\n\s*\n/).map(part => make("p", {}, ...prose(part.replace(/\s+/g, " "))));
}

/** @param {string} text @param {HTMLElement} [into] */
function example(text, into = make("pre")) {
  const copy = make("button", { type: "button", class: "copy" }, "copy");
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "copied";
    } catch {
      copy.textContent = "not allowed";
    }
    setTimeout(() => (copy.textContent = "copy"), 1500);
  });
  into.replaceChildren(make("code", {}, text), copy);
  return into;
}

function start() {
  const show = (id, text) => example(text, document.getElementById(id));
  show("start-curl", `curl ${base}/v1/topics/default/messages -d '{"body": "hello"}'
curl -X POST '${base}/v1/topics/default/receive?wait_ms=1000'
curl ${base}/v1/topics/default/ack -d '{"receipt": "THE RECEIPT OF THE ANSWER"}'`);
  show("start-socket", `const { Octoq } = await import("${base}/ui/octoq.js");
const octoq = new Octoq();
octoq.subscribe("pubsub", message => console.log("pushed", message.seq, message.body));
octoq.consume("default", async delivery => console.log("work", delivery.body)); // acked when it returns
await octoq.publish("pubsub", "hello page");`);
  show("start-events", `new EventSource("${base}/v1/topics/pubsub/events")
  .addEventListener("message", event => console.log(JSON.parse(event.data)));`);
  show("start-cli", `octoq --url ${base} put default 'hello'
octoq --url ${base} get default --wait 5s
octoq --url ${base} tail pubsub`);
}

/** Where a reference leads, with its name. */
function resolve(api, schema) {
  let name;
  while (schema && schema.$ref) {
    const parts = schema.$ref.split("/").slice(1);
    name = parts.at(-1);
    schema = parts.reduce((at, part) => at?.[part], api);
  }
  return { schema: schema ?? {}, name };
}

/** A type in few words. */
function kind(api, given) {
  const { schema, name } = resolve(api, given);
  const types = [schema.type ?? []].flat();
  const mayBeNull = types.includes("null");
  const rest = types.filter(type => type !== "null");
  let text;
  if (schema.enum) text = schema.enum.map(value => JSON.stringify(value)).join(" | ");
  else if (name) text = name;
  else if (schema.oneOf || schema.anyOf) {
    text = (schema.oneOf ?? schema.anyOf).map(one => kind(api, one)).join(" | ");
  } else if (schema.allOf) text = schema.allOf.map(one => kind(api, one)).join(" & ");
  else if (rest[0] === "array") text = `list of ${kind(api, schema.items ?? {})}`;
  else if (rest[0] === "object") {
    const values = schema.additionalProperties;
    text = values && values !== true ? `object of ${kind(api, values)}` : "object";
  } else text = rest.join(" | ") || "any JSON";
  return mayBeNull ? `${text} | null` : text;
}

/** Bounds and the like, in words. */
function bounds(schema) {
  const said = [];
  if (schema.minimum !== undefined && schema.minimum !== 0) said.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined) said.push(`at most ${schema.maximum}`);
  if (schema.minLength) said.push(`at least ${schema.minLength} characters`);
  if (schema.maxLength) said.push(`at most ${schema.maxLength} characters`);
  if (schema.maxItems) said.push(`at most ${schema.maxItems}`);
  if (schema.pattern) said.push(`like ${schema.pattern}`);
  if (schema.default !== undefined && schema.default !== null) {
    said.push(`default ${JSON.stringify(schema.default)}`);
  }
  return said.join(", ");
}

/** All fields of a schema, also those that its parts bring. */
function fieldsOf(api, given) {
  const { schema } = resolve(api, given);
  const fields = Object.entries(schema.properties ?? {});
  const must = new Set(schema.required ?? []);
  for (const part of schema.allOf ?? []) {
    const more = fieldsOf(api, part);
    fields.push(...more.fields);
    more.must.forEach(name => must.add(name));
  }
  // One of several: each of their fields may be there.
  for (const part of schema.properties ? [] : schema.oneOf ?? schema.anyOf ?? []) {
    const known = new Set(fields.map(([name]) => name));
    fields.push(...fieldsOf(api, part).fields.filter(([name]) => !known.has(name)));
  }
  return { fields, must };
}

/** What is inside a list or an object of things. */
function inner(api, given) {
  const { schema } = resolve(api, given);
  if (schema.items) return inner(api, schema.items);
  const maybe = (schema.oneOf ?? schema.anyOf ?? []).filter(one => one.type !== "null");
  if (!schema.properties && maybe.length === 1) return inner(api, maybe[0]);
  return given;
}

function rows(api, given, depth, seen) {
  const { fields, must } = fieldsOf(api, inner(api, given));
  return fields.flatMap(([name, field]) => {
    const { schema } = resolve(api, field);
    const label = make("td", { class: `field deep${depth}` }, make("code", {}, name));
    if (must.has(name)) label.append(" ", make("span", { class: "must" }, "required"));
    const text = field.description ?? schema.description ?? "";
    const more = bounds(schema);
    const row = make("tr", {}, label, make("td", { class: "soft" }, kind(api, field)),
      make("td", {}, ...prose(text.replace(/\s+/g, " ")), ...(more ? [" ", make("span", { class: "soft" }, `(${more})`)] : [])));
    const within = inner(api, field);
    const known = within.$ref ?? "";
    if (depth >= DEPTH || (known && seen.includes(known))) return [row];
    return [row, ...rows(api, within, depth + 1, known ? [...seen, known] : seen)];
  });
}

function table(head, body) {
  return make("div", { class: "table" }, make("table", {},
    make("thead", {}, make("tr", {}, ...head.map(text => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...body)));
}

function schemaTable(api, schema) {
  const body = rows(api, schema, 0, schema.$ref ? [schema.$ref] : []);
  return body.length ? [table(["Field", "Type", ""], body)] : [];
}

/** A body as an example: the one that is given, else none. */
function bodyOf(operation) {
  const content = operation.requestBody?.content ?? {};
  const found = Object.entries(content).find(([, media]) => media.example !== undefined);
  if (!found) return undefined;
  const [type, { example: body }] = found;
  return { type, text: typeof body === "string" ? body : JSON.stringify(body) };
}

/** The operation as a command. */
function curl(path, method, operation) {
  const parameters = operation.parameters ?? [];
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => {
    const known = parameters.find(one => one.in === "path" && one.name === name);
    return known?.example ?? known?.schema?.example ?? name.toUpperCase();
  });
  const body = bodyOf(operation);
  const parts = ["curl"];
  if (method === "get" && operation.responses["101"]) {
    return `new WebSocket("${base.replace(/^http/, "ws")}${filled}")`;
  }
  if (operation.responses["200"]?.content?.["text/event-stream"]) parts.push("-N");
  if (method !== "get" && !(method === "post" && body)) parts.push("-X", method.toUpperCase());
  parts.push(`${base}${filled}`);
  if (body) parts.push("-d", `'${body.text.replaceAll("'", `'\\''`)}'`);
  return parts.join(" ");
}

function operationDetails(api, path, method, operation) {
  const body = make("div");
  if (operation.description) body.append(...paragraphs(operation.description));
  body.append(example(curl(path, method, operation)));
  const parameters = operation.parameters ?? [];
  if (parameters.length) {
    const line = one => make("tr", {},
      make("td", {}, make("code", {}, one.name), " ", ...(one.required ? [make("span", { class: "must" }, "required")] : [])),
      make("td", { class: "soft" }, `${one.in}, ${kind(api, one.schema ?? {})}`),
      make("td", {}, ...prose((one.description ?? "").replace(/\s+/g, " ")), " ", make("span", { class: "soft" }, bounds(resolve(api, one.schema).schema))));
    body.append(make("h4", {}, "Parameters"), table(["Name", "Type", ""], parameters.map(line)));
  }
  for (const [type, media] of Object.entries(operation.requestBody?.content ?? {})) {
    body.append(make("h4", {}, `Body: ${type}`));
    if (media.schema) body.append(make("p", { class: "soft" }, kind(api, media.schema)), ...schemaTable(api, media.schema));
  }
  for (const [status, given] of Object.entries(operation.responses)) {
    const { schema: answer } = resolve(api, given);
    if (/XX$/.test(status)) continue;
    body.append(make("h4", {}, `Answer ${status}`), make("p", {}, ...prose(answer.description ?? "")));
    for (const [type, media] of Object.entries(answer.content ?? {})) {
      body.append(make("p", { class: "soft" }, `${type}: ${media.schema ? kind(api, media.schema) : "any"}`), ...(media.schema ? schemaTable(api, media.schema) : []));
    }
  }
  body.append(make("p", { class: "soft" }, "Refusals are ", make("a", { href: "#problems" }, "problems"), "."));
  return body;
}

function operationBlock(api, path, method, operation) {
  const details = make("details", { class: "operation", id: operation.operationId });
  details.append(make("summary", {},
    make("span", { class: `method ${method}` }, method.toUpperCase()),
    make("span", { class: "path" }, path),
    make("span", { class: "title" }, operation.summary ?? "")));
  // Filled when it is opened: the page is there at once.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(operationDetails(api, path, method, operation));
  });
  details.dataset.text = `${method} ${path} ${operation.summary} ${operation.operationId} ${JSON.stringify(operation)}`.toLowerCase();
  return details;
}

function problems(api) {
  const schema = api.components.schemas.Problem;
  const statuses = schema.properties.code["x-statuses"];
  const line = ([code, of]) => make("tr", {}, make("td", {}, make("code", {}, code)), make("td", {}, of.join(", ")));
  const byStatus = Object.entries(statuses).sort(([, a], [, b]) => a[0] - b[0]);
  return make("section", { id: "problems" }, make("h2", {}, "Problems"),
    ...paragraphs("A refusal is `application/problem+json`: `{\"status\", \"code\", \"title\", \"detail\"}`. Programs decide by `code`, which stays; `detail` is for people."),
    table(["Code", "Status"], byStatus.map(line)));
}

/** Opens what the address names. */
function reveal() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) named.open = true;
  named?.scrollIntoView();
}

function filter(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("#operations > section")) {
    const blocks = [...section.querySelectorAll("details.operation")];
    for (const block of blocks) {
      block.hidden = !words.every(word => block.dataset.text.includes(word));
      const link = document.querySelector(`nav a[href="#${CSS.escape(block.id)}"]`);
      if (link) link.parentElement.hidden = block.hidden;
    }
    section.hidden = blocks.length > 0 && blocks.every(block => block.hidden);
  }
  document.getElementById("start").hidden = words.length > 0;
}

async function main() {
  start();
  const state = document.getElementById("state");
  let api;
  try {
    const answer = await fetch("/openapi.json");
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    api = await answer.json();
  } catch (error) {
    state.textContent = `/openapi.json cannot be read: ${error.message}`;
    return;
  }
  document.getElementById("version").textContent = api.info.version;
  const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })));
  const list = (...items) => make("ul", {}, ...items.map(([id, text]) => make("li", {}, make("a", { href: `#${id}` }, text))));
  const contents = [list(["start", "How to start"], ["problems", "Problems"])];
  const sections = api.tags.map(({ name, description }) => {
    const own = operations.filter(({ operation }) => operation.tags?.includes(name));
    contents.push(make("h2", {}, name), list(...own.map(({ operation }) => [operation.operationId, operation.summary ?? operation.operationId])));
    return make("section", { id: `tag-${name}` }, make("h2", {}, name), make("p", { class: "soft" }, description ?? ""),
      ...own.map(({ path, method, operation }) => operationBlock(api, path, method, operation)));
  });
  document.getElementById("contents").replaceChildren(...contents);
  document.getElementById("operations").replaceChildren(...sections, problems(api));
  state.textContent = `${operations.length} operations.`;
  const find = document.getElementById("filter");
  find.addEventListener("input", () => filter(find.value));
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
  document.documentElement.dataset.ready = "true";
}

main();
