// The page: who is here, where in the page, and the frame around every screen.

import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./vendor/htm-preact.js";
import { ask, whoami } from "./api.js";
import { connection, held, reconnect } from "./live.js";
import { Dialog, Icon, Loading, Questions, Toasts, complain } from "./parts.js";
import { absolute, go, route, session, store, theme, useStore } from "./state.js";
import { Overview } from "./screens/overview.js";

/** Screens: key, name, letter behind `g`, file. What is not shown first is loaded when it is. */
const SCREENS = [
  ["overview", "Overview", "o", Overview],
  ["topics", "Topics", "t", () => import("./screens/topics.js").then(file => file.Topics)],
  ["dead", "Dead letters", "d", () => import("./screens/dead.js").then(file => file.Dead)],
  ["connections", "Connections", "c", () => import("./screens/connections.js").then(file => file.Connections)],
  ["console", "Console", "k", () => import("./screens/console.js").then(file => file.Console)],
  ["system", "System", "s", () => import("./screens/system.js").then(file => file.System)],
];
const OTHERS = {
  topic: () => import("./screens/topic.js").then(file => file.Topic),
};
const loaded = new Map([["overview", Overview]]);

const help = store(false);

// ---- signing in

function Login() {
  const [user, setUser] = useState("");
  const [password, setPassword] = useState("");
  const [readOnly, setReadOnly] = useState(false);
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async event => {
    event.preventDefault();
    setBusy(true);
    setError("");
    try {
      await ask("POST", "/session", { user, password, read_only: readOnly });
      await whoami();
    } catch (problem) {
      setError(problem.status === 401 ? "This user and password do not go together." : problem.message);
      setBusy(false);
    }
  };
  const first = useRef(null);
  useEffect(() => {
    document.title = "Sign in · octoq";
    first.current.focus();
  }, []);
  return html`<main class="login" id="main">
    <form class="card" onSubmit=${submit}>
      <h1 class="brand"><img src="/ui/icon.svg" alt="" width="28" height="28" />octoq</h1>
      <p class="dim">Sign in with a user of this broker.</p>
      ${error && html`<div class="notice bad" role="alert">${error}</div>`}
      <div class="field"><label for="user">User</label><input id="user" name="user" autocomplete="username" autocapitalize="none" spellcheck="false" ref=${first} required value=${user} onInput=${event => setUser(event.target.value)} /></div>
      <div class="field"><label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" required value=${password} onInput=${event => setPassword(event.target.value)} /></div>
      <div class="field check"><label><input type="checkbox" checked=${readOnly} onChange=${event => setReadOnly(event.target.checked)} /> <span>Look only: change nothing in this session</span></label></div>
      <button class="primary" disabled=${busy || !user}>${busy ? "Signing in …" : "Sign in"}</button>
    </form>
  </main>`;
}

// ---- the frame

function Lost() {
  const { state, againAt, since, why } = useStore(connection);
  const [, draw] = useState(0);
  useEffect(() => {
    if (state !== "waiting") return undefined;
    const timer = setInterval(() => draw(value => value + 1), 250);
    return () => clearInterval(timer);
  }, [state]);
  if (state === "refused") return html`<div class="lost"><span role="alert">The broker sends no figures: ${why}</span><button class="small" onClick=${reconnect}>Try now</button></div>`;
  if (state !== "waiting") return html`<div role="alert"></div>`;
  const left = Math.max(0, Math.ceil((againAt - Date.now()) / 1000));
  return html`<div class="lost"><span role="alert">Connection lost.</span><span>${left > 0 ? `Trying again in ${left} s.` : "Trying again …"} What is shown is from ${new Date(since).toLocaleTimeString("en-GB")}.</span><button class="small" onClick=${reconnect}>Try now</button></div>`;
}

function Live() {
  const { state } = useStore(connection);
  const paused = useStore(held);
  const words = { open: "Live", paused: "Paused", waiting: "Offline", refused: "Refused", connecting: "Connecting" }[state];
  const title = paused ? "Go on (p)" : "Pause the figures (p)";
  return html`<button type="button" class=${`live ${state}`} aria-pressed=${paused} title=${title} onClick=${() => held.set(!paused)}><span class="live-dot" aria-hidden="true"></span>${words}<${Icon} of=${paused ? "play" : "pause"} /></button>`;
}

const THEMES = ["system", "light", "dark"];
const nextTheme = () => theme.set(THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length]);

function Who() {
  const who = useStore(session);
  const leave = async () => {
    try {
      await ask("DELETE", "/session");
      await whoami();
    } catch (error) {
      complain(error);
    }
  };
  const name = who.user ?? (who.anonymous ? "this machine" : "nobody");
  return html`<div class="who"><span class="who-name" title=${who.anonymous ? "Callers from this machine need no login (auth.anonymous)" : undefined}>${name}</span><span class="badge">${who.read_only ? "read-only" : who.role}</span>${!who.anonymous && html`<button type="button" class="quiet square" title="Sign out" aria-label="Sign out" onClick=${leave}><${Icon} of="out" /></button>`}</div>`;
}

