// Who is connected, at which door, and how well they keep up.

import { html, useEffect } from "../vendor/htm-preact.js";
import { ask, curl } from "../api.js";
import { brief, bytes, count, rate } from "../format.js";
import { Badge, Empty, Failed, Loading, Meter, Search, Select, Time, confirmLoss, toast, useBusy } from "../parts.js";
import { useRows } from "../rows.js";
import { changeQuery, mayOperate } from "../state.js";
import { Table } from "../table.js";

const COLUMNS = [
  { key: "peer", label: "Peer", sorts: true, class: "w-name stay" },
  { key: "door", label: "Door", sorts: true, class: "w-d" },
  { key: "user", label: "User", sorts: true, class: "w-d" },
  { key: "since", label: "Since", sorts: true, descFirst: true, class: "w-d" },
  { key: "subscriptions", label: "Subs", title: "Subscriptions", sorts: true, descFirst: true, class: "right w-s" },
  { key: "in_flight", label: "In flight", sorts: true, descFirst: true, class: "right w-n" },
  { key: "buffer_bytes", label: "Buffer", title: "Bytes that wait to be sent", sorts: true, descFirst: true, class: "w-d" },
  { key: "received_per_s", label: "In /s", title: "Received from the client, per second", sorts: true, descFirst: true, class: "right w-s" },
  { key: "sent_per_s", label: "Out /s", title: "Sent to the client, per second", sorts: true, descFirst: true, class: "right w-s" },
  { key: "slow", label: "State", sorts: true, descFirst: true, class: "w-s" },
  { key: "close", label: html`<span class="hidden">Close</span>`, class: "w-d do" },
];

const DOORS = ["http", "websocket", "events", "watch", "otq", "okq", "dsmq", "fastqueue", "blockqueue"];

export function Connections({ route }) {
  const { query } = route;
  const sort = query.get("sort") ?? "since";
  const desc = query.has("desc") ? query.get("desc") === "1" : !query.has("sort");
  const filter = query.get("filter") ?? "";
  const door = query.get("door") ?? "";
  const { data, error, rows, row, onView, top } = useRows({ screen: "connections", sort, desc, filter, ...(door ? { door } : {}) });
  const [busy, run] = useBusy();
  const operates = mayOperate();
  useEffect(() => {
    document.title = "Connections · octoq";
  }, []);
  const close = (id, figures) =>
    run(async () => {
      const path = `/connections/${encodeURIComponent(id)}`;
      const lost = html`The connection of <b class="name">${figures.peer}</b> at ${figures.door} will be closed. ${figures.in_flight > 0 ? html`<b>${count(figures.in_flight)}</b> messages that it holds come back to their queues.` : "It holds no messages."} The client may connect again.`;
      if (!(await confirmLoss({ title: `Close connection ${id}?`, lost, name: figures.peer, action: "Close the connection", curl: curl("DELETE", path) }))) return;
      await ask("DELETE", path);
      toast("Closed");
    });
  const draw = index => {
    const one = row(index);
    if (!one) return null;
    const { name: id, figures } = one;
    const full = figures.buffer_max_bytes > 0;
    const number = value => html`<span class=${value ? "" : "zero"}>${brief(value)}</span>`;
    return {
      key: id,
      cells: [
        html`<span class="name" title=${`connection ${id}`}>${figures.peer}</span>`,
        figures.door,
        figures.user ?? html`<span class="dim">nobody</span>`,
        html`<${Time} at=${figures.since_ms} />`,
        number(figures.subscriptions),
        number(figures.in_flight),
        html`<div title=${`${bytes(figures.buffer_bytes)}${full ? ` of ${bytes(figures.buffer_max_bytes)}` : ""}`}>${full ? html`<${Meter} value=${figures.buffer_bytes} max=${figures.buffer_max_bytes} label="Buffer" />` : bytes(figures.buffer_bytes)}</div>`,
        rate(figures.received_per_s),
        rate(figures.sent_per_s),
        figures.slow ? html`<${Badge} tone="warn">slow<//>` : "",
        operates && html`<button data-first class="small" disabled=${busy} onClick=${() => close(id, figures)}>Close …</button>`,
      ],
    };
  };
  const empty = html`<${Empty} title=${filter || door ? "No connection is like that" : "Nobody is connected"} />`;
  return html`
    <div class="head"><h1>Connections</h1>${data && html`<span class="tab-count" role="status">${data.matching === data.total ? count(data.total) : `${count(data.matching)} of ${count(data.total)}`}</span>`}</div>
    <div class="toolbar">
      <${Search} label="Filter connections" placeholder="Filter by peer or user  ( / )" value=${filter} onChange=${value => changeQuery({ filter: value })} />
      <${Select} bare label="Door" value=${door} options=${[["", "every door"], ...[...new Set([...DOORS, door].filter(Boolean))].map(one => [one, one])]} onChange=${to => changeQuery({ door: to })} />
    </div>
    ${error && html`<${Failed} error=${{ message: error.detail, code: error.code }} />`}
    ${data ? html`<${Table} label="Connections" columns=${COLUMNS} rows=${rows} row=${draw} sort=${sort} desc=${desc} onSort=${(key, down) => changeQuery({ sort: key, desc: down ? "1" : "0" })} onView=${onView} empty=${empty} top=${top} rowHeight=${38} class="roomy" />` : !error && html`<${Loading} what="connections" />`}`;
}
