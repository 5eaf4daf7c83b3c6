// One topic: how it goes, its queues, and below other addresses its messages, a form to publish, a live
// tail and its settings.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ask, curl, post, queuePath, topicPath } from "../api.js";
import { Chart, RATES, STATES, useHistory } from "../charts.js";
import { brief, bytes, count, plural, rate, span } from "../format.js";
import { useWatch } from "../live.js";
import { Badge, Choice, Empty, Failed, Icon, Loading, Tabs, confirmLoss, toast, useBusy } from "../parts.js";
import { changeQuery, go, href, mayOperate } from "../state.js";
import { PlainTable } from "../table.js";
import { Messages } from "./topic-messages.js";
import { Publish } from "./topic-publish.js";
import { NewQueue, Settings } from "./topic-settings.js";
import { Tail } from "./topic-tail.js";

const QUEUES = [
  { key: "name", label: "Queue", class: "w-name" },
  { key: "ready", label: "Ready", class: "right" },
  { key: "in_flight", label: "In flight", class: "right" },
  { key: "delayed", label: "Delayed", class: "right" },
  { key: "dead", label: "Dead", class: "right" },
  { key: "bytes", label: "Bytes", class: "right" },
  { key: "consumers", label: "Consumers", title: "Connected consumers, and receivers that wait", class: "right" },
  { key: "wait", label: "In queue p50 / p99", title: "How long messages wait until they are handed out", class: "right" },
  { key: "ack", label: "To ack p50 / p99", title: "How long consumers take", class: "right" },
  { key: "state", label: "", class: "do" },
];

const waits = wait => (wait && wait.count ? `${span(wait.p50_ms)} / ${span(wait.p99_ms)}` : "–");

/** Purges one queue, after a question. */
export async function purge(topic, queue, counts) {
  const lost = counts.ready + counts.delayed;
  if (lost === 0) return toast("Nothing waits there");
  const path = `${queuePath(topic, queue)}/purge`;
  const sure = await confirmLoss({
    title: `Purge ${topic}/${queue}?`,
    lost: html`<b>${plural(lost, "message")}</b> (${count(counts.ready)} ready, ${count(counts.delayed)} delayed) will be gone for good. What is in flight or dead stays.`,
    messages: lost,
    name: queue === "default" ? topic : queue,
    action: `Purge ${plural(lost, "message")}`,
    curl: curl("POST", path),
  });
  if (!sure) return undefined;
  return toast(`${plural((await post(path)).purged, "message")} purged`);
}

const sumOf = queues => {
  const sum = { ready: 0, in_flight: 0, delayed: 0, dead: 0, bytes: 0, consumers: 0 };
  for (const { counts, consumers } of Object.values(queues)) {
    for (const key of ["ready", "in_flight", "delayed", "dead", "bytes"]) sum[key] += counts[key] ?? 0;
    sum.consumers += consumers ?? 0;
  }
  return sum;
};

function Figures({ name, data, route, history }) {
  const chosen = route.query.get("span") === "24h" ? "24h" : "10m";
  const operates = mayOperate();
  const [busy, run] = useBusy();
  const [making, make] = useState(false);
  const pubsub = data.kind === "pubsub";
  const queues = Object.entries(data.queues);
  const rows = queues.map(([queue, figures]) => {
    const { counts } = figures;
    const pausedOut = figures.paused?.out ?? figures.policy?.paused_out;
    const pausedIn = figures.paused?.in ?? figures.policy?.paused_in;
    const to = state => href(["topic", name, "messages"], { queue, state });
    const number = (state, extra = "") => html`<a class=${counts[state] ? `num ${extra}` : "zero"} href=${to(state)}>${brief(counts[state])}</a>`;
    return {
      key: queue,
      cells: [
        html`<a class="name" data-first href=${to("")}>${queue}</a>`,
        number("ready"),
        number("in_flight"),
        number("delayed"),
        number("dead", "hot"),
        bytes(counts.bytes),
        html`${count(figures.consumers)}${figures.waiting ? html` <span class="dim">+${count(figures.waiting)} wait</span>` : ""}`,
        waits(figures.waits?.in_queue),
        waits(figures.waits?.to_ack),
        html`<span class="row">${pausedIn && html`<${Badge} tone="warn">in paused<//>`}${pausedOut && html`<${Badge} tone="warn">out paused<//>`}${operates && !pubsub && html`<button class="small" disabled=${busy} onClick=${() => run(async () => {
          await post(`${queuePath(name, queue)}/${pausedOut ? "resume" : "pause"}`, { out: true });
          toast(`${queue} ${pausedOut ? "hands out again" : "hands out nothing"}`);
        })}>${pausedOut ? "Resume" : "Pause"}</button><button class="small danger" disabled=${busy} onClick=${() => run(() => purge(name, queue, counts))}>Purge …</button>`}</span>`,
      ],
    };
  });
  const choice = html`<${Choice} label="Span of the charts" value=${chosen} options=${[["10m", "10 min"], ["24h", "24 h"]]} onChange=${value => changeQuery({ span: value === "10m" ? "" : value })} />`;
  return html`<div class="stack">
    <div class="columns even">
      <${Chart} title="Messages by state" history=${history} series=${STATES} actions=${choice} />
      <${Chart} title="Messages per second" history=${history} series=${RATES} unit="/s" />
    </div>
    <section class="card" aria-label="Queues"><h2>${pubsub ? "Backlog" : "Queues"} <span class="tab-count">${queues.length}</span><span class="grow"></span>${operates && !pubsub && html`<button class="small" onClick=${() => make(true)}><${Icon} of="plus" />New queue</button>`}</h2>
      <${PlainTable} label="Queues" columns=${QUEUES} rows=${rows} empty=${html`<${Empty} title="No queue: what is published here reaches nobody" />`} />
    </section>
    ${making && html`<${NewQueue} topic=${name} onClose=${() => make(false)} />`}
  </div>`;
}

