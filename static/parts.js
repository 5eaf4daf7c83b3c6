// The small parts that screens are made of.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";
import { distance, moment, parseSpan, span } from "./format.js";
import { absolute, store, useStore } from "./state.js";

// ---- pictures: one stroke, 20 by 20

const PATHS = {
  overview: "M3 11h5v6H3zM12 3h5v14h-5zM3 3h5v4H3z",
  topics: "M3 5h14M3 10h14M3 15h14",
  dead: "M10 2.5 18 17H2zM10 8v4M10 14.2v.3",
  connections: "M7 6V2.5M13 6V2.5M5 6h10v4a5 5 0 0 1-10 0zM10 15v3",
  console: "M3 4h14v12H3zM6 8l2.5 2L6 12M10.5 12.5H14",
  system: "M10 7a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM10 2.5v2M10 15.5v2M2.5 10h2M15.5 10h2M4.7 4.7l1.4 1.4M13.9 13.9l1.4 1.4M15.3 4.7l-1.4 1.4M6.1 13.9l-1.4 1.4",
  sun: "M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7zM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1 1M14.7 14.7l1 1M15.7 4.3l-1 1M5.3 14.7l-1 1",
  moon: "M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z",
  auto: "M3 4h14v9H3zM7 17h6M10 13v4",
  pause: "M7 4v12M13 4v12",
  play: "M6 4l10 6-10 6z",
  plus: "M10 4v12M4 10h12",
  close: "M5 5l10 10M15 5L5 15",
  copy: "M7 7h9v10H7zM13 7V3H4v10h3",
  out: "M8 3H4v14h4M12 6l4 4-4 4M16 10H8",
  search: "M9 3.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11zM13 13l4 4",
  clock: "M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15zM10 6v4l3 2",
  help: "M7.5 7.5a2.5 2.5 0 1 1 3.5 2.3c-.7.3-1 .8-1 1.7M10 14.5v.3M10 2.5a7.5 7.5 0 1 0 0 15 7.5 7.5 0 0 0 0-15z",
  back: "M12 4l-6 6 6 6",
  check: "M4 10.5l4 4 8-9",
};

export function Icon({ of, class: extra = "" }) {
  return html`<svg class=${`icon ${extra}`} viewBox="0 0 20 20" aria-hidden="true" focusable="false"><path d=${PATHS[of]} /></svg>`;
}

// ---- times

/** Draws again now and then, so that distances from now stay true. */
const beat = store(0);
setInterval(() => document.hidden || beat.set(beat.get() + 1), 5000);

/** A time: how long ago, or as it is; a click changes that for all times of the page. */
export function Time({ at }) {
  const plain = useStore(absolute);
  useStore(beat);
  if (at === undefined || at === null) return html`<span class="dim">–</span>`;
  const full = moment(at);
  const flip = event => {
    event.stopPropagation();
    absolute.set(!plain);
  };
  const iso = Math.abs(at) < 8.64e15 ? new Date(at).toISOString() : undefined;
  return html`<time class="time" datetime=${iso} title=${`${full} (click: ${plain ? "relative" : "absolute"} times)`} onClick=${flip}>${plain ? full : distance(at)}</time>`;
}

// ---- words

export function Badge({ tone = "", title, children }) {
  return html`<span class=${`badge ${tone}`} title=${title}>${children}</span>`;
}

const BADGES = { paused: "warn", dead: "bad", near_limit: "warn", disk_full: "bad", slow: "warn", oldest_too_old: "warn", backlog_growing: "bad" };
export const badgeTone = name => BADGES[name] ?? "";

/** The mark of a message state: a dot in its colour, and its name. */
export function State({ of }) {
  return html`<span class=${`state s-${of}`}>${String(of).replaceAll("_", " ")}</span>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children && html`<div>${children}</div>`}</div>`;
}

export function Loading({ what = "" }) {
  return html`<div class="empty" role="status"><span class="spinner" aria-hidden="true"></span> <span>${what ? `loading ${what} …` : "loading …"}</span></div>`;
}

export function Failed({ error, again }) {
  return html`<div class="notice bad" role="alert"><span>${error.message} <code>${error.code}</code></span>${again && html`<button class="small" onClick=${again}>Try again</button>`}</div>`;
}

/** A part of a whole as a bar; above 80 of 100 it warns, unless it is `plain`. */
export function Meter({ value, max, label, plain }) {
  const part = max > 0 ? Math.min(1, value / max) : 0;
  const bar = useRef(null);
  useLayoutEffect(() => {
    bar.current.style.width = `${(part * 100).toFixed(1)}%`;
  });
  return html`<div class=${`meter ${plain ? "" : part > 0.95 ? "bad" : part > 0.8 ? "warn" : ""}`} role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(part * 100)}><div ref=${bar}></div></div>`;
}

