// The settings of a topic and of its queues: what they are, and changed one by one.

import { html, useState } from "../vendor/htm-preact.js";
import { ask, curl, queuePath, topicPath } from "../api.js";
import { bytes, count, parseSpan, plural, span, words } from "../format.js";
import { Check, Dialog, Empty, Select, Terminal, Text, confirmLoss, toast, useBusy } from "../parts.js";
import { changeQuery, mayOperate } from "../state.js";

const CHOICES = { durability: ["memory", "async", "sync"], overflow: ["refuse", "drop_oldest"], returns: ["place", "front", "back"] };
/** Set by the broker, not by people. */
const FIXED = new Set(["changed_at"]);
/** Given even where they have no value now. */
const TOPIC_EXTRA = { mask_payloads: false };
const QUEUE_EXTRA = { dead_letter: null, filter: null, global: false };

const HINTS = {
  capacity: "0: no limit",
  bytes_max: "0: no limit",
  messages_max: "0: no limit",
  dead_max: "0: no limit; the oldest goes first",
  ttl_ms: "0: for ever",
  retention_ms: "0: for ever",
  history_ms: "0: for ever",
  max_deliveries: "0: never a dead letter",
  backoff_ms: "the wait after each failure; the last one repeats",
  dead_letter: 'for example {"topic": "t", "queue": "q"}; null: they stay',
  filter: 'for example {"shop": ["north"]}; null: every message',
  mask_payloads: "bodies are shown to administrators and the owner only",
};

const isSpan = key => key.endsWith("_ms");

/** A value as it is typed. */
function typed(key, value) {
  if (Array.isArray(value) && isSpan(key)) return value.map(one => brief(one)).join(", ");
  if (typeof value === "number" && isSpan(key)) return brief(value);
  if (value !== null && typeof value === "object") return JSON.stringify(value);
  return value === null || value === undefined ? "null" : String(value);
}

/** 30000 as "30s": what parseSpan takes back. */
function brief(ms) {
  for (const [size, unit] of [[86_400_000, "d"], [3_600_000, "h"], [60_000, "m"], [1000, "s"]]) {
    if (ms && ms % size === 0) return `${ms / size}${unit}`;
  }
  return ms ? `${ms}ms` : "0";
}

/** What was typed as a value; throws what is wrong. */
function read(key, text, was) {
  if (Array.isArray(was) && isSpan(key)) {
    const parts = text.split(",").map(one => one.trim()).filter(Boolean);
    const spans = parts.map(parseSpan);
    if (spans.includes(undefined)) throw new Error("spans like 1s, 10s, 1m");
    return spans;
  }
  if (typeof was === "number") {
    const value = isSpan(key) ? parseSpan(text) : /^\d+$/.test(text.trim()) ? Number(text) : undefined;
    if (value === undefined) throw new Error(isSpan(key) ? "a span like 30s, 5m, 1h" : "a number");
    return value;
  }
  try {
    return JSON.parse(text.trim() || "null");
  } catch {
    throw new Error("JSON, or null");
  }
}

/** The order in which people look for them; others follow. */
const ORDER = ["durability", "ack_deadline_ms", "max_deliveries", "backoff_ms", "delay_ms", "returns", "dead_letter", "dead_max", "filter", "retention_ms", "ttl_ms", "capacity", "messages_max", "bytes_max", "overflow", "dedup_window_ms", "dedup_keys_max", "history_messages", "history_bytes", "history_ms"];
const rank = key => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);

/** A form of a policy: `{changes, wrong}` goes to `onChange`. */
function Policy({ policy, changes, onChange, disabled }) {
  const set = (key, value) => {
    const next = { ...changes, [key]: value };
    if (value === typed(key, policy[key]) || value === policy[key]) delete next[key];
    onChange(next);
  };
  return html`<div class="fields">${Object.keys(policy).filter(key => !FIXED.has(key)).sort((a, b) => rank(a) - rank(b)).map(key => {
    const value = policy[key];
    const name = words(key.replace(/_ms$/, ""));
    const at = changes[key];
    if (typeof value === "boolean") return html`<${Check} key=${key} label=${name} hint=${HINTS[key]} checked=${at ?? value} disabled=${disabled} onChange=${next => set(key, next)} />`;
    if (CHOICES[key]) return html`<${Select} key=${key} label=${name} hint=${HINTS[key]} value=${at ?? value} options=${CHOICES[key].map(one => [one, words(one)])} disabled=${disabled} onChange=${next => set(key, next)} />`;
    const text = at ?? typed(key, value);
    let hint = HINTS[key];
    let wrong = false;
    try {
      const parsed = read(key, text, value);
      if (typeof parsed === "number" && parsed > 0) hint = isSpan(key) ? `= ${span(parsed)}` : key.includes("bytes") ? `= ${bytes(parsed)}` : hint;
    } catch (error) {
      wrong = true;
      hint = `This takes ${error.message}`;
    }
    return html`<${Text} key=${key} label=${name} hint=${hint} value=${text} disabled=${disabled} aria-invalid=${wrong} onChange=${next => set(key, next)} />`;
  })}</div>`;
}

