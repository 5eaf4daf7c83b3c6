// Dead letters of all topics: why they died, and what becomes of them.

import { html, useEffect, useState } from "../vendor/htm-preact.js";
import { ask, curl, get, post, query as queryOf, queuePath, settled } from "../api.js";
import { count, plural, words } from "../format.js";
import { useWatch } from "../live.js";
import { preview } from "../message.js";
import { Badge, Dialog, Empty, Failed, Loading, Search, Select, Terminal, Text, Time, confirmLoss, download, toast, useBusy, useLoad, useNarrow } from "../parts.js";
import { changeQuery, href, mayOperate } from "../state.js";
import { PlainTable } from "../table.js";
import { Detail, lookFor } from "./topic-messages.js";

const REASONS = [["", "any reason"], ["nacked", "nacked"], ["rejected", "rejected"], ["deadline_missed", "deadline missed"]];
const PAGE = 100;
/** Most requests for one export or one dry run: it ends, whatever comes meanwhile. */
const LOOKS_MAX = 10_000;

const COLUMNS = [
  { key: "check", label: "", class: "w-check" },
  { key: "where", label: "Topic / queue", class: "stay" },
  { key: "seq", label: "No.", class: "right" },
  { key: "body", label: "Body", class: "mono clip" },
  { key: "reason", label: "Reason" },
  { key: "error", label: "Last error", class: "mono clip" },
  { key: "attempts", label: "Tries", class: "right" },
  { key: "died", label: "Died" },
];

const lastError = message => [...(message.failures ?? [])].reverse().find(failure => failure.error)?.error ?? "";

/** A redrive by filter counts and works in steps: all of them. */
async function all(path, body, heard) {
  let sum = 0;
  let after;
  for (let look = 0; look < LOOKS_MAX; look += 1) {
    const told = await post(`${path}/redrive`, { ...body, ...(after ? { after } : {}) });
    sum += told.redriven ?? told.matching ?? 0;
    heard?.(sum);
    if (told.complete || !told.next) return sum;
    after = told.next;
  }
  return sum;
}

/** Redrives a whole queue, or those of it that are like the filter. */
function Redrive({ topic, queue, filter, onClose }) {
  const [to, setTo] = useState(queue);
  const [rate, setRate] = useState("");
  const [counted, setCounted] = useState(null);
  const [error, setError] = useState(null);
  const [busy, run] = useBusy();
  const path = queuePath(topic, queue);
  const filtered = Object.keys(filter).length > 0;
  const body = {};
  if (filtered) body.filter = filter;
  if (to && to !== queue) body.to = to;
  const paced = rate.trim() !== "";
  const wrong = paced && !/^[1-9]\d{0,8}$/.test(rate.trim());
  if (paced && !wrong) body.rate_per_s = Number(rate);
  const guarded = work =>
    run(async () => {
      setError(null);
      try {
        await work();
      } catch (problem) {
        setError(problem);
      }
    });
  const dry = () =>
    guarded(async () => {
      const { rate_per_s: _, ...asked } = body;
      setCounted(await all(path, { ...asked, dry_run: true }, setCounted));
    });
  const redrive = () =>
    guarded(async () => {
      if (body.rate_per_s) {
        await post(`${path}/redrive`, body);
        toast(`Redriving ${topic}/${queue} at ${count(body.rate_per_s)} per second`);
      } else toast(`${plural(await all(path, body), "dead letter")} redriven`);
      onClose();
    });
  const foot = html`<button type="button" disabled=${busy} onClick=${dry}>Dry run</button><span class="grow"></span><button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy || wrong}>${busy ? "Working …" : "Redrive"}</button>`;
  return html`<${Dialog} title=${`Redrive ${topic}/${queue}`} onClose=${onClose} onSubmit=${redrive} foot=${foot}>
    ${error && html`<div class="notice bad" role="alert">${error.message} <code>${error.code}</code></div>`}
    <p>${filtered ? html`Dead letters that are like the filter: <code>${JSON.stringify(filter)}</code>` : "All dead letters of this queue."}</p>
    <div class="fields"><${Text} label="Into queue" value=${to} onChange=${setTo} /><${Text} label="At most per second" value=${rate} onChange=${setRate} inputmode="numeric" placeholder="no limit" aria-invalid=${wrong} hint=${wrong ? "A whole number, or nothing" : "With a rate it goes on in the broker"} /></div>
    ${counted !== null && html`<div class="notice" role="status"><span><b>${plural(counted, "dead letter")}</b> would go. Nothing was changed.</span></div>`}
    <${Terminal} text=${curl("POST", `${path}/redrive`, body)} />
  <//>`;
}

