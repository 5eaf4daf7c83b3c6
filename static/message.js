// One message, shown: its body as a tree, as text or as bytes; what is known of it; its life.

import { html, useMemo, useState } from "./vendor/htm-preact.js";
import { bytes, count, moment, parseExact, plural, words } from "./format.js";
import { Badge, Choice, CopyButton, State, Time, download } from "./parts.js";

/** Text beyond this is cut in the page (a download has it all). */
const TEXT_MAX = 200_000;
const HEX_MAX = 8192;
/** Entries of an array or object drawn at once. */
const TWIGS = 100;

const fromBase64 = text => Uint8Array.from(atob(text), letter => letter.charCodeAt(0));

/** `{text}` or `{data}` (bytes that are no text), or null: it is masked. */
export function bodyOf(message) {
  if (message.masked) return null;
  if (message.body !== undefined) return { text: message.body };
  if (message.base64 !== undefined) return { data: fromBase64(message.base64) };
  return { text: "" };
}

/** The first line of a body, for lists. */
export function preview(message) {
  if (message.masked) return html`<span class="dim">masked · ${bytes(message.body_bytes)}</span>`;
  if (message.base64 !== undefined) return html`<span class="dim">${bytes(Math.floor((message.base64.length * 3) / 4))} of no text</span>`;
  return (message.body ?? "").slice(0, 200);
}

const KINDS = { string: "j-string", number: "j-number", boolean: "j-word", object: "j-word" };

function Twig({ name, value, depth }) {
  const [open, setOpen] = useState(depth < 2);
  const [shown, more] = useState(TWIGS);
  const key = name !== undefined && html`<span class="j-key">${name}</span>: `;
  if (value === null || typeof value !== "object" || JSON.isRawJSON?.(value)) return html`<li class="leaf"><span>${"\u2007\u2007"}</span>${key}<span class=${JSON.isRawJSON?.(value) ? KINDS.number : KINDS[typeof value]}>${JSON.stringify(value)}</span></li>`;
  const list = Array.isArray(value);
  const entries = Object.entries(value);
  const [left, right] = list ? "[]" : "{}";
  const size = list ? plural(entries.length, "item") : plural(entries.length, "field");
  if (entries.length === 0) return html`<li class="leaf"><span>${"\u2007\u2007"}</span>${key}${left}${right}</li>`;
  return html`<li><button type="button" class="twig" aria-expanded=${open} onClick=${() => setOpen(!open)}>${open ? "▾" : "▸"} ${key}${left}${open ? "" : html` <span>${size}</span> ${right}`}</button>
    ${open && html`<ul>${entries.slice(0, shown).map(([field, one]) => html`<${Twig} key=${field} name=${list ? undefined : field} value=${one} depth=${depth + 1} />`)}${entries.length > shown && html`<li><button type="button" class="twig" onClick=${() => more(shown + TWIGS * 5)}>… ${count(entries.length - shown)} more</button></li>`}</ul><span>${right}</span>`}
  </li>`;
}

