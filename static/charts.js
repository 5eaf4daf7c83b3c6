// Charts over time, with gaps where nobody looked; and sparklines.

import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/htm-preact.js";
import { get, query } from "./api.js";
import { brief, now, rate, time } from "./format.js";
import { opened } from "./live.js";
import { theme, useStore } from "./state.js";

/** What the charts show: key in the history, its name, its colour in style.css. */
export const STATES = [
  ["ready", "Ready", "--c-ready"],
  ["in_flight", "In flight", "--c-in_flight"],
  ["delayed", "Delayed", "--c-delayed"],
  ["dead", "Dead", "--c-dead"],
];
export const RATES = [
  ["published", "Published", "--c-published"],
  ["delivered", "Delivered", "--c-delivered"],
  ["acked", "Acked", "--c-acked"],
  ["redelivered", "Redelivered", "--c-redelivered"],
  ["dropped", "Dropped", "--c-dropped"],
];

/** Where there is a value: `[step number, value]` by series; absent steps are gaps. */
class Past {
  constructor({ step_ms, end_ms, series }) {
    this.step = step_ms;
    this.keys = Object.keys(series);
    this.length = series[this.keys[0]]?.length ?? 0;
    this.end = Math.floor(end_ms / step_ms);
    this.series = series;
  }

  /** Takes from an older one what this one does not know: the broker may be another process by now. */
  fill(older) {
    if (!older || older.step !== this.step) return this;
    for (const key of this.keys) {
      this.series[key] = this.series[key].map((value, at) => value ?? older.at(key, this.end - this.length + 1 + at));
    }
    return this;
  }

  at(key, number) {
    return this.series[key]?.[number - (this.end - this.length + 1)] ?? null;
  }

  /** Sets the values of a moment; steps between it and the last are gaps. */
  put(at_ms, values) {
    const number = Math.floor(at_ms / this.step);
    let ahead = number - this.end;
    if (ahead < 0) return;
    // A tick that comes a little late is no gap.
    const bridge = ahead === 2 && this.step <= 1000;
    for (const key of this.keys) {
      const list = this.series[key];
      const value = values[key] ?? null;
      if (ahead === 0) {
        list[list.length - 1] = value;
        continue;
      }
      for (let step = Math.min(ahead, this.length); step > 1; step -= 1) list.push(bridge ? value : null);
      list.push(value);
      list.splice(0, list.length - this.length);
    }
    this.end = number;
  }

  times() {
    const first = this.end - this.length + 1;
    return Array.from({ length: this.length }, (_, at) => ((first + at) * this.step) / 1000);
  }
}

/** The seconds since the broker was last heard of, as a gap that grows. */
function untilNow(past) {
  const ahead = Math.floor(now() / past.step) - past.end;
  if (ahead > 3 && ahead < past.length) past.put((past.end + ahead) * past.step, {});
}

/**
 * The history of the broker, or of one topic, for `span` (10m or 24h). `put(at, values)` adds what a tick
 * brought, where steps are as short as ticks.
 */
export function useHistory(span, topic) {
  const past = useRef(null);
  const [version, draw] = useState(0);
  const connection = useStore(opened);
  useEffect(() => {
    const leave = new AbortController();
    const load = async () => {
      if (document.hidden) return;
      try {
        const told = await get(`/history${query({ span, topic })}`, { signal: leave.signal });
        past.current = new Past(told).fill(past.current?.span === span ? past.current : null);
        past.current.span = span;
        draw(count => count + 1);
      } catch {
        // The page says elsewhere that the broker is away; the next try comes by itself.
      }
    };
    load();
    const timer = setInterval(load, span === "24h" ? 60_000 : topic ? 10_000 : 60_000);
    const growing = setInterval(() => {
      if (!past.current || past.current.step > 1000) return;
      const before = past.current.end;
      untilNow(past.current);
      if (past.current.end !== before) draw(count => count + 1);
    }, 1000);
    return () => {
      leave.abort();
      clearInterval(timer);
      clearInterval(growing);
    };
  }, [span, topic, connection]);
  const put = (at, values) => {
    if (!past.current || past.current.span !== span || past.current.step > 1000) return;
    past.current.put(at, values);
    draw(count => count + 1);
  };
  return { past: past.current?.span === span ? past.current : null, version, put };
}

const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** What a chart has, for those who cannot see it: steps seen, holes between them, steps missing at the end. */
function told(past, keys) {
  const lists = keys.map(([key]) => past.series[key]);
  return {
    "data-seen": Math.max(0, ...lists.map(list => list.filter(value => value !== null).length)),
    "data-holes": Math.max(0, ...lists.map(holes)),
    "data-missing": Math.max(0, ...lists.map(list => list.length - 1 - list.findLastIndex(value => value !== null))),
  };
}