function Queues({ data, chosen, onRedrive }) {
  const [busy, run] = useBusy();
  const operates = mayOperate();
  const columns = [
    { key: "where", label: "Topic / queue" },
    { key: "dead", label: "Dead", class: "right" },
    { key: "oldest", label: "First died" },
    { key: "redrive", label: "", class: "do" },
  ];
  const stop = row =>
    run(async () => {
      const { done } = await ask("DELETE", `${queuePath(row.topic, row.queue)}/redrive`);
      toast(`Stopped after ${plural(done, "message")}`);
    });
  const rows = (data.order ?? Object.keys(data.rows)).map(key => {
    const row = data.rows[key];
    const { redrive } = row;
    const here = chosen.topic === row.topic && (!chosen.queue || chosen.queue === row.queue);
    return {
      key,
      selected: here,
      cells: [
        html`<a class="name" data-first href=${href(["dead"], here ? {} : { topic: row.topic, queue: row.queue })} title=${here ? "Show those of all queues" : "Show only these"}>${row.topic}<span class="dim">/${row.queue}</span></a>`,
        html`<span class="hot">${count(row.dead)}</span>`,
        row.oldest_at_ms === undefined ? html`<span class="dim">–</span>` : html`<${Time} at=${row.oldest_at_ms} />`,
        redrive?.running
          ? html`<span class="row"><span class="num">${count(redrive.done)}${redrive.total ? ` of ${count(redrive.total)}` : ""} redriven</span>${operates && html`<button class="small" disabled=${busy} onClick=${() => stop(row)}>Stop</button>`}</span>`
          : operates && html`<button class="small" onClick=${() => onRedrive(row)}>Redrive …</button>`,
      ],
    };
  });
  return html`<section class="card" aria-label="Queues with dead letters"><h2>By queue <span class="tab-count">${rows.length}</span></h2><${PlainTable} label="Queues with dead letters" columns=${columns} rows=${rows} class="half" /></section>`;
}

