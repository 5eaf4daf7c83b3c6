// The messages of a queue by state: found, looked at, answered, moved, removed.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { curl, get, post, query as queryOf, queuePath, settled, topicPath } from "../api.js";
import { brief, count, parseSpan, plural } from "../format.js";
import { MessageFacts, preview } from "../message.js";
import { Dialog, Empty, Failed, Icon, Loading, Search, Select, SpanField, State, Terminal, Text, Time, confirmLoss, toast, useBusy, useLoad } from "../parts.js";
import { changeQuery, mayOperate } from "../state.js";
import { PlainTable } from "../table.js";
import { EditDead } from "./edit-dead.js";

const STATES = ["ready", "in_flight", "delayed", "dead"];
const PAGE = 100;
/** Pages looked through at once for a filter that finds little. */
const LOOKS = 20;

const COLUMNS = [
  { key: "check", label: html`<span class="hidden">Chosen</span>`, class: "w-check" },
  { key: "seq", label: "No.", class: "right" },
  { key: "body", label: "Body", class: "mono clip most" },
  { key: "when", label: "Published", class: "" },
  { key: "attempts", label: "Tries", class: "right" },
];

/** What an address says to look for, in the words of the API. A filter is text, or `name=value`, or `/pointer=value`. */
export function lookFor(query) {
  const text = query.get("find") ?? "";
  const asked = {};
  if (text.startsWith("/") && text.includes("=")) asked.json = text;
  else if (/^[\w.-]+=/.test(text)) asked.attribute = text;
  else if (text) asked.text = text;
  const older = parseSpan(query.get("older") ?? "");
  const newer = parseSpan(query.get("newer") ?? "");
  return { ...asked, older_than_ms: older, newer_than_ms: newer };
}

/** A page of a list, going on until something is found or all was looked at. */
async function page(path, asked, signal) {
  let after = asked.after;
  let scanned = 0;
  for (let look = 0; ; look += 1) {
    const told = await get(`${path}${queryOf({ ...asked, after })}`, { signal });
    scanned += told.scanned ?? 0;
    if (told.messages.length > 0 || !told.next || look >= LOOKS) return { ...told, scanned };
    after = told.next;
  }
}

/** Where chosen messages go, or how long they wait: asked in a dialog. */
function Ask({ title, action, fields, onDone, onClose, curlOf }) {
  const [values, set] = useState(Object.fromEntries(fields.map(field => [field.key, field.value ?? ""])));
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const wrong = fields.some(field => field.span && parseSpan(values[field.key]) === undefined);
  const done = () =>
    run(async () => {
      try {
        if ((await onDone(values)) !== false) onClose();
      } catch (problem) {
        setError(problem);
      }
    });
  const foot = html`<button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || wrong}>${action}</button>`;
  return html`<${Dialog} title=${title} onClose=${onClose} onSubmit=${done} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message} <code>${error.code}</code></div>`}
    ${fields.map((field, at) => {
      const part = field.span ? SpanField : field.options ? Select : Text;
      return html`<${part} key=${field.key} label=${field.label} hint=${field.hint} options=${field.options} value=${values[field.key]} onChange=${value => set({ ...values, [field.key]: value })} autofocus=${at === 0} />`;
    })}
    ${curlOf && html`<${Terminal} text=${curlOf(values)} />`}
  <//>`;
}

