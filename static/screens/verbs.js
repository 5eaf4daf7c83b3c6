// The verbs of the console: those of the command line, as requests of the API.

import { ask, enc, post, query, queuePath, topicPath } from "../api.js";
import { confirmLoss } from "../parts.js";
import { html } from "../vendor/htm-preact.js";
import { plural } from "../format.js";

/** Splits a line as a shell does: spaces part, quotes keep together. */
export function split(line) {
  const words = [];
  for (const [, single, double, bare] of line.matchAll(/'([^']*)'|"((?:\\.|[^"\\])*)"|(\S+)/g)) words.push(single ?? double?.replace(/\\(.)/g, "$1") ?? bare);
  return words;
}

/** A queue; `default` when none is named. */
const place = (topic, queue) => queuePath(topic, queue ?? "default");

const need = (value, what) => {
  if (value === undefined) throw new Error(`${what} is missing`);
  return value;
};

/** Asks first; throws when the answer is no. */
async function sure(title, lost, messages, name, action) {
  if (!(await confirmLoss({ title, lost, messages, name, action }))) throw new Error("not done");
}

const all = counts => counts.ready + counts.in_flight + counts.delayed + counts.dead;

/** Verb, its arguments, what it does, and the work. */
export const VERBS = [
  ["stat", "[TOPIC]", "figures of the broker, or of a topic", topic => ask("GET", topic ? `${topicPath(topic)}/stats` : "/stats")],
  ["topic ls", "[PREFIX]", "topics", prefix => ask("GET", `/topics${query({ prefix, limit: 1000 })}`).then(({ topics, next }) => [...topics.map(topic => `${topic.name}  ${topic.kind}  ready ${topic.queues.reduce((sum, queue) => sum + queue.ready, 0)}  dead ${topic.queues.reduce((sum, queue) => sum + queue.dead, 0)}`), ...(next ? ["… and more: give a prefix"] : [])].join("\n") || "none")],
  ["topic new", "NAME [broker|pubsub]", "makes a topic", (name, kind = "broker") => post("/topics", { name: need(name, "NAME"), kind })],
  ["topic info", "NAME", "a topic with its settings", name => ask("GET", topicPath(need(name, "NAME")))],
  ["topic pause", "NAME", "refuses publishes", name => post(`${topicPath(need(name, "NAME"))}/pause`)],
  ["topic resume", "NAME", "takes publishes again", name => post(`${topicPath(need(name, "NAME"))}/resume`)],
  ["topic rm", "NAME", "deletes a topic with its messages", async name => {
    const topic = await ask("GET", topicPath(need(name, "NAME")));
    const lost = topic.queues.reduce((sum, queue) => sum + all(queue), 0);
    await sure(`Delete ${name}?`, html`The topic with <b>${plural(lost, "message")}</b> will be gone for good.`, lost, name, "Delete the topic");
    return ask("DELETE", topicPath(name));
  }],
  ["queue ls", "TOPIC", "its queues", topic => ask("GET", `${topicPath(need(topic, "TOPIC"))}/queues`)],
  ["queue new", "TOPIC NAME", "makes a queue", (topic, name) => ask("PUT", place(need(topic, "TOPIC"), need(name, "NAME")), {})],
  ["queue info", "TOPIC [QUEUE]", "settings, counts, waiting times", (topic, queue) => ask("GET", place(need(topic, "TOPIC"), queue))],
  ["queue pause", "TOPIC [QUEUE]", "takes and hands out nothing", (topic, queue) => post(`${place(need(topic, "TOPIC"), queue)}/pause`)],
  ["queue resume", "TOPIC [QUEUE]", "goes on", (topic, queue) => post(`${place(need(topic, "TOPIC"), queue)}/resume`)],
  ["queue purge", "TOPIC [QUEUE]", "removes what waits", async (topic, queue) => {
    const path = place(need(topic, "TOPIC"), queue);
    const { ready, delayed } = await ask("GET", path);
    await sure(`Purge ${topic}/${queue ?? "default"}?`, html`<b>${plural(ready + delayed, "message")}</b> will be gone for good.`, ready + delayed, queue ?? topic, "Purge");
    return post(`${path}/purge`);
  }],
  ["queue rm", "TOPIC QUEUE", "deletes a queue with its messages", async (topic, queue) => {
    const path = place(need(topic, "TOPIC"), need(queue, "QUEUE"));
    const lost = all(await ask("GET", path));
    await sure(`Delete ${topic}/${queue}?`, html`The queue with <b>${plural(lost, "message")}</b> will be gone for good.`, lost, queue, "Delete the queue");
    return ask("DELETE", path);
  }],
  ["put", "TOPIC BODY", "publishes one message", (topic, ...body) => post(`${topicPath(need(topic, "TOPIC"))}/messages`, { body: need(body.length ? body.join(" ") : undefined, "BODY") })],
  ["peek", "TOPIC [QUEUE]", "the next messages, taking none", (topic, queue) => ask("GET", `${place(need(topic, "TOPIC"), queue)}/peek?max=5`)],
  ["explain", "TOPIC ID [QUEUE]", "a message and its life", (topic, id, queue) => ask("GET", `${place(need(topic, "TOPIC"), queue)}/messages/${enc(need(id, "ID"))}`)],
  ["dead ls", "[TOPIC]", "dead letters", topic => ask("GET", `/dead${query({ topic, limit: 20 })}`)],
  ["dead redrive", "TOPIC [QUEUE]", "all of them back to work", (topic, queue) => post(`${place(need(topic, "TOPIC"), queue)}/redrive`)],
  ["dead status", "TOPIC [QUEUE]", "how far a redrive is", (topic, queue) => ask("GET", `${place(need(topic, "TOPIC"), queue)}/redrive`)],
  ["connection ls", "", "who is connected", () => ask("GET", "/connections?limit=100")],
  ["connection close", "ID", "closes one", id => ask("DELETE", `/connections/${enc(need(id, "ID"))}`)],
  ["definitions export", "", "all topics and queues as JSON", () => ask("GET", "/definitions")],
  ["user ls", "", "users", () => ask("GET", "/users")],
  ["token ls", "", "bearer tokens, without their secrets", () => ask("GET", "/tokens")],
  ["backup", "NAME", "keeps a copy of the store in its folder backups", name => ask("POST", `/backup${query({ keep: need(name, "NAME") })}`)],
  ["config show", "", "the configuration in force", () => ask("GET", "/config")],
  ["health", "", "does the broker serve?", async () => {
    const answer = await fetch("/readyz", { cache: "no-store" });
    return `${answer.status} ${await answer.text()}`;
  }],
];

/** Runs a line: a verb, or `GET /v1/...` and the like with a JSON body behind it. */
export async function run(line) {
  const raw = line.match(/^(GET|POST|PUT|PATCH|DELETE)\s+(\/\S*)\s*(.*)$/s);
  if (raw) {
    const [, method, path, body] = raw;
    return ask(method, path.replace(/^\/v1(?=\/|$)/, ""), body ? JSON.parse(body) : undefined);
  }
  const words = split(line);
  for (const length of [2, 1]) {
    const verb = VERBS.find(([name]) => name === words.slice(0, length).join(" "));
    if (verb) return verb[3](...words.slice(length));
  }
  throw new Error("no such verb; `help` lists them");
}