export function Dead({ route }) {
  const { query } = route;
  const operates = mayOperate();
  const narrow = useNarrow();
  const { data, error: refused } = useWatch({ screen: "dead" });
  const topic = query.get("topic") ?? "";
  const queue = query.get("queue") ?? "";
  const reason = query.get("reason") ?? "";
  const looked = lookFor(query);
  const asked = { topic, queue, reason, ...looked };
  const key = JSON.stringify(asked);
  const { value, error, loading, again } = useLoad(signal => get(`/dead${queryOf({ ...asked, limit: PAGE })}`, { signal }), [key]);
  const [more, setMore] = useState({ key, pages: [] });
  const [picked, pick] = useState(() => new Map());
  const [redriving, redrive] = useState(null);
  const [busy, run] = useBusy();
  useEffect(() => {
    document.title = "Dead letters · octoq";
  }, []);
  useEffect(() => {
    pick(new Map());
    setMore({ key, pages: [] });
  }, [key]);
  const pages = value ? [value, ...(more.key === key ? more.pages : [])] : [];
  const messages = pages.flatMap(page => page.messages);
  const next = pages.at(-1)?.next;
  const nameOf = message => JSON.stringify([message.topic, message.queue, message.id]);
  const reload = () => {
    pick(new Map());
    setMore({ key, pages: [] });
    again();
  };
  const flip = message => {
    const changed = new Map(picked);
    if (!changed.delete(nameOf(message))) changed.set(nameOf(message), message);
    pick(changed);
  };
  /** Chosen ids by queue. */
  const groups = () => {
    const by = new Map();
    for (const message of picked.values()) {
      const path = queuePath(message.topic, message.queue);
      by.set(path, [...(by.get(path) ?? []), message.id]);
    }
    return [...by];
  };
  const redriveChosen = () =>
    run(async () => {
      let sum = 0;
      for (const [path, ids] of groups()) sum += (await post(`${path}/redrive`, { ids })).redriven;
      toast(`${plural(sum, "dead letter")} redriven`);
      reload();
    });
  const deleteChosen = () =>
    run(async () => {
      const lost = html`<b>${plural(picked.size, "dead letter")}</b> from ${plural(groups().length, "queue")} will be gone for good.`;
      const commands = groups().slice(0, 5).map(([path, ids]) => curl("POST", `${path}/delete`, { ids })).join("\n");
      if (!(await confirmLoss({ title: `Delete ${plural(picked.size, "dead letter")}?`, lost, messages: picked.size, name: `${picked.size} dead letters`, action: `Delete ${plural(picked.size, "dead letter")}`, curl: commands }))) return;
      for (const [path, ids] of groups()) settled(await post(`${path}/delete`, { ids }));
      toast(`${plural(picked.size, "dead letter")} deleted`);
      reload();
    });
  const save = () =>
    run(async () => {
      const lines = [];
      let after;
      for (let look = 0; look < LOOKS_MAX; look += 1) {
        const told = await get(`/dead${queryOf({ ...asked, limit: 1000, after })}`);
        for (const message of told.messages) lines.push(JSON.stringify(message), "\n");
        if (!told.next) break;
        after = told.next;
      }
      download("dead-letters.ndjson", "application/x-ndjson", lines);
      toast(`${plural(lines.length / 2, "dead letter")} exported`);
    });
  const at = query.get("message");
  const chosen = at && { id: at, topic: query.get("in") ?? topic, queue: query.get("of") ?? queue };
  const rows = messages.map(message => ({
    key: nameOf(message),
    selected: chosen?.id === message.id,
    cells: [
      operates && html`<input type="checkbox" aria-label=${`Choose message ${message.seq} of ${message.topic}`} checked=${picked.has(nameOf(message))} onChange=${() => flip(message)} />`,
      html`<a class="name" href=${href(["topic", message.topic, "messages"], { queue: message.queue, state: "dead" })}>${message.topic}<span class="dim">/${message.queue}</span></a>${narrow && html`<span class="under"><span class="hot">${words(message.dead?.reason ?? "dead")}</span> · ${plural(message.attempts, "try", "tries")}${lastError(message) && ` · ${lastError(message).slice(0, 60)}`}</span>`}`,
      html`<a data-first class="num" href="#" aria-label=${`Show message ${message.seq}`} onClick=${event => {
        event.preventDefault();
        changeQuery({ message: message.id, in: message.topic, of: message.queue });
      }}>${message.seq}</a>`,
      preview(message),
      html`<${Badge} tone="bad">${words(message.dead?.reason ?? "dead")}<//>`,
      html`<span title=${lastError(message)}>${lastError(message).slice(0, 120) || html`<span class="dim">–</span>`}</span>`,
      message.attempts,
      html`<${Time} at=${message.dead?.at_ms} />`,
    ],
  }));
  const allPicked = messages.length > 0 && messages.every(message => picked.has(nameOf(message)));
  const columns = [{ ...COLUMNS[0], label: operates ? html`<input type="checkbox" aria-label="Choose all that are shown" checked=${allPicked} onChange=${() => pick(allPicked ? new Map() : new Map(messages.map(message => [nameOf(message), message])))} />` : html`<span class="hidden">Chosen</span>` }, ...COLUMNS.slice(1)];
  const filter = {};
  if (looked.text) filter.text = looked.text;
  if (looked.attribute) {
    const [name, wanted] = looked.attribute.split(/=(.*)/s);
    filter.attribute = { [name]: wanted };
  }
  if (looked.json) {
    const [pointer, wanted] = looked.json.split(/=(.*)/s);
    filter.json = { [pointer]: wanted };
  }
  if (reason) filter.reason = reason;
  if (looked.older_than_ms !== undefined) filter.older_than_ms = looked.older_than_ms;
  if (looked.newer_than_ms !== undefined) filter.newer_than_ms = looked.newer_than_ms;
  const filtered = Object.keys(filter).length > 0;
  const narrowed = filtered || topic;
  const dead = Object.values(data?.rows ?? {}).reduce((sum, row) => sum + row.dead, 0);
  const none = data && dead === 0 && !narrowed && messages.length === 0;
  return html`
    <div class="head"><h1>Dead letters</h1>${data && html`<span class="tab-count" role="status">${count(dead)}${data.total > Object.keys(data.rows).length ? "+" : ""}</span>`}<span class="grow"></span><button disabled=${busy || messages.length === 0} onClick=${save}>Export …</button></div>
    ${refused && html`<${Failed} error=${{ message: refused.detail, code: refused.code }} />`}
    ${none ? html`<div class="card"><${Empty} title="No dead letters">Messages that fail too often come here.<//></div>` : html`
    <div class="stack">
      ${data && Object.keys(data.rows).length > 0 && html`<${Queues} data=${data} chosen=${{ topic, queue }} onRedrive=${row => redrive(row)} />`}
      <div>
        <div class="toolbar">
          ${topic && html`<span class="bulk"><span class="name">${topic}${queue && `/${queue}`}</span><button class="small quiet" onClick=${() => changeQuery({ topic: "", queue: "", message: "" })}>Show all</button></span>`}
          <${Search} label="Filter dead letters" placeholder="text, name=value or /json/pointer=value" value=${query.get("find") ?? ""} onChange=${find => changeQuery({ find, message: "" })} />
          <${Select} bare label="Reason" value=${reason} options=${REASONS} onChange=${to => changeQuery({ reason: to, message: "" })} />
          <${Select} bare label="Age" value=${query.get("older") ? `o${query.get("older")}` : query.get("newer") ? `n${query.get("newer")}` : ""} options=${[["", "any age"], ["n5m", "last 5 min"], ["n1h", "last hour"], ["n1d", "last day"], ["o1h", "older than 1 h"], ["o1d", "older than 1 d"]]} onChange=${age => changeQuery({ older: age.startsWith("o") ? age.slice(1) : "", newer: age.startsWith("n") ? age.slice(1) : "" })} />
          <button disabled=${loading} onClick=${reload}>Refresh</button>
          ${operates && filtered && topic && queue && html`<button onClick=${() => redrive({ topic, queue, filter })}>Redrive these …</button>`}
        </div>
        ${picked.size > 0 && html`<div class="toolbar"><div class="bulk" role="group" aria-label="What was chosen"><b>${plural(picked.size, "dead letter")}</b><button class="small" disabled=${busy} onClick=${redriveChosen}>Redrive</button><button class="small danger" disabled=${busy} onClick=${deleteChosen}>Delete …</button></div></div>`}
        ${error && html`<${Failed} error=${error} again=${again} />`}
        <div class=${`split ${chosen ? "open" : ""}`}>
          <div class="stack">
            ${!value && !error ? html`<${Loading} what="dead letters" />` : html`<${PlainTable} label="Dead letters" columns=${columns} rows=${rows} empty=${html`<div class="card"><${Empty} title="None is like that">${value?.scanned !== undefined && `${plural(value.scanned, "message")} looked at`}<//></div>`} />`}
            ${next && html`<div class="row"><button disabled=${busy} onClick=${() => run(async () => setMore({ key, pages: [...pages.slice(1), await get(`/dead${queryOf({ ...asked, limit: PAGE, after: next })}`)] }))}>${busy ? "Loading …" : "Show more"}</button><span class="dim">${count(messages.length)} shown</span></div>`}
          </div>
          ${chosen && html`<${Detail} key=${nameOf(chosen)} topic=${chosen.topic} queue=${chosen.queue} id=${chosen.id} onClose=${() => changeQuery({ message: "", in: "", of: "" })} onGone=${reload} />`}
        </div>
      </div>
    </div>`}
    ${redriving && html`<${Redrive} topic=${redriving.topic} queue=${redriving.queue} filter=${redriving.filter ?? {}} onClose=${() => {
      redrive(null);
      reload();
    }} />`}`;
}
