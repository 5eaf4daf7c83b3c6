// All topics: found, sorted and compared; some of them paused, purged or redriven together.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { curl, get, post, queuePath, topicPath } from "../api.js";
import { Spark } from "../charts.js";
import { brief, count, plural, rate, words } from "../format.js";
import { Badge, Dialog, Empty, Failed, Icon, Loading, Search, Select, Terminal, Text, badgeTone, complain, confirmLoss, toast, useBusy, useNarrow } from "../parts.js";
import { useRows } from "../rows.js";
import { changeQuery, go, href, mayOperate } from "../state.js";
import { Table } from "../table.js";

const COLUMNS = [
  { key: "check", label: html`<span class="hidden">Chosen</span>`, class: "w-check" },
  { key: "name", label: "Topic", sorts: true, class: "w-name stay" },
  { key: "kind", label: "Kind", sorts: true, class: "w-s" },
  { key: "ready", label: "Ready", sorts: true, descFirst: true, class: "right w-n" },
  { key: "in_flight", label: "In flight", sorts: true, descFirst: true, class: "right w-n" },
  { key: "delayed", label: "Delayed", sorts: true, descFirst: true, class: "right w-n" },
  { key: "dead", label: "Dead", sorts: true, descFirst: true, class: "right w-n" },
  { key: "published_per_s", label: "In /s", title: "Published per second", sorts: true, descFirst: true, class: "right w-s" },
  { key: "acked_per_s", label: "Acked /s", sorts: true, descFirst: true, class: "right w-n" },
  { key: "spark", label: "5 min", title: "Published per second over five minutes", class: "w-spark" },
  { key: "consumers", label: "Consumers", title: "Consumers and subscribers", sorts: true, descFirst: true, class: "right w-c" },
  { key: "badges", label: "State", class: "w-m" },
];

const number = value => html`<span class=${value ? "" : "zero"}>${brief(value)}</span>`;

/** What matters most, on a line of its own where there is no room for columns. */
const sums = figures => {
  const parts = [`${brief(figures.ready)} ready`, figures.in_flight > 0 && `${brief(figures.in_flight)} in flight`, figures.delayed > 0 && `${brief(figures.delayed)} delayed`];
  const shown = parts.filter(Boolean).join(" · ");
  return figures.dead > 0 ? html`<span class="hot">${brief(figures.dead)} dead</span> · ${shown}` : shown;
};

/** All queues of some topics, as they are now. */
async function queuesOf(names) {
  const all = [];
  for (const name of names) {
    const topic = await get(topicPath(name));
    for (const queue of topic.queues) all.push({ topic: name, kind: topic.kind, ...queue });
  }
  return all;
}

/** Runs one request after the other and says how it went: those that fail do not stop the rest. */
async function each(items, work, done) {
  let good = 0;
  for (const item of items) {
    try {
      await work(item);
      good += 1;
    } catch (error) {
      complain(error);
    }
  }
  if (good) toast(done(good));
}

function Bulk({ chosen, clear }) {
  const [busy, run] = useBusy();
  const names = [...chosen];
  const pause = verb =>
    run(async () => {
      const queues = await queuesOf(names);
      await each(names, name => post(`${topicPath(name)}/${verb}`), good => `${plural(good, "topic")} ${verb === "pause" ? "paused" : "resumed"}`);
      for (const queue of queues.filter(one => one.kind === "broker")) await post(`${queuePath(queue.topic, queue.name)}/${verb}`, { out: true });
    });
  const purge = () =>
    run(async () => {
      const queues = (await queuesOf(names)).filter(queue => queue.ready + queue.delayed > 0);
      const lost = queues.reduce((sum, queue) => sum + queue.ready + queue.delayed, 0);
      if (lost === 0) return toast("There is nothing to purge");
      const title = names.length === 1 ? `Purge ${names[0]}?` : `Purge ${names.length} topics?`;
      const what = html`<b>${plural(lost, "message")}</b> that ${lost === 1 ? "is" : "are"} ready or delayed will be gone for good, from ${plural(queues.length, "queue")} of ${plural(names.length, "topic")}: <span class="name">${names.slice(0, 8).join(", ")}${names.length > 8 ? " …" : ""}</span>`;
      const name = names.length === 1 ? names[0] : `${names.length} topics`;
      if (!(await confirmLoss({ title, lost: what, messages: lost, name, action: `Purge ${plural(lost, "message")}`, curl: queues.slice(0, 5).map(queue => curl("POST", `${queuePath(queue.topic, queue.name)}/purge`)).join("\n") }))) return;
      await each(queues, queue => post(`${queuePath(queue.topic, queue.name)}/purge`), good => `${plural(good, "queue")} purged`);
    });
  const redrive = () =>
    run(async () => {
      const queues = (await queuesOf(names)).filter(queue => queue.dead > 0);
      if (queues.length === 0) return toast("There are no dead letters in them");
      let sum = 0;
      await each(queues, async queue => (sum += (await post(`${queuePath(queue.topic, queue.name)}/redrive`)).redriven), () => `${plural(sum, "dead letter")} redriven`);
    });
  return html`<div class="bulk" role="group" aria-label="What was chosen"><b>${plural(chosen.size, "topic")}</b>
    <button class="small" disabled=${busy} onClick=${() => pause("pause")}>Pause</button>
    <button class="small" disabled=${busy} onClick=${() => pause("resume")}>Resume</button>
    <button class="small" disabled=${busy} onClick=${redrive}>Redrive dead</button>
    <button class="small danger" disabled=${busy} onClick=${purge}>Purge …</button>
    <button class="small quiet" onClick=${clear}>Clear</button>
  </div>`;
}

