// The broker at a glance: how much is where, how fast it flows, and what needs a look.

import { html, useEffect } from "../vendor/htm-preact.js";
import { Chart, RATES, STATES, useHistory } from "../charts.js";
import { brief, bytes, count, plural, rate, span, words } from "../format.js";
import { useWatch } from "../live.js";
import { Choice, Empty, Failed, Loading, Meter } from "../parts.js";
import { changeQuery, href } from "../state.js";

function Tile({ name, value, more, tone = "", to }) {
  const inside = html`<span class="tile-name">${name}</span><span class="tile-value num">${value}</span>${more && html`<span class="tile-more">${more}</span>`}`;
  return to ? html`<a class=${`tile ${tone}`} href=${to}>${inside}</a>` : html`<div class=${`tile ${tone}`}>${inside}</div>`;
}

/** Where one goes to see to it. */
function target({ kind, topic, queue, connection }) {
  if (connection || kind === "slow_subscriber") return href(["connections"], { filter: connection });
  if (!topic) return href(["system"]);
  if (kind === "dead_letters") return href(["dead"], { topic, queue });
  if (kind === "backlog_growing" || kind === "oldest_too_old") return href(["topic", topic, "messages"], { queue });
  if (queue && (kind === "paused" || kind === "near_limit")) return href(["topic", topic, "settings"], { queue });
  return href(["topic", topic]);
}

const NAMES = {
  backlog_growing: "Backlog grows",
  dead_letters: "Dead letters",
  paused: "Paused",
  near_limit: "Near a limit",
  oldest_too_old: "Waits too long",
  slow_subscriber: "Slow subscriber",
  disk_full: "Disk full",
};
const RANK = { serious: 0, warning: 1, info: 2 };

function Attention({ entries, more }) {
  const list = Object.entries(entries).sort(([, a], [, b]) => (RANK[a.severity] ?? 3) - (RANK[b.severity] ?? 3) || (b.value ?? 0) - (a.value ?? 0));
  const rest = more > 0 && html`<li class="attention-more dim">and ${count(more)} more</li>`;
  return html`<section class="card attention" aria-label="Needs attention">
    <h2>Needs attention ${list.length > 0 && html`<span class="tab-count">${count(list.length + (more ?? 0))}</span>`}</h2>
    ${list.length === 0
      ? html`<p class="calm">Nothing. All is well.</p>`
      : html`<ul>${list.map(([key, entry]) => html`<li key=${key}><a href=${target(entry)} class=${`attention-row ${entry.severity}`}><span class="attention-kind">${NAMES[entry.kind] ?? words(entry.kind)}</span><span class="attention-what">${entry.topic && html`<b class="name">${entry.topic}${entry.queue && entry.queue !== "default" ? `/${entry.queue}` : ""}</b> `}${entry.detail}</span></a></li>`)}${rest}</ul>`}
  </section>`;
}

function Doors({ connections }) {
  const doors = Object.entries(connections).sort(([, a], [, b]) => b - a);
  const most = Math.max(1, ...doors.map(([, number]) => number));
  return html`<section class="card doors" aria-label="Connections by door"><h2>Connections by door</h2>
    <ul>${doors.map(([door, number]) => html`<li key=${door}><a href=${href(["connections"], { door })}><span>${door}</span><${Meter} plain value=${number} max=${most} label=${`${door}: ${number} connections`} /><b class="num">${count(number)}</b></a></li>`)}</ul>
  </section>`;
}

export function Overview({ route }) {
  const chosen = route.query.get("span") === "24h" ? "24h" : "10m";
  const history = useHistory(chosen);
  const { data, error } = useWatch({ screen: "overview" }, (next, at) => {
    const { rates, messages } = next;
    history.put(at, {
      ...messages,
      published: rates.published_per_s,
      delivered: rates.delivered_per_s,
      acked: rates.acked_per_s,
      redelivered: rates.redelivered_per_s,
      dropped: rates.dropped_per_s,
    });
  });
  useEffect(() => {
    document.title = "Overview · octoq";
  }, []);
  if (error && !data) return html`<${Failed} error=${error} />`;
  if (!data) return html`<h1 class="hidden">Overview</h1><${Loading} what="figures" />`;
  const { messages, memory, store, rates } = data;
  const limited = memory.limit_bytes > 0;
  const disk = store.disk_bytes + (store.free_bytes ?? 0);
  const choice = html`<${Choice} label="Span of the charts" value=${chosen} options=${[["10m", "10 min"], ["24h", "24 h"]]} onChange=${value => changeQuery({ span: value === "10m" ? "" : value })} />`;
  return html`
    <div class="head"><h1>Overview</h1></div>
    <section class="tiles" aria-label="Messages">
      <${Tile} name="Ready" tone="s-ready" value=${brief(messages.ready)} more=${`${rate(rates.published_per_s)}/s in`} to=${href(["topics"], { sort: "ready", desc: true })} />
      <${Tile} name="In flight" tone="s-in_flight" value=${brief(messages.in_flight)} more=${`${rate(rates.acked_per_s)}/s acked`} to=${href(["topics"], { sort: "in_flight", desc: true })} />
      <${Tile} name="Delayed" tone="s-delayed" value=${brief(messages.delayed)} more="wait for their time" to=${href(["topics"], { sort: "delayed", desc: true })} />
      <${Tile} name="Dead" tone="s-dead" value=${brief(messages.dead)} more=${messages.dead ? "look at them" : "none"} to=${href(["dead"])} />
    </section>
    <section class="tiles small" aria-label="Broker">
      <${Tile} name="Topics" value=${count(data.topics)} more=${plural(data.queues, "queue")} to=${href(["topics"])} />
      <${Tile} name="Listeners" value=${count(data.consumers + data.subscribers)} more=${`${count(data.consumers)} consume, ${count(data.subscribers)} subscribe`} />
      <div class="tile"><span class="tile-name">Memory</span><span class="tile-value num">${bytes(memory.bytes)}</span>${limited ? html`<${Meter} value=${memory.bytes} max=${memory.limit_bytes} label="Memory used" /><span class="tile-more">of ${bytes(memory.limit_bytes)}</span>` : html`<span class="tile-more">no limit set</span>`}</div>
      <div class=${`tile ${store.full ? "s-dead" : ""}`}><span class="tile-name">Disk</span><span class="tile-value num">${bytes(store.disk_bytes)}</span>${store.free_bytes !== undefined && html`<${Meter} value=${store.disk_bytes} max=${disk} label="Disk used by the store" />`}<span class="tile-more">${store.full ? "full: publishes are refused" : store.free_bytes === undefined ? "store" : `${bytes(store.free_bytes)} free`}</span></div>
      <${Tile} name="Durability" value=${data.durability.broker} more=${`pubsub: ${data.durability.pubsub}`} />
      <${Tile} name="Uptime" value=${span(data.uptime_ms)} more=${`version ${data.version}`} />
    </section>
    <div class="columns">
      <div class="stack">
        <${Chart} title="Messages by state" history=${history} series=${STATES} actions=${choice} />
        <${Chart} title="Messages per second" history=${history} series=${RATES} unit="/s" />
      </div>
      <div class="stack">
        <${Attention} entries=${data.attention ?? {}} more=${data.attention_more} />
        <${Doors} connections=${data.connections} />
      </div>
    </div>
    ${data.topics === 0 && html`<${Empty} title="There is no topic yet"><a href=${href(["topics"], { new: true })}>Make one</a><//>`}`;
}
