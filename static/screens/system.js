// The broker itself: its configuration, what it logs, who may come, copies of its store, its health.

import { html, useEffect } from "../vendor/htm-preact.js";
import { get } from "../api.js";
import { bytes, count, plural } from "../format.js";
import { Badge, Check, Empty, Failed, Loading, Search, Tabs, useLoad } from "../parts.js";
import { changeQuery, href, mayAdminister, mayOperate } from "../state.js";
import { PlainTable } from "../table.js";
import { Log } from "./system-log.js";
import { Store } from "./system-store.js";
import { Users } from "./system-users.js";

// ---- configuration

const shownValue = value => (typeof value === "string" ? value : JSON.stringify(value));

function Config({ route }) {
  const { value, error, again } = useLoad(signal => get("/config", { signal }), []);
  const find = route.query.get("find") ?? "";
  const changed = route.query.get("changed") === "1";
  if (error) return html`<${Failed} error=${error} again=${again} />`;
  if (!value) return html`<${Loading} what="the configuration" />`;
  const keys = value.keys.filter(one => (!changed || one.origin !== "default") && `${one.key} ${shownValue(one.value)}`.toLowerCase().includes(find.toLowerCase()));
  const columns = [{ key: "key", label: "Setting", class: "mono" }, { key: "value", label: "Value", class: "mono wrap" }, { key: "origin", label: "Comes from" }, { key: "default", label: "Default", class: "mono" }];
  const rows = keys.map(one => ({
    key: one.key,
    cells: [one.key, html`<b>${shownValue(one.value)}</b>`, html`<${Badge} tone=${one.origin === "default" ? "" : "good"}>${one.origin}<//>${one.from && html` <span class="dim mono">${one.from}</span>`}`, one.origin === "default" ? "" : html`<span class="dim">${shownValue(one.default)}</span>`],
  }));
  return html`<div class="toolbar"><${Search} label="Filter settings" value=${find} onChange=${text => changeQuery({ find: text })} /><${Check} label="Only what differs from the defaults" checked=${changed} onChange=${on => changeQuery({ changed: on })} /></div>
    <${PlainTable} label="Configuration" columns=${columns} rows=${rows} class="tall" empty=${html`<div class="card"><${Empty} title="No setting is like that" /></div>`} />`;
}

// ---- health

async function probe(path) {
  const begin = performance.now();
  try {
    const answer = await fetch(path, { cache: "no-store" });
    return { path, ok: answer.ok, text: `${answer.status} ${(await answer.text()).trim().slice(0, 200)}`, ms: performance.now() - begin };
  } catch {
    return { path, ok: false, text: "no answer", ms: performance.now() - begin };
  }
}

function Health() {
  const { value, again } = useLoad(() => Promise.all([probe("/livez"), probe("/readyz")]), []);
  const stats = useLoad(signal => get("/stats", { signal }), []);
  const figures = stats.value;
  const links = [["/metrics", "Metrics", "for Prometheus"], ["/docs", "API", "every request, to read and try"], ["/openapi.json", "OpenAPI", "for code generators"], ["/ui/octoq.js", "octoq.js", "the module for web pages"]];
  return html`<div class="columns even">
    <section class="card" aria-label="Health"><h2>Health<span class="grow"></span><button class="small" onClick=${() => {
      again();
      stats.again();
    }}>Look again</button></h2><div class="card-body"><dl class="facts">${(value ?? []).map(({ path, ok, text, ms }) => html`<dt class="mono">${path}</dt><dd><${Badge} tone=${ok ? "good" : "bad"}>${ok ? "well" : "not well"}<//> ${text} <span class="dim num">${Math.round(ms)} ms</span></dd>`)}
      ${figures && html`<dt>Version</dt><dd>${figures.version}</dd><dt>Commits</dt><dd class="num">${count(figures.store.commits)}, ${count(figures.store.syncs)} syncs, ${count(figures.store.records)} records</dd><dt>Waiting for the store</dt><dd class="num">${count(figures.store.waiting)}</dd><dt>Store</dt><dd>${bytes(figures.store.disk_bytes)}</dd><dt>Queues</dt><dd>${plural(figures.queues, "queue")} in ${plural(figures.topics, "topic")}</dd>`}
    </dl></div></section>
    <section class="card" aria-label="Links"><h2>Links</h2><div class="card-body"><dl class="facts">${links.map(([to, name, what]) => html`<dt><a href=${to} target="_blank" rel="noopener">${name}</a></dt><dd class="dim">${what}</dd>`)}</dl></div></section>
  </div>`;
}

export function System({ route }) {
  useEffect(() => {
    document.title = "System · octoq";
  }, []);
  const administers = mayAdminister();
  const operates = mayOperate();
  const parts = [["health", "Health", Health], ...(operates ? [["config", "Configuration", Config], ["log", "Log", Log]] : []), ...(administers ? [["users", "Users and tokens", Users], ["store", "Backup, definitions", Store]] : [])];
  const part = parts.find(([key]) => key === route.parts[0]) ?? parts[0];
  return html`
    <div class="head"><h1>System</h1></div>
    <${Tabs} label="Parts of the system" at=${part[0]} tabs=${parts.map(([key, name]) => [key, name, href(key === "health" ? ["system"] : ["system", key])])} />
    ${html`<${part[2]} key=${part[0]} route=${route} />`}`;
}
