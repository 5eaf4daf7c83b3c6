// A prompt: otq as octoque's clients speak it, or the verbs of the command line. It remembers what was
// said, but no passwords.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { socketUrl } from "../api.js";
import { Choice, CopyButton } from "../parts.js";
import { changeQuery, kept } from "../state.js";
import { VERBS, run } from "./verbs.js";

/** Lines kept on the screen, and lines remembered. */
const SHOWN_MAX = 2000;
const REMEMBERED_MAX = 200;

const remembered = kept("console", []);
const secret = line => /^\s*(otq\s+)?connect\b/i.test(line) || /password|secret/i.test(line);

const OTQ = [
  ["PUT topic count BATCH", "stores rows; they follow, one in a line"],
  ["PUTACK topic count BATCH", "the same, with an answer for each"],
  ["PUBLISH topic count BATCH", "publishes rows to a pubsub topic"],
  ["GET topic count BATCH", "takes messages for good"],
  ["SUBSCRIBE topic", "is sent messages from now on"],
  ["UNSUBSCRIBE topic", "not any more"],
  ["DISPLAY topic", "a topic, or * for all"],
  ["NEW topic BROKER|PUBSUB", "makes a topic"],
  ["CLEAR topic", "removes all messages"],
  ["PING topic", "is it there?"],
];

/** What the two modes say first. */
function HelpOf({ mode }) {
  const lines = mode === "otq" ? OTQ : VERBS.map(([name, args, what]) => [`${name} ${args}`, what]);
  return html`<dl class="verbs">${lines.map(([what, why]) => html`<dt>${what}</dt><dd class="note">${why}</dd>`)}${mode !== "otq" && html`<dt>GET /v1/…</dt><dd class="note">any request: method, path, JSON body</dd>`}</dl>`;
}

/** The otq session of this screen. */
function useOtq(active, show) {
  const socket = useRef(null);
  const rows = useRef({ wanted: 0, due: 0 });
  const rest = useRef("");
  const [left, setLeft] = useState(0);
  const end = () => {
    const mine = socket.current;
    socket.current = null;
    mine?.close();
  };
  useEffect(() => end, []);
  useEffect(() => {
    if (!active) end();
  }, [active]);
  const open = () =>
    new Promise((resolve, reject) => {
      if (socket.current?.readyState === WebSocket.OPEN) return resolve(socket.current);
      const made = new WebSocket(socketUrl("/otq"));
      made.binaryType = "arraybuffer";
      const decoder = new TextDecoder();
      made.onopen = () => {
        socket.current = made;
        rest.current = "";
        rows.current = { wanted: 0, due: 0 };
        show({ note: "connected" });
        resolve(made);
      };
      made.onmessage = event => {
        const text = typeof event.data === "string" ? event.data : decoder.decode(event.data, { stream: true });
        const lines = (rest.current + text).split(/\r?\n/);
        rest.current = lines.pop();
        for (const line of lines) {
          if (line === "PROCEED" && rows.current.wanted > 0) {
            rows.current = { wanted: 0, due: rows.current.wanted };
            setLeft(rows.current.due);
          }
          show({ heard: line, refused: line.startsWith("DECLINE") });
        }
      };
      made.onclose = () => {
        rows.current = { wanted: 0, due: 0 };
        setLeft(0);
        if (socket.current === made) {
          socket.current = null;
          show({ note: "the session has ended; the next command begins another one" });
        } else reject(new Error("the broker refuses or does not answer"));
      };
    });
  const say = async line => {
    const made = await open();
    if (rows.current.due > 0) {
      rows.current.due -= 1;
      setLeft(rows.current.due);
      made.send(`${line}\r\n`);
      return;
    }
    const command = /^otq\s/i.test(line) ? line : `OTQ ${line}`;
    const [, verb = "", rest = ""] = command.match(/^otq\s+(\S+)\s*(.*)$/i) ?? [];
    // octoque's clients write the words of the protocol in capitals.
    const sent = `OTQ ${verb.toUpperCase()} ${rest.replace(/\b(batch|stream|broker|pubsub)\b(?=\s*$|\s+\S+\s*$)/i, word => word.toUpperCase())}`.trim();
    const many = sent.match(/^OTQ (?:PUT|PUTACK|PUBLISH) \S+ (\d+)/);
    rows.current = { wanted: many ? Number(many[1]) : 0, due: 0 };
    made.send(`${sent}\r\n`);
  };
  return { say, left };
}