// ---- forms

let fields = 0;

/** A label with what it labels: `control` gets the id. */
export function Field({ label, hint, class: extra = "", children }) {
  const [id] = useState(() => `f${(fields += 1)}`);
  return html`<div class=${`field ${extra}`}><label for=${id}>${label}</label>${children(id)}${hint && html`<p class="hint">${hint}</p>`}</div>`;
}

export function Text({ label, value, onChange, hint, area, class: extra, ...more }) {
  const input = event => onChange(event.target.value);
  return html`<${Field} label=${label} hint=${hint} class=${extra}>${id =>
    area ? html`<textarea id=${id} value=${value} onInput=${input} spellcheck="false" ...${more}></textarea>` : html`<input id=${id} value=${value} onInput=${input} autocomplete="off" spellcheck="false" ...${more} />`}<//>`;
}

export function Select({ label, value, onChange, options, hint, bare, ...more }) {
  const control = id => html`<select id=${id} aria-label=${bare ? label : undefined} onChange=${event => onChange(event.target.value)} ...${more}>${options.map(option => {
    const [key, name] = Array.isArray(option) ? option : [option, option];
    return html`<option value=${key} selected=${String(key) === String(value)}>${name}</option>`;
  })}</select>`;
  return bare ? control(undefined) : html`<${Field} label=${label} hint=${hint}>${control}<//>`;
}

export function Check({ label, checked, onChange, hint, ...more }) {
  return html`<div class="field check"><label><input type="checkbox" checked=${checked} onChange=${event => onChange(event.target.checked)} ...${more} /> <span>${label}</span></label>${hint && html`<p class="hint">${hint}</p>`}</div>`;
}

/** A span of time: "30s", "1h30m", or milliseconds. */
export function SpanField({ label, value, onChange, hint, ...more }) {
  const ms = value.trim() === "" ? undefined : parseSpan(value);
  const said = value.trim() === "" ? hint : ms === undefined ? "a span like 30s, 5m, 1h30m or milliseconds" : `= ${span(ms)}`;
  return html`<${Text} label=${label} value=${value} onChange=${onChange} hint=${said} aria-invalid=${value.trim() !== "" && ms === undefined} placeholder="30s" ...${more} />`;
}

/** What filters a table; `/` puts the cursor here. It waits until typing pauses. */
export function Search({ value, onChange, label, placeholder }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  const change = next => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next), 200);
  };
  return html`<div class="search"><${Icon} of="search" /><input type="search" data-search aria-label=${label} placeholder=${placeholder ?? label} value=${text} onInput=${event => change(event.target.value)} autocomplete="off" spellcheck="false" /></div>`;
}

/** Tabs as links: each has its own address. */
export function Tabs({ label, at, tabs }) {
  return html`<nav class="tabs" aria-label=${label}>${tabs.map(([key, name, to, more]) => html`<a href=${to} aria-current=${key === at ? "page" : undefined}>${name}${more !== undefined && html` <span class="tab-count">${more}</span>`}</a>`)}</nav>`;
}

/** A choice between a few: buttons of which one is pressed. */
export function Choice({ label, value, options, onChange }) {
  return html`<div class="choice" role="group" aria-label=${label}>${options.map(([key, name]) => html`<button type="button" aria-pressed=${key === value} onClick=${() => onChange(key)}>${name}</button>`)}</div>`;
}

// ---- clipboard and files

export async function copy(text, what = "Copied") {
  try {
    await navigator.clipboard.writeText(text);
    toast(what);
  } catch {
    // Not a secure context (plain http from afar): the old way, by a selection.
    const area = document.createElement("textarea");
    area.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    toast(done ? what : "This browser does not let the page copy", done ? "good" : "bad");
  }
}

export const CopyButton = ({ text, label = "Copy", what }) => html`<button type="button" class="small quiet" onClick=${() => copy(typeof text === "function" ? text() : text, what)}><${Icon} of="copy" />${label}</button>`;