function Help() {
  const keys = [
    ...SCREENS.map(([, name, letter]) => [["g", letter], name]),
    [["/"], "Search in this screen"],
    [["↑", "↓"], "From row to row of a table"],
    [["p"], "Pause or go on with live figures"],
    [["a"], "Times relative or absolute"],
    [["t"], "Theme: system, light, dark"],
    [["Esc"], "Close a dialog, leave a field"],
    [["?"], "This list"],
  ];
  return html`<${Dialog} title="Keyboard" onClose=${() => help.set(false)}>
    <dl class="keys">${keys.map(([key, what]) => html`<div><dt>${key.map(one => html`<kbd>${one}</kbd>`)}</dt><dd>${what}</dd></div>`)}</dl>
  <//>`;
}

function Broken({ error, again }) {
  return html`<div class="notice bad" role="alert"><span>This screen failed: ${String(error?.message ?? error)}</span><button class="small" onClick=${again}>Show it again</button></div>`;
}

/** A screen, loaded when it is wanted; a failure in it leaves the frame alone. */
function Screen({ screen, ...props }) {
  const [error, reset] = useErrorBoundary(problem => console.error(problem));
  const [, draw] = useState(0);
  const [failed, fail] = useState(null);
  const known = loaded.get(screen);
  useEffect(() => {
    if (known) return;
    const load = OTHERS[screen] ?? SCREENS.find(([key]) => key === screen)?.[3];
    if (!load) return go(["overview"]);
    load().then(
      made => {
        loaded.set(screen, made);
        draw(count => count + 1);
      },
      problem => fail(problem),
    );
  }, [screen, failed]);
  if (error) return html`<${Broken} error=${error} again=${reset} />`;
  if (failed) return html`<${Broken} error=${failed} again=${() => fail(null)} />`;
  return known ? html`<${known} ...${props} />` : html`<${Loading} />`;
}

function Frame() {
  const at = useStore(route);
  const look = useStore(theme);
  const plain = useStore(absolute);
  const shown = useStore(help);
  const current = at.screen === "topic" ? "topics" : at.screen;
  useEffect(() => {
    // Where there is no room for all of them, the current one is in view.
    document.querySelector(".side nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [current]);
  return html`<div class="frame">
    <a class="skip" href="#main" onClick=${event => {
      event.preventDefault();
      document.getElementById("main").focus();
    }}>Skip to the content</a>
    <header class="side">
      <a class="brand" href="#/overview"><img src="/ui/icon.svg" alt="" width="24" height="24" />octoq</a>
      <nav aria-label="Screens">${SCREENS.map(([key, name, letter]) => html`<a href=${`#/${key}`} aria-current=${key === current ? "page" : undefined} title=${`g ${letter}`}><${Icon} of=${key} /><span>${name}</span></a>`)}</nav>
      <div class="side-foot">
        <${Live} />
        <div class="side-tools">
          <button type="button" class="quiet square" title=${`Theme: ${look} (t)`} aria-label=${`Theme: ${look}`} onClick=${nextTheme}><${Icon} of=${{ system: "auto", light: "sun", dark: "moon" }[look]} /></button>
          <button type="button" class="quiet square" title=${`${plain ? "Absolute" : "Relative"} times (a)`} aria-label="Absolute times" aria-pressed=${plain} onClick=${() => absolute.set(!plain)}><${Icon} of="clock" /></button>
          <button type="button" class="quiet square" title="Keyboard (?)" aria-label="Keyboard shortcuts" onClick=${() => help.set(true)}><${Icon} of="help" /></button>
        </div>
        <${Who} />
      </div>
    </header>
    <div class="content">
      <${Lost} />
      <main id="main" tabindex="-1"><${Screen} key=${`${at.screen}/${at.screen === "topic" ? at.parts[0] : ""}`} screen=${at.screen} route=${at} /></main>
    </div>
    ${shown && html`<${Help} />`}
  </div>`;
}

function App() {
  const who = useStore(session);
  const [error, setError] = useState(null);
  const start = () => {
    setError(null);
    whoami().catch(setError);
  };
  useEffect(start, []);
  let shown = html`<${Loading} />`;
  if (who) shown = html`<${Frame} />`;
  else if (who === null) shown = html`<${Login} />`;
  else if (error) shown = html`<div class="login"><div class="notice bad" role="alert"><span>The broker does not answer: ${error.message}</span><button class="small" onClick=${start}>Try again</button></div></div>`;
  return html`${shown}<${Questions} /><${Toasts} />`;
}

// ---- keys

let before = "";
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (!session.get()) return;
  const { key } = event;
  const screen = before === "g" && SCREENS.find(([, , letter]) => letter === key);
  before = key;
  if (screen) go([screen[0]]);
  else if (key === "?") help.set(true);
  else if (key === "p") held.set(!held.get());
  else if (key === "a") absolute.set(!absolute.get());
  else if (key === "t") nextTheme();
  else if (key === "/") document.querySelector("[data-search]")?.focus();
  else return;
  event.preventDefault();
});

render(html`<${App} />`, document.getElementById("app"));