export function Topic({ route }) {
  const [name, part = "overview"] = route.parts;
  const chosen = route.query.get("span") === "24h" ? "24h" : "10m";
  const history = useHistory(part === "overview" ? chosen : "10m", name);
  const { data, error } = useWatch({ screen: "topic", topic: name });
  const [busy, run] = useBusy();
  const operates = mayOperate();
  useEffect(() => {
    document.title = `${name} · octoq`;
  }, [name]);
  const back = html`<a class="button quiet square" href="#/topics" aria-label="Back to all topics" title="All topics"><${Icon} of="back" /></a>`;
  if (error && (!data || error.code === "topic_not_found")) {
    return html`<div class="head">${back}<h1 class="name">${name}</h1></div>${error.code === "topic_not_found" ? html`<${Empty} title="There is no such topic"><a href="#/topics">All topics</a><//>` : html`<${Failed} error=${{ message: error.detail, code: error.code }} />`}`;
  }
  if (!data) return html`<div class="head">${back}<h1 class="name">${name}</h1></div><${Loading} />`;
  const sum = sumOf(data.queues);
  const paused = data.policy?.paused_in;
  const pause = () =>
    run(async () => {
      await post(`${topicPath(name)}/${paused ? "resume" : "pause"}`);
      toast(paused ? "Publishing goes on" : "Publishing is paused");
    });
  const remove = () =>
    run(async () => {
      const messages = sum.ready + sum.in_flight + sum.delayed + sum.dead;
      const lost = html`The topic with ${plural(Object.keys(data.queues).length, "queue")} and <b>${plural(messages, "message")}</b> (${count(sum.ready)} ready, ${count(sum.in_flight)} in flight, ${count(sum.delayed)} delayed, ${count(sum.dead)} dead) will be gone for good.`;
      if (!(await confirmLoss({ title: `Delete ${name}?`, lost, messages, name, action: "Delete the topic", curl: curl("DELETE", topicPath(name)) }))) return;
      await ask("DELETE", topicPath(name));
      toast(`${name} is deleted`);
      go(["topics"]);
    });
  const at = (key, query) => href(key === "overview" ? ["topic", name] : ["topic", name, key], query);
  const waiting = sum.ready + sum.in_flight + sum.delayed + sum.dead;
  const tabs = [
    ["overview", "Overview", at("overview")],
    ["messages", "Messages", at("messages"), brief(waiting)],
    ...(operates ? [["publish", "Publish", at("publish")]] : []),
    ["tail", "Live tail", at("tail")],
    ["settings", "Settings", at("settings")],
  ];
  const rates = data.rates ?? {};
  const shown = { overview: Figures, messages: Messages, publish: operates ? Publish : undefined, tail: Tail, settings: Settings }[part] ?? Figures;
  return html`
    <div class="head">${back}<h1 class="name">${name}</h1><span><${Badge}>${data.kind}<//><${Badge} title="Durability">${data.durability ?? data.policy?.durability}<//>${paused && html`<${Badge} tone="warn">paused<//>`}${data.policy?.mask_payloads && html`<${Badge} title="Bodies are shown to administrators and the owner only">masked<//>`}</span><span class="grow"></span>
      <span class="row num dim">${rate(rates.published_per_s)}/s in · ${rate(rates.acked_per_s)}/s acked · ${count(data.subscribers)} subscribed</span>
      ${operates && html`<span class="row"><button disabled=${busy} onClick=${pause}>${paused ? "Resume" : "Pause"}</button><button class="danger" disabled=${busy} onClick=${remove}>Delete …</button></span>`}
    </div>
    <${Tabs} label=${`Parts of ${name}`} at=${part} tabs=${tabs} />
    <${shown} name=${name} data=${data} route=${route} history=${history} sum=${sum} />`;
}