export function download(name, type, parts) {
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// ---- toasts

const toasts = store([]);
let told = 0;

export function toast(text, tone = "good") {
  const entry = { id: (told += 1), text, tone };
  toasts.set([...toasts.get().slice(-3), entry]);
  setTimeout(() => drop(entry.id), tone === "bad" ? 9000 : 4000);
}
const drop = id => toasts.set(toasts.get().filter(entry => entry.id !== id));
export const complain = error => error.name === "AbortError" || toast(error.code ? `${error.message} (${error.code})` : String(error.message ?? error), "bad");

export function Toasts() {
  const shown = useStore(toasts);
  return html`<div class="toasts" aria-live="polite" role="status">${shown.map(entry => html`<div key=${entry.id} class=${`toast ${entry.tone}`}><span>${entry.text}</span><button class="quiet small square" aria-label="Dismiss" onClick=${() => drop(entry.id)}><${Icon} of="close" /></button></div>`)}</div>`;
}

// ---- dialogs

/** A dialog that is open as long as it is drawn. */
export function Dialog({ title, onClose, wide, children, foot, onSubmit }) {
  const dialog = useRef(null);
  const [id] = useState(() => `d${(fields += 1)}`);
  useLayoutEffect(() => {
    const back = document.activeElement;
    dialog.current.showModal();
    return () => back?.isConnected && back.focus();
  }, []);
  const submit = event => {
    event.preventDefault();
    onSubmit?.();
  };
  const cancel = event => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${cancel}>
    <form onSubmit=${submit} novalidate>
      <header><h2 id=${id}>${title}</h2><button type="button" class="quiet square" aria-label="Close" onClick=${onClose}><${Icon} of="close" /></button></header>
      <div class="dialog-body">${children}</div>
      ${foot && html`<footer>${foot}</footer>`}
    </form>
  </dialog>`;
}

const question = store(null);

/** Above so many messages the name must be typed. */
const TYPED_ABOVE = 1000;

/**
 * Asks before something is lost. `lost` says what; `messages` how many of it are messages; `name` is
 * what must be typed when they are many. Resolves to true or false.
 */
export function confirmLoss({ title, lost, messages = 0, name, action, curl }) {
  return new Promise(resolve => {
    const end = answer => {
      question.set(null);
      resolve(answer);
    };
    question.set({ title, lost, name, action, curl, typed: messages > TYPED_ABOVE, end });
  });
}

function Question({ title, lost, name, action, curl, typed, end }) {
  const [text, setText] = useState("");
  const ready = !typed || text === name;
  const foot = html`<button type="button" onClick=${() => end(false)} autofocus=${!typed}>Cancel</button><button class="danger" disabled=${!ready}>${action}</button>`;
  return html`<${Dialog} title=${title} onClose=${() => end(false)} onSubmit=${() => ready && end(true)} foot=${foot}>
    <div class="notice bad"><div>${lost}</div></div>
    ${typed && html`<${Text} label=${html`Type <code class="name">${name}</code> to go on`} value=${text} onChange=${setText} autofocus=${true} />`}
    ${curl && html`<${Terminal} text=${curl} />`}
  <//>`;
}

export function Questions() {
  const asked = useStore(question);
  return asked && html`<${Question} key=${asked.title} ...${asked} />`;
}

/** The same for a terminal. */
export function Terminal({ text, open }) {
  return html`<details class="terminal" open=${open}><summary>As curl</summary><div class="code-line"><code>${text}</code><${CopyButton} text=${text} what="Copied as curl" /></div></details>`;
}

/** Runs something that may fail, once at a time: `[busy, run]`. */
export function useBusy() {
  const [busy, setBusy] = useState(false);
  const here = useRef(true);
  useEffect(() => () => (here.current = false), []);
  const run = async work => {
    if (busy) return undefined;
    setBusy(true);
    try {
      return await work();
    } catch (error) {
      complain(error);
      return undefined;
    } finally {
      if (here.current) setBusy(false);
    }
  };
  return [busy, run];
}

const NARROW = matchMedia("(max-width: 520px)");

/** The window is as narrow as a telephone's. */
export function useNarrow() {
  const [narrow, set] = useState(NARROW.matches);
  useEffect(() => {
    const changed = () => set(NARROW.matches);
    NARROW.addEventListener("change", changed);
    return () => NARROW.removeEventListener("change", changed);
  }, []);
  return narrow;
}

/** Loads when `deps` change: `{value, error, loading, again}`. What is late is dropped. */
export function useLoad(load, deps) {
  const [state, set] = useState({ value: undefined, error: null, loading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const leave = new AbortController();
    set(before => ({ ...before, loading: true }));
    load(leave.signal).then(
      value => leave.signal.aborted || set({ value, error: null, loading: false }),
      error => leave.signal.aborted || set(before => ({ value: before.value, error, loading: false })),
    );
    return () => leave.abort();
  }, [...deps, turn]);
  return { ...state, again: () => setTurn(turn + 1) };
}