/** What can be done with messages of one state. */
function Actions({ topic, queue, state, ids, after, only }) {
  const [asking, askFor] = useState("");
  const [busy, run] = useBusy();
  const path = queuePath(topic, queue);
  const many = plural(ids.length, "message");
  const act = (work, said, gone) =>
    run(async () => {
      const result = await work();
      toast(typeof said === "function" ? said(result) : said);
      after(gone);
    });
  const remove = () =>
    run(async () => {
      const lost = html`<b>${many}</b> of <span class="name">${topic}/${queue}</span> will be gone for good.`;
      if (!(await confirmLoss({ title: `Delete ${many}?`, lost, messages: ids.length, name: topic, action: `Delete ${many}`, curl: curl("POST", `${path}/delete`, { ids }) }))) return;
      settled(await post(`${path}/delete`, { ids }));
      toast(`${many} deleted`);
      after(true);
    });
  const answer = (verb, body, said) => act(async () => settled(await post(`${topicPath(topic)}/${verb}`, { ids, queue, ...body })), said, verb === "ack");
  const buttons = {
    ready: [["Delay …", () => askFor("delay")], ["Move …", () => askFor("move")]],
    delayed: [["Ready now", () => act(async () => settled(await post(`${path}/delay`, { ids, delay_ms: 0 })), `${many} ready now`)], ["Delay …", () => askFor("delay")]],
    in_flight: [
      ["Ack", () => answer("ack", {}, `${many} acked`)],
      ["Nack", () => askFor("nack")],
      ["Give more time", () => askFor("extend")],
    ],
    dead: [
      ["Redrive", () => act(() => post(`${path}/redrive`, { ids }), ({ redriven }) => `${plural(redriven, "dead letter")} redriven`)],
      ...(only ? [["Edit and redrive …", () => askFor("edit")]] : []),
    ],
  }[state];
  const close = () => askFor("");
  const dialogs = {
    delay: () => html`<${Ask} title=${`Delay ${many}`} action="Delay" onClose=${close} fields=${[{ key: "delay", label: "For how long, from now", span: true, value: "1m" }]} onDone=${async ({ delay }) => {
      const ms = parseSpan(delay);
      if (ms === undefined) return false;
      settled(await post(`${path}/delay`, { ids, delay_ms: ms }));
      toast(`${many} delayed`);
      return after();
    }} curlOf=${({ delay }) => curl("POST", `${path}/delay`, { ids, delay_ms: parseSpan(delay) ?? 0 })} />`,
    move: () => html`<${Ask} title=${`Move ${many}`} action="Move" onClose=${close} fields=${[{ key: "topic", label: "To topic", value: topic }, { key: "queue", label: "Queue", value: "default" }]} onDone=${async to => {
      const { moved } = await post(`${path}/move`, { ids, to });
      toast(`${plural(moved, "message")} moved to ${to.topic}/${to.queue}`);
      return after(true);
    }} curlOf=${to => curl("POST", `${path}/move`, { ids, to })} />`,
    nack: () => html`<${Ask} title=${`Nack ${many}`} action="Nack" onClose=${close} fields=${[{ key: "mode", label: "How", options: [["fail", "failed: counts, waits its backoff"], ["release", "give back: counts not"], ["dead", "give up: a dead letter now"]], value: "fail" }, { key: "error", label: "Why (kept with the message)" }]} onDone=${async ({ mode, error }) => {
      const why = mode !== "release" && error ? { error } : {};
      settled(await post(`${topicPath(topic)}/nack`, { ids, queue, mode, ...why }));
      toast(`${many} given back`);
      return after();
    }} />`,
    extend: () => html`<${Ask} title=${`More time for ${many}`} action="Extend" onClose=${close} fields=${[{ key: "more", label: "From now", span: true, value: "5m" }]} onDone=${async ({ more }) => {
      const ms = parseSpan(more);
      if (!ms) return false;
      settled(await post(`${topicPath(topic)}/extend`, { ids, queue, ack_deadline_ms: ms }));
      toast(`${many} may take longer`);
      return after();
    }} />`,
    edit: () => html`<${EditDead} topic=${topic} queue=${queue} message=${only} onClose=${close} onDone=${() => {
      close();
      after(true);
    }} />`,
  };
  return html`<span class="row">${buttons.map(([name, does]) => html`<button class="small" disabled=${busy} onClick=${does}>${name}</button>`)}<button class="small danger" disabled=${busy} onClick=${remove}>Delete …</button>${asking && dialogs[asking]()}</span>`;
}

/** One message beside the list. */
export function Detail({ topic, queue, id, onClose, onGone }) {
  const path = `${queuePath(topic, queue)}/messages/${encodeURIComponent(id)}`;
  const { value, error, again } = useLoad(signal => get(path, { signal }), [path]);
  return html`<section class="card detail" aria-label=${`Message ${id}`}>
    <div class="detail-head"><span class="name" title=${id}>${id}</span><span class="grow"></span><button class="small quiet square" aria-label="Close the message" onClick=${onClose}><${Icon} of="close" /></button></div>
    <div class="detail-body">${error ? html`<${Failed} error=${error} again=${again} />` : !value ? html`<${Loading} />` : html`
      ${mayOperate() && html`<${Actions} topic=${topic} queue=${queue} state=${value.state} ids=${[id]} only=${value} after=${gone => {
        // What is gone from here has nothing more to show.
        if (gone) onClose();
        else again();
        onGone();
      }} />`}
      <${MessageFacts} message=${value} />
      <${Terminal} text=${curl("GET", path)} />`}</div>
  </section>`;
}