function NewTopic({ onClose }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState("broker");
  const [durability, setDurability] = useState("");
  const [queues, setQueues] = useState("default");
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const body = { name, kind };
  if (durability) body.policy = { durability };
  if (kind === "broker") body.queues = queues.split(",").map(one => one.trim()).filter(Boolean).map(one => ({ name: one }));
  const make = () =>
    run(async () => {
      try {
        await post("/topics", body);
        toast(`Topic ${name} made`);
        go(["topic", name]);
      } catch (problem) {
        setError(problem);
      }
    });
  const foot = html`<button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || !name}>Make the topic</button>`;
  return html`<${Dialog} title="New topic" onClose=${onClose} onSubmit=${make} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message}</div>`}
    <${Text} label="Name" value=${name} onChange=${setName} autofocus=${true} name="name" hint="Any text up to 255 bytes" />
    <div class="fields">
      <${Select} label="Kind" value=${kind} onChange=${setKind} options=${[["broker", "broker: queues, acks"], ["pubsub", "pubsub: pushed to all"]]} />
      <${Select} label="Durability" value=${durability} onChange=${setDurability} options=${[["", "the broker's default"], ["sync", "sync: on the disk"], ["async", "async: synced soon"], ["memory", "memory only"]]} />
    </div>
    ${kind === "broker" && html`<${Text} label="Queues" value=${queues} onChange=${setQueues} hint="Separated by commas; each gets its own copy of every message" />`}
    <${Terminal} text=${curl("POST", "/topics", body)} />
  <//>`;
}

export function Topics({ route }) {
  const { query } = route;
  const sort = query.get("sort") ?? "name";
  const desc = query.get("desc") === "1";
  const filter = query.get("filter") ?? "";
  const kind = query.get("kind") ?? "";
  const [chosen, choose] = useState(() => new Set());
  const spec = { screen: "topics", sort, desc, filter, ...(kind ? { kind } : {}) };
  const { data, error, rows, row, onView, top } = useRows(spec);
  const operates = mayOperate();
  const narrow = useNarrow();
  useEffect(() => {
    document.title = "Topics · octoq";
  }, []);
  // What is not shown any more is not acted on.
  useEffect(() => choose(new Set()), [filter, kind]);
  const flip = name => {
    const next = new Set(chosen);
    if (!next.delete(name)) next.add(name);
    choose(next);
  };
  const draw = index => {
    const one = row(index);
    if (!one) return null;
    const { name, figures } = one;
    const marks = [...new Set([...(figures.paused_in || figures.paused_out ? ["paused"] : []), ...figures.badges])];
    return {
      key: name,
      class: chosen.has(name) ? "chosen" : "",
      cells: [
        operates && html`<input type="checkbox" aria-label=${`Choose ${name}`} checked=${chosen.has(name)} onChange=${() => flip(name)} />`,
        html`<a class="name" data-first href=${href(["topic", name])} title=${name}>${name}</a>${narrow && html`<span class="under num">${sums(figures)}</span>`}`,
        figures.kind,
        number(figures.ready),
        number(figures.in_flight),
        number(figures.delayed),
        html`<span class=${figures.dead ? "hot" : "zero"}>${brief(figures.dead)}</span>`,
        html`<span class=${figures.published_per_s ? "" : "zero"}>${rate(figures.published_per_s)}</span>`,
        html`<span class=${figures.acked_per_s ? "" : "zero"}>${rate(figures.acked_per_s)}</span>`,
        html`<${Spark} values=${figures.spark} />`,
        number(figures.consumers + figures.subscribers),
        marks.map(mark => html`<${Badge} tone=${badgeTone(mark)}>${words(mark)}<//>`),
      ],
    };
  };
  const empty = filter || kind
    ? html`<${Empty} title="No topic is like that"><button class="small" onClick=${() => changeQuery({ filter: "", kind: "" })}>Show all</button><//>`
    : html`<${Empty} title="There is no topic yet">${operates && html`<button class="primary" onClick=${() => changeQuery({ new: 1 })}>Make one</button>`}<//>`;
  return html`
    <div class="head"><h1>Topics</h1>${data && html`<span class="tab-count" role="status">${data.matching === data.total ? count(data.total) : `${count(data.matching)} of ${count(data.total)}`}</span>`}<span class="grow"></span>${operates && html`<button class="primary" onClick=${() => changeQuery({ new: 1 })}><${Icon} of="plus" />New topic</button>`}</div>
    <div class="toolbar">
      <${Search} label="Filter topics" placeholder="Filter by name  ( / )" value=${filter} onChange=${value => changeQuery({ filter: value })} />
      <${Select} bare label="Kind" value=${kind} onChange=${value => changeQuery({ kind: value })} options=${[["", "every kind"], ["broker", "broker"], ["pubsub", "pubsub"]]} />
      ${operates && chosen.size > 0 && html`<${Bulk} chosen=${chosen} clear=${() => choose(new Set())} />`}
    </div>
    ${error && html`<${Failed} error=${{ message: error.detail, code: error.code }} />`}
    ${data ? html`<${Table} label="Topics" columns=${COLUMNS} rows=${rows} row=${draw} sort=${sort} desc=${desc} onSort=${(key, down) => changeQuery({ sort: key === "name" && !down ? "" : key, desc: down })} onView=${onView} empty=${empty} top=${top} ...${narrow ? { rowHeight: 54, class: "two-lines" } : {}} />` : html`<${Loading} what="topics" />`}
    ${operates && query.get("new") && html`<${NewTopic} onClose=${() => changeQuery({ new: "" })} />`}`;
}