/** How many holes are between values of a series. */
function holes(values) {
  let count = 0;
  let seen = false;
  let hole = false;
  for (const value of values) {
    if (value === null) hole = seen;
    else {
      if (hole) count += 1;
      seen = true;
      hole = false;
    }
  }
  return count;
}

/** A chart of some series of a history, its legend, and what was under the pointer. */
export function Chart({ title, history, series, unit = "", height = 190, actions }) {
  const { past, version } = history;
  const place = useRef(null);
  const plot = useRef(null);
  const [hidden, hide] = useState([]);
  const [under, point] = useState(null);
  const look = useStore(theme);
  const known = past ? series.filter(([key]) => past.series[key]) : [];
  const keys = known.map(([key]) => key).join();
  const data = useMemo(() => past && [past.times(), ...known.map(([key]) => past.series[key])], [past, version, keys]);
  const [dark, setDark] = useState(0);
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const change = () => setDark(count => count + 1);
    system.addEventListener("change", change);
    return () => system.removeEventListener("change", change);
  }, []);
  useLayoutEffect(() => {
    if (!data || !place.current) return undefined;
    const grid = { stroke: color("--line"), width: 1 };
    const axis = { stroke: color("--dim"), font: `11px ${color("--sans")}`, ticks: { show: false } };
    const number = unit ? rate : brief;
    const made = new uPlot(
      {
        width: place.current.clientWidth,
        height,
        legend: { show: false },
        padding: [8, 6, 0, 0],
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { y: { range: (_, low, high) => [0, Math.max(high ?? 0, 1) * 1.08] } },
        axes: [
          { ...axis, grid: { show: false }, size: 26, space: 70, values: (_, splits) => splits.map(at => time(at * 1000).slice(0, past.step >= 10_000 && past.span === "24h" ? 5 : 8)) },
          { ...axis, grid, size: 52, space: 36, values: (_, splits) => splits.map(value => (Number.isInteger(value) || unit ? number(value) : "")) },
        ],
        series: [
          {},
          ...known.map(([key, name, tone]) => ({
            label: name,
            stroke: color(tone),
            width: 1.6,
            show: !hidden.includes(key),
            points: { show: (u, at, i0, i1) => i1 - i0 < 3, size: 4 },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [u => point(u.cursor.idx ?? null)] },
      },
      data,
      place.current,
    );
    plot.current = made;
    const watcher = new ResizeObserver(() => place.current && made.setSize({ width: place.current.clientWidth, height }));
    watcher.observe(place.current);
    return () => {
      watcher.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [Boolean(data), past?.step, past?.span, keys, look, dark, hidden, height]);
  useEffect(() => {
    if (plot.current && data) plot.current.setData(data);
  }, [data]);
  const last = values => values.findLast(value => value !== null);
  const shown = values => (under !== null && under < values.length ? values[under] : last(values));
  const text = value => (value === null || value === undefined ? "–" : unit ? rate(value) : brief(value));
  const spoken = known.map(([key, name]) => `${name} ${text(last(past.series[key]))}${unit}`).join(", ");
  const flip = key => hide(hidden.includes(key) ? hidden.filter(one => one !== key) : [...hidden, key]);
  return html`<figure class="card chart" ...${past ? told(past, known) : {}}>
    <figcaption><h2>${title}</h2>${under !== null && data && data[0][under] && html`<span class="dim num">${time(data[0][under] * 1000)}</span>`}<span class="grow"></span>${actions}</figcaption>
    <div class="plot" ref=${place} role="img" aria-label=${`${title}. ${spoken || "No figures yet"}`} onMouseLeave=${() => point(null)}></div>
    <ul class="legend">${known.map(([key, name]) => html`<li><button type="button" class=${`k-${key}`} aria-pressed=${!hidden.includes(key)} onClick=${() => flip(key)} title="Show or hide">${name} <b class="num">${text(shown(past.series[key]))}</b></button></li>`)}</ul>
  </figure>`;
}

/** A line as small as a word. */
export function Spark({ values, label }) {
  if (!values || values.length < 2) return html`<span class="dim">–</span>`;
  const high = Math.max(1e-9, ...values);
  const x = at => ((at / (values.length - 1)) * 78 + 1).toFixed(1);
  const y = value => (17 - (Math.max(0, value) / high) * 14).toFixed(1);
  const line = values.map((value, at) => `${at ? "L" : "M"}${x(at)} ${y(value ?? 0)}`).join("");
  return html`<svg class="spark" viewBox="0 0 80 18" role="img" aria-label=${label ?? `up to ${rate(high)} per second`}><path class="spark-fill" d=${`${line}L79 18L1 18Z`} /><path class="spark-line" d=${line} /></svg>`;
}
