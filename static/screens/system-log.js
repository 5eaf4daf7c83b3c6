// What the broker logs, as it comes.

import { html, useEffect, useLayoutEffect, useRef, useState } from "../vendor/htm-preact.js";
import { get, query } from "../api.js";
import { moment, time } from "../format.js";
import { CopyButton, Empty, Failed, Icon, Loading, Search, Select } from "../parts.js";
import { changeQuery } from "../state.js";

const LINES_MAX = 2000;
const LOOK_MS = 2000;
/** Tells lines apart, also of brokers before a restart. */
let keys = 0;

export function Log({ route }) {
  const level = route.query.get("level") ?? "info";
  const find = route.query.get("find") ?? "";
  const [lines, setLines] = useState(null);
  const [error, setError] = useState(null);
  const [paused, setPaused] = useState(false);
  const stopped = useRef(false);
  stopped.current = paused;
  const box = useRef(null);
  const down = useRef(true);
  useEffect(() => {
    const leave = new AbortController();
    // The newest lines first, then what comes behind them.
    let after;
    let timer = 0;
    setLines(null);
    const look = async () => {
      if (!document.hidden && !stopped.current) {
        try {
          const told = await get(`/log${query({ level, after, limit: 500 })}`, { signal: leave.signal });
          const fresh = told.lines;
          // A broker that was started again counts anew.
          if (after !== undefined && told.next < after) after = undefined;
          else {
            after = told.next;
            setLines(before => [...(before ?? []), ...fresh.map(line => ({ ...line, key: (keys += 1) }))].slice(-LINES_MAX));
          }
          setError(null);
        } catch (problem) {
          if (problem.name === "AbortError") return;
          setError(problem);
          if (problem.status === 403) return;
        }
      }
      if (!leave.signal.aborted) timer = setTimeout(look, LOOK_MS);
    };
    look();
    return () => {
      leave.abort();
      clearTimeout(timer);
    };
  }, [level]);
  const wanted = (lines ?? []).filter(line => !find || `${line.target} ${line.message}`.toLowerCase().includes(find.toLowerCase()));
  useLayoutEffect(() => {
    if (down.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lines, find]);
  const text = () => wanted.map(line => `${moment(line.at_ms)} ${line.level.toUpperCase()} ${line.target} ${line.message}`).join("\n");
  return html`<div class="toolbar">
      <${Select} bare label="Level" value=${level} options=${[["error", "errors"], ["warn", "warnings and above"], ["info", "info and above"], ["debug", "debug and above"], ["trace", "everything"]]} onChange=${to => changeQuery({ level: to === "info" ? "" : to })} />
      <${Search} label="Filter lines" value=${find} onChange=${next => changeQuery({ find: next })} />
      <button aria-pressed=${paused} onClick=${() => setPaused(!paused)}><${Icon} of=${paused ? "play" : "pause"} />${paused ? "Go on" : "Pause"}</button>
      <${CopyButton} text=${text} label="Copy lines" />
    </div>
    ${error && html`<${Failed} error=${error} />`}
    <div class="stream" ref=${box} tabindex="0" role="log" aria-live="off" aria-label="Log of the broker" onScroll=${() => {
      const { scrollTop, scrollHeight, clientHeight } = box.current;
      down.current = scrollHeight - scrollTop - clientHeight < 30;
    }}>
      ${!lines && !error ? html`<${Loading} />` : wanted.length === 0 ? html`<${Empty} title="No lines" />` : wanted.map(line => html`<div key=${line.key} class=${`log-row ${line.level}`}><span class="dim num" title=${moment(line.at_ms)}>${time(line.at_ms)}</span><span class="level">${line.level}</span><span class="dim target">${line.target}</span><span>${line.message}</span></div>`)}
    </div>`;
}
