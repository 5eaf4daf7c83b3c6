// Copies of the store, and all definitions as one text.

import { html, useRef, useState } from "../vendor/htm-preact.js";
import { ask, curl, get, query, send } from "../api.js";
import { bytes, count } from "../format.js";
import { Dialog, Terminal, Text, download, toast, useBusy } from "../parts.js";

export function Store() {
  const [name, setName] = useState(() => `octoq-${new Date().toISOString().slice(0, 10)}.backup`);
  const [kept, setKept] = useState(null);
  const [plan, setPlan] = useState(null);
  const [busy, run] = useBusy();
  const file = useRef(null);
  const backup = event => {
    event.preventDefault();
    run(async () => {
      setKept(await ask("POST", `/backup${query({ keep: name })}`));
      toast("The backup is there");
    });
  };
  const take = () =>
    run(async () => {
      const answer = await send("POST", "/backup");
      download(name, "application/vnd.sqlite3", [await answer.blob()]);
    });
  const exportAll = () => run(async () => download("octoq-definitions.json", "application/json", [JSON.stringify(await get("/definitions"), null, 2)]));
  const choose = event =>
    run(async () => {
      const [chosen] = event.target.files;
      if (!chosen) return;
      const text = await chosen.text();
      event.target.value = "";
      const told = await (await send("POST", "/definitions?dry_run=true", { body: text })).json();
      setPlan({ text, told });
    });
  const apply = () =>
    run(async () => {
      const told = await (await send("POST", "/definitions", { body: plan.text })).json();
      setPlan(null);
      toast(`${count(told.created.length)} made, ${count(told.changed.length)} changed, ${count(told.refused.length)} refused`, told.refused.length ? "bad" : "good");
    });
  const named = list => list.map(one => (typeof one === "string" ? one : one.name ?? JSON.stringify(one)));
  return html`<div class="columns even">
    <section class="card" aria-label="Backup"><h2>Backup now</h2><form class="card-body stack" onSubmit=${backup}>
      <p class="dim">A consistent copy of the store, while the broker goes on. What topics of durability memory hold is not in it.</p>
      <${Text} label="Name" value=${name} onChange=${setName} />
      <div class="row"><button class="primary" disabled=${busy || !name}>${busy ? "Working …" : "Keep it at the broker"}</button><button type="button" disabled=${busy} onClick=${take}>Download it</button></div>
      ${kept && html`<div class="notice good" role="status"><span><span class="mono">${kept.path}</span>, ${bytes(kept.bytes)}, commit ${count(kept.commit)}</span></div>`}
      <${Terminal} text=${curl("POST", `/backup${query({ keep: name })}`)} />
    </form></section>
    <section class="card" aria-label="Definitions"><h2>Definitions</h2><div class="card-body stack">
      <p class="dim">All topics and queues with their settings, as one text that another broker can be brought to.</p>
      <div class="row"><button disabled=${busy} onClick=${exportAll}>Export</button><button disabled=${busy} onClick=${() => file.current.click()}>Import …</button><input ref=${file} type="file" accept="application/json,.json" class="hidden" tabindex="-1" aria-label="Definitions to import" onChange=${choose} /></div>
      <${Terminal} text=${curl("GET", "/definitions")} />
    </div></section>
    ${plan && html`<${Dialog} title="Import these definitions?" onClose=${() => setPlan(null)} onSubmit=${apply} foot=${html`<button type="button" onClick=${() => setPlan(null)}>Cancel</button><button class="primary" disabled=${busy}>Import</button>`}>
      <dl class="facts"><dt>Made</dt><dd class="name">${named(plan.told.created).join(", ") || "none"}</dd><dt>Changed</dt><dd class="name">${named(plan.told.changed).join(", ") || "none"}</dd><dt>As they are</dt><dd>${count(plan.told.unchanged)}</dd><dt>Refused</dt><dd>${plan.told.refused.length === 0 ? "none" : plan.told.refused.map(one => html`<div><span class="name">${one.name}</span>: ${one.detail}</div>`)}</dd></dl>
    <//>`}
  </div>`;
}