export function Console({ route }) {
  const mode = route.query.get("mode") === "otq" ? "otq" : "verbs";
  const [lines, setLines] = useState([]);
  const [text, setText] = useState("");
  const [busy, setBusy] = useState(false);
  const [at, setAt] = useState(-1);
  const box = useRef(null);
  const input = useRef(null);
  const show = entry => setLines(before => [...before, { ...entry, key: Math.random() }].slice(-SHOWN_MAX));
  const otq = useOtq(mode === "otq", show);
  useEffect(() => {
    document.title = "Console · octoq";
    input.current?.focus({ preventScroll: true });
  }, [mode]);
  useLayoutEffect(() => {
    if (lines.length) box.current.scrollTop = box.current.scrollHeight;
  }, [lines]);
  const submit = async event => {
    event.preventDefault();
    const row = mode === "otq" && otq.left > 0;
    const line = row ? text : text.trim();
    if ((!line && !row) || (busy && mode !== "otq")) return;
    setText("");
    setAt(-1);
    if (line === "clear") return setLines([]);
    show({ said: secret(line) && !row ? line.replace(/\S+\s*$/, "•••") : line });
    if (!row && !secret(line)) remembered.set([line, ...remembered.get().filter(one => one !== line)].slice(0, REMEMBERED_MAX));
    if (line === "help" && !row) return show({ help: mode });
    setBusy(true);
    try {
      if (mode === "otq") await otq.say(line);
      else {
        const told = await run(line);
        show({ heard: told === null ? "done" : typeof told === "string" ? told : JSON.stringify(told, null, 2) });
      }
    } catch (error) {
      show({ heard: `${error.message}${error.code ? ` (${error.code})` : ""}`, refused: true });
    } finally {
      setBusy(false);
    }
    return undefined;
  };
  const recall = event => {
    if (event.key === "Tab" && mode === "verbs" && text) {
      const found = VERBS.map(([name]) => name).filter(name => name.startsWith(text));
      if (found.length && found[0] !== text) {
        event.preventDefault();
        setText(`${found[0]} `);
      }
      return;
    }
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    event.preventDefault();
    const list = remembered.get();
    const next = Math.max(-1, Math.min(list.length - 1, at + (event.key === "ArrowUp" ? 1 : -1)));
    setAt(next);
    setText(next < 0 ? "" : list[next]);
  };
  const heard = () => lines.map(line => (line.said !== undefined ? `> ${line.said}` : line.heard ?? "")).join("\n");
  return html`
    <div class="head"><h1>Console</h1><span class="grow"></span><${Choice} label="Language" value=${mode} options=${[["verbs", "Verbs"], ["otq", "otq"]]} onChange=${to => changeQuery({ mode: to === "otq" ? "otq" : "" })} /><${CopyButton} text=${heard} label="Copy all" /><button class="small" onClick=${() => setLines([])}>Clear</button></div>
    <section class="card console" aria-label="Console">
      <div class="console-out" ref=${box} role="log" aria-label="Answers" tabindex="0">
        ${lines.length === 0 && html`<p class="note">${mode === "otq" ? "The otq protocol, logged in as you are. OTQ in front is optional." : "The verbs of the command line, done through the API."} “help” lists them, ↑ recalls, Tab completes.</p><${HelpOf} mode=${mode} />`}
        ${lines.map(line => (line.help ? html`<${HelpOf} key=${line.key} mode=${line.help} />` : html`<pre key=${line.key} class=${line.said !== undefined ? "said" : line.note ? "note" : line.refused ? "refused" : ""}>${line.said !== undefined ? `> ${line.said}` : line.note ?? line.heard}</pre>`))}
      </div>
      <form class="console-in" onSubmit=${submit}><label for="line">${mode === "otq" ? (otq.left > 0 ? `row (${otq.left} left)` : "otq") : "octoq"}</label><input id="line" data-search ref=${input} value=${text} readOnly=${busy && mode !== "otq"} onInput=${event => setText(event.target.value)} onKeyDown=${recall} autocomplete="off" autocapitalize="none" spellcheck="false" /></form>
    </section>`;
}