/** What changed, in the API's words; throws what is wrong. */
const changed = (policy, changes) => Object.fromEntries(Object.entries(changes).map(([key, value]) => [key, typeof value === "boolean" || CHOICES[key] ? value : read(key, value, policy[key])]));

function Editor({ title, policy, path, wrap }) {
  const [changes, setChanges] = useState({});
  const [busy, run] = useBusy();
  const operates = mayOperate();
  const dirty = Object.keys(changes).length > 0;
  let body = null;
  try {
    body = wrap(changed(policy, changes));
  } catch {
    // The field says what is wrong.
  }
  const save = event => {
    event.preventDefault();
    run(async () => {
      await ask("PATCH", path, body);
      toast("Settings changed");
      setChanges({});
    });
  };
  return html`<form class="card" onSubmit=${save} aria-label=${title}><h2>${title}</h2>
    <div class="card-body stack"><${Policy} policy=${policy} changes=${changes} onChange=${setChanges} disabled=${!operates} />
    ${dirty && html`<div class="row"><button class="primary" disabled=${busy || !body}>Change ${plural(Object.keys(changes).length, "setting")}</button><button type="button" onClick=${() => setChanges({})}>Undo</button></div>${body && html`<${Terminal} text=${curl("PATCH", path, body)} />`}`}</div>
  </form>`;
}

export function Settings({ name, data, route }) {
  const operates = mayOperate();
  const [busy, run] = useBusy();
  const names = Object.keys(data.queues);
  const chosen = [route.query.get("queue"), "default", names[0]].find(one => names.includes(one));
  const queue = data.queues[chosen];
  const remove = () =>
    run(async () => {
      const { ready, in_flight: flight, delayed, dead } = queue.counts;
      const messages = ready + flight + delayed + dead;
      const lost = html`The queue with <b>${plural(messages, "message")}</b> (${count(ready)} ready, ${count(flight)} in flight, ${count(delayed)} delayed, ${count(dead)} dead) will be gone for good.`;
      const path = queuePath(name, chosen);
      if (!(await confirmLoss({ title: `Delete ${name}/${chosen}?`, lost, messages, name: chosen, action: "Delete the queue", curl: curl("DELETE", path) }))) return;
      await ask("DELETE", path);
      toast(`${chosen} is deleted`);
      changeQuery({ queue: "" });
    });
  return html`<div class="stack">
    ${!operates && html`<div class="notice">You may look at these, not change them.</div>`}
    <${Editor} title="Topic" key=${name} policy=${data.policy ? { ...TOPIC_EXTRA, ...data.policy } : {}} path=${topicPath(name)} wrap=${policy => ({ policy })} />
    ${data.kind === "broker" && (names.length === 0 ? html`<div class="card"><${Empty} title="No queue" /></div>` : html`
      <div class="toolbar"><${Select} bare label="Queue" value=${chosen} options=${names.map(one => [one, `queue ${one}`])} onChange=${to => changeQuery({ queue: to })} /><span class="grow"></span>${operates && html`<button class="danger" disabled=${busy} onClick=${remove}>Delete this queue …</button>`}</div>
      ${queue?.policy && html`<${Editor} key=${`${name}/${chosen}`} title=${`Queue ${chosen}`} policy=${{ ...QUEUE_EXTRA, ...queue.policy }} path=${queuePath(name, chosen)} wrap=${fields => fields} />`}`)}
  </div>`;
}

export function NewQueue({ topic, onClose }) {
  const [name, setName] = useState("");
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const path = queuePath(topic, name || "NAME");
  const make = () =>
    run(async () => {
      try {
        await ask("PUT", path, {});
        toast(`Queue ${name} made`);
        onClose();
      } catch (problem) {
        setError(problem);
      }
    });
  const foot = html`<button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || !name}>Make the queue</button>`;
  return html`<${Dialog} title=${`New queue of ${topic}`} onClose=${onClose} onSubmit=${make} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message}</div>`}
    <${Text} label="Name" value=${name} onChange=${setName} autofocus=${true} hint="It gets what is published from now on; settings can be changed later" />
    <${Terminal} text=${curl("PUT", path, {})} />
  <//>`;
}