function hexLines(data) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, HEX_MAX); at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const hex = row.map(byte => byte.toString(16).padStart(2, "0"));
    const text = row.map(byte => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.slice(0, 8).join(" ").padEnd(23)}  ${hex.slice(8).join(" ").padEnd(23)}  ${text}`);
  }
  return lines.join("\n");
}

export function BodyView({ message, name = "message" }) {
  const body = useMemo(() => bodyOf(message), [message.body, message.base64, message.masked]);
  const json = useMemo(() => {
    if (body?.text === undefined || body.text.length > 1_000_000) return undefined;
    try {
      const value = parseExact(body.text) ?? JSON.parse(body.text);
      return value !== null && typeof value === "object" ? { value } : undefined;
    } catch {
      return undefined;
    }
  }, [body]);
  const [chosen, choose] = useState("");
  if (!body) return html`<div class="masked">The body (${bytes(message.body_bytes)}) is masked by a rule of this topic.</div>`;
  const forms = [...(json ? [["tree", "JSON"]] : []), ...(body.text !== undefined ? [["text", "Text"]] : []), ["hex", "Hex"]];
  const form = forms.some(([key]) => key === chosen) ? chosen : forms[0][0];
  const data = () => body.data ?? new TextEncoder().encode(body.text);
  const size = body.data ? body.data.length : new Blob([body.text]).size;
  let shown;
  if (form === "tree") shown = html`<ul class="tree"><${Twig} value=${json.value} depth=${0} /></ul>`;
  else if (form === "text") shown = html`<pre>${body.text.slice(0, TEXT_MAX)}${body.text.length > TEXT_MAX ? "\n… cut here; the download has all of it" : ""}</pre>`;
  else shown = html`<pre>${hexLines(data())}${size > HEX_MAX ? "\n… cut here; the download has all of it" : ""}</pre>`;
  return html`<div>
    <div class="section-head"><h3>Body</h3><span class="dim">${bytes(size)}</span><span class="grow"></span>${forms.length > 1 && html`<${Choice} label="Form of the body" value=${form} options=${forms} onChange=${choose} />`}${body.text !== undefined && html`<${CopyButton} text=${body.text} />`}<button type="button" class="small quiet" onClick=${() => download(name, "application/octet-stream", [data()])}>Save</button></div>
    ${size === 0 ? html`<p class="dim">empty</p>` : html`<div class=${`body-view as-${form}`} tabindex="0" role="region" aria-label="Body">${shown}</div>`}
  </div>`;
}

function Life({ life }) {
  return html`<div><h3>Life</h3><ol class="life">${life.map(entry => html`<li class=${entry.event}>
    <div class="life-head"><b>${words(entry.event)}</b>${entry.attempt !== undefined && html`<span class="dim">attempt ${entry.attempt}</span>`}${entry.reason && html`<span class="dim">${words(entry.reason)}</span>`}${entry.door && html`<span class="dim">at ${entry.door}</span>`}<span class="grow"></span>${entry.at_ms !== undefined && html`<span class="dim"><${Time} at=${entry.at_ms} /></span>`}</div>
    ${entry.error && html`<span class="error-text">${entry.error}</span>`}
  </li>`)}</ol></div>`;
}

const attributeText = value => (typeof value === "string" ? value : JSON.stringify(value));

/** All that is known of a message but what can be done with it. */
export function MessageFacts({ message }) {
  const attributes = Object.entries(message.attributes ?? {});
  const facts = [
    ["State", html`<${State} of=${message.state} />${message.dead && html` <span class="dim">${words(message.dead.reason)}, <${Time} at=${message.dead.at_ms} /></span>`}`],
    ["Published", html`<${Time} at=${message.published_at_ms} /> <span class="dim num">${moment(message.published_at_ms)}</span>`],
    ["Number", html`<span class="num">${message.seq}</span>`],
    ["Attempts", html`<span class="num">${message.attempts}</span>`],
    message.visible_at_ms !== undefined && ["Ready", html`<${Time} at=${message.visible_at_ms} />`],
    message.deadline_ms !== undefined && ["To be acked", html`<${Time} at=${message.deadline_ms} />`],
    message.expires_at_ms !== undefined && ["Expires", html`<${Time} at=${message.expires_at_ms} />`],
    message.priority && ["Priority", message.priority],
    message.front && ["Front", "yes"],
    message.ordering_key && ["Ordering key", html`<code>${message.ordering_key}</code>`],
    message.dedup_key && ["Dedup key", html`<code>${message.dedup_key}</code>`],
  ].filter(Boolean);
  const error = [...(message.failures ?? [])].reverse().find(failure => failure.error);
  return html`
    <dl class="facts">${facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>
    ${error && !message.life && html`<span class="error-text">${error.error}</span>`}
    <${BodyView} message=${message} name=${message.id} />
    <div><div class="section-head"><h3>Attributes</h3></div>${attributes.length === 0 ? html`<p class="dim">none</p>` : html`<dl class="facts">${attributes.map(([name, value]) => html`<dt class="mono">${name}</dt><dd class="mono">${attributeText(value)}</dd>`)}</dl>`}${message.masked && attributes.length > 0 && html`<${Badge}>values masked<//>`}</div>
    ${message.life && html`<${Life} life=${message.life} />`}`;
}