export function Messages({ name, data, route }) {
  const { query } = route;
  const names = Object.keys(data.queues);
  const queue = query.get("queue") ?? (names.includes("default") || names.length === 0 ? "default" : names[0]);
  const state = STATES.includes(query.get("state")) ? query.get("state") : "ready";
  const chosen = query.get("message");
  const asked = lookFor(query);
  const path = `${queuePath(name, queue)}/messages`;
  const key = JSON.stringify([path, state, asked]);
  const [picked, pick] = useState(() => new Set());
  const [more, setMore] = useState({ key, pages: [] });
  const { value, error, loading, again } = useLoad(signal => page(path, { state, limit: PAGE, ...asked }, signal), [key]);
  const [busy, run] = useBusy();
  const operates = mayOperate();
  useEffect(() => {
    pick(new Set());
    setMore({ key, pages: [] });
  }, [key]);
  const pages = value ? [value, ...(more.key === key ? more.pages : [])] : [];
  const messages = pages.flatMap(one => one.messages);
  const next = pages.at(-1)?.next;
  const counts = data.queues[queue]?.counts ?? {};
  const reload = () => {
    pick(new Set());
    setMore({ key, pages: [] });
    again();
  };
  const flip = id => {
    const changed = new Set(picked);
    if (!changed.delete(id)) changed.add(id);
    pick(changed);
  };
  const rows = messages.map(message => ({
    key: message.id,
    selected: message.id === chosen,
    cells: [
      operates && html`<input type="checkbox" aria-label=${`Choose message ${message.seq}`} checked=${picked.has(message.id)} onChange=${() => flip(message.id)} />`,
      html`<a data-first class="num" href="#" onClick=${event => {
        event.preventDefault();
        changeQuery({ message: message.id });
      }}>${message.seq}</a>`,
      preview(message),
      html`<${Time} at=${message.published_at_ms} />`,
      message.attempts,
    ],
  }));
  const all = messages.length > 0 && messages.every(message => picked.has(message.id));
  const columns = operates ? [{ ...COLUMNS[0], label: html`<input type="checkbox" aria-label="Choose all that are shown" checked=${all} onChange=${() => pick(all ? new Set() : new Set(messages.map(message => message.id)))} />` }, ...COLUMNS.slice(1)] : COLUMNS;
  const filtered = Object.values(asked).some(one => one !== undefined);
  return html`
    <div class="toolbar">
      ${names.length > 1 && html`<${Select} bare label="Queue" value=${queue} options=${names} onChange=${to => changeQuery({ queue: to, message: "" })} />`}
      <div class="choice" role="group" aria-label="State">${STATES.map(one => html`<button type="button" aria-pressed=${one === state} onClick=${() => changeQuery({ state: one === "ready" ? "" : one, message: "" })}><${State} of=${one} /> <span class="num">${brief(counts[one])}</span></button>`)}</div>
      <${Search} label="Filter messages" placeholder="text, name=value or /json/pointer=value" value=${query.get("find") ?? ""} onChange=${find => changeQuery({ find, message: "" })} />
      <${Select} bare label="Age" value=${query.get("older") ? `o${query.get("older")}` : query.get("newer") ? `n${query.get("newer")}` : ""} options=${[["", "any age"], ["n5m", "last 5 min"], ["n1h", "last hour"], ["n1d", "last day"], ["o5m", "older than 5 min"], ["o1h", "older than 1 h"], ["o1d", "older than 1 d"]]} onChange=${age => changeQuery({ older: age.startsWith("o") ? age.slice(1) : "", newer: age.startsWith("n") ? age.slice(1) : "" })} />
      <button onClick=${reload} disabled=${loading}>Refresh</button>
    </div>
    ${picked.size > 0 && html`<div class="toolbar"><div class="bulk" role="group" aria-label="What was chosen"><b>${plural(picked.size, "message")}</b><${Actions} topic=${name} queue=${queue} state=${state} ids=${[...picked]} after=${reload} /></div></div>`}
    ${error && html`<${Failed} error=${error} again=${again} />`}
    <div class=${`split ${chosen ? "open" : ""}`}>
      <div class="stack">
        ${!value && !error ? html`<${Loading} what="messages" />` : html`<${PlainTable} label="Messages" columns=${columns} rows=${rows} empty=${html`<div class="card"><${Empty} title=${filtered ? "Nothing like that" : `Nothing is ${state.replace("_", " ")} here`}>${filtered && value ? `${plural(value.scanned, "message")} looked at` : ""}<//></div>`} />`}
        ${next && html`<div class="row"><button disabled=${busy} onClick=${() => run(async () => {
          const told = await page(path, { state, limit: PAGE, ...asked, after: next });
          setMore({ key, pages: [...pages.slice(1), told] });
        })}>${busy ? "Loading …" : "Show more"}</button><span class="dim">${plural(messages.length, "message")} shown of ${count(counts[state])}</span></div>`}
      </div>
      ${chosen && html`<${Detail} key=${chosen} topic=${name} queue=${queue} id=${chosen} onClose=${() => changeQuery({ message: "" })} onGone=${reload} />`}
    </div>`;
}
