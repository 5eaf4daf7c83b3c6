// A form to publish.

import { html, useState } from "../vendor/htm-preact.js";
import { curl, post, queuePath, topicPath } from "../api.js";
import { count, parseSpan, plural } from "../format.js";
import { Check, Select, SpanField, Terminal, Text, toast, useBusy } from "../parts.js";
import { changeQuery } from "../state.js";
import { parseAttributes } from "./edit-dead.js";

/** Most messages of one click, and of one request. */
const MANY_MAX = 10_000;
const BATCH = 500;

export function Publish({ name, data, route }) {
  const [body, setBody] = useState("");
  const [form, setForm] = useState("body");
  const [attributes, setAttributes] = useState("");
  const [delay, setDelay] = useState("");
  const [ttl, setTtl] = useState("");
  const [id, setId] = useState("");
  const [key, setKey] = useState("");
  const [dedup, setDedup] = useState("");
  const [priority, setPriority] = useState("");
  const [front, setFront] = useState(false);
  const [many, setMany] = useState("1");
  const [error, setError] = useState(null);
  const [last, setLast] = useState(null);
  const [busy, run] = useBusy();
  const queues = Object.keys(data.queues);
  const queue = route.query.get("queue") ?? "";
  const pubsub = data.kind === "pubsub";
  const parsed = parseAttributes(attributes);
  const times = Math.min(MANY_MAX, Math.max(1, Math.floor(Number(many)) || 1));
  let json;
  let wrong = "";
  if (form === "json") {
    try {
      json = JSON.parse(body);
    } catch (problem) {
      wrong = body ? problem.message : "";
    }
  }
  // JSON goes as it was typed: reading it would round large numbers.
  const message = { [form === "json" ? "body" : form]: body };
  if (parsed && Object.keys(parsed).length) message.attributes = parsed;
  if (parseSpan(delay)) message.delay_ms = parseSpan(delay);
  if (parseSpan(ttl)) message.ttl_ms = parseSpan(ttl);
  if (id) message.id = id;
  if (key) message.ordering_key = key;
  if (dedup) message.dedup_key = dedup;
  const badSpan = text => text.trim() !== "" && parseSpan(text) === undefined;
  const badPriority = priority.trim() !== "" && !/^\d$/.test(priority.trim());
  if (priority.trim() && !badPriority) message.priority = Number(priority);
  if (front) message.front = true;
  const path = queue ? `${queuePath(name, queue)}/messages` : `${topicPath(name)}/messages`;
  const bad = !parsed || (form === "json" && json === undefined) || badSpan(delay) || badSpan(ttl) || badPriority;
  const publish = event => {
    event.preventDefault();
    run(async () => {
      setError(null);
      try {
        let placed;
        let sent = 0;
        if (times === 1) placed = await post(path, message);
        while (times > 1 && sent < times) {
          const batch = Array.from({ length: Math.min(BATCH, times - sent) }, () => message);
          const { results } = await post(path, batch);
          for (const result of results) if (result.problem) throw Object.assign(new Error(result.problem.detail), { code: result.problem.code });
          sent += batch.length;
          placed = results.at(-1);
        }
        setLast({ ...placed, times });
        toast(times === 1 ? `Published as no. ${count(placed.seq)}` : `${plural(times, "message")} published`);
      } catch (problem) {
        setError(problem);
      }
    });
  };
  return html`<div class="columns">
    <form class="card card-body stack" onSubmit=${publish} aria-label="Publish">
      ${error && html`<div class="notice bad" role="alert">${error.message} <code>${error.code}</code></div>`}
      <div class="fields">
        ${!pubsub && html`<${Select} label="To" value=${queue} onChange=${to => changeQuery({ queue: to })} options=${[["", "the topic: every queue that takes it"], ...queues.map(one => [one, `only queue ${one}`])]} />`}
        <${Select} label="Body is" value=${form} onChange=${setForm} options=${[["body", "text"], ["json", "JSON"], ["base64", "bytes, as base64"]]} />
      </div>
      <${Text} label="Body" area rows="10" name="body" value=${body} onChange=${setBody} aria-invalid=${Boolean(wrong)} hint=${wrong || undefined} />
      <${Text} label="Attributes" area class="short" rows="3" name="attributes" value=${attributes} onChange=${setAttributes} placeholder=${'{"shop": "north"}'} aria-invalid=${!parsed} hint=${parsed ? undefined : "A JSON object is needed"} />
      <details><summary>More: delay, time to live, keys, priority</summary>
        <div class="fields card-body">
          ${!pubsub && html`<${SpanField} label="Delay" value=${delay} onChange=${setDelay} />`}
          <${SpanField} label="Time to live" value=${ttl} onChange=${setTtl} />
          <${Text} label="Id of your own" value=${id} onChange=${setId} />
          <${Text} label="Dedup key" value=${dedup} onChange=${setDedup} />
          ${!pubsub && html`<${Text} label="Ordering key" value=${key} onChange=${setKey} /><${Text} label="Priority, 0 to 9" value=${priority} onChange=${setPriority} inputmode="numeric" aria-invalid=${badPriority} hint=${badPriority ? "A digit" : undefined} /><${Check} label="To the front" checked=${front} onChange=${setFront} />`}
          <${Text} label="How many of it" value=${many} onChange=${setMany} inputmode="numeric" hint=${`at most ${count(MANY_MAX)}`} />
        </div>
      </details>
      <div class="row"><button class="primary" name="publish" disabled=${busy || bad}>${busy ? "Publishing …" : times > 1 ? `Publish ${plural(times, "message")}` : "Publish"}</button></div>
      <${Terminal} text=${curl("POST", path, message)} />
    </form>
    <section class="card card-body stack" aria-label="Last published"><h2>Last published here</h2>
      ${last ? html`<dl class="facts"><dt>Id</dt><dd class="mono">${last.id}</dd><dt>Number</dt><dd class="num">${count(last.seq)}</dd><dt>Confirmed at</dt><dd>${last.durability}</dd>${last.duplicate && html`<dt>Duplicate</dt><dd>it was there already, by its dedup key</dd>`}${last.times > 1 && html`<dt>Messages</dt><dd>${count(last.times)}</dd>`}</dl>` : html`<p class="dim">Nothing yet.</p>`}
    </section>
  </div>`;
}
