// Numbers, sizes and times as text.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en-US", { maximumFractionDigits: 1 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

const missing = value => value === undefined || value === null || Number.isNaN(value);

/** 12,345 */
export const count = value => (missing(value) ? "–" : whole.format(value));
/** 12,345 but 1.2M */
export const brief = value => (missing(value) ? "–" : Math.abs(value) >= 100_000 ? short.format(value) : whole.format(value));
/** 0.3, 12, 1,234 */
export const rate = value => (missing(value) ? "–" : Math.abs(value) >= 100_000 ? short.format(value) : value !== 0 && Math.abs(value) < 100 ? tenth.format(value) : whole.format(value));

export function bytes(value) {
  if (missing(value)) return "–";
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < 5) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? whole : tenth;
  return `${digits.format(value)} ${["B", "KiB", "MiB", "GiB", "TiB", "PiB"][unit]}`;
}

const UNITS = [[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]];

/** 3 d 4 h, 12 min 3 s, 1.2 s, 850 ms */
export function span(ms) {
  if (missing(ms)) return "–";
  if (ms < 1000) return `${whole.format(ms)} ms`;
  if (ms < 10_000) return `${tenth.format(ms / 1000)} s`;
  for (const [at, [size, name]] of UNITS.entries()) {
    if (ms < size) continue;
    const first = Math.floor(ms / size);
    const next = UNITS[at + 1];
    const second = next && first < 10 ? Math.floor((ms % size) / next[0]) : 0;
    return `${first} ${name}${second ? ` ${second} ${next[1]}` : ""}`;
  }
  return "";
}

/** How far the broker's clock is from this one's. */
let skew = 0;
export const heardTime = at => {
  skew = Math.abs(at - Date.now()) > 1500 ? at - Date.now() : 0;
};
export const now = () => Date.now() + skew;

/** 12 s ago, in 3 min */
export function distance(at) {
  const ms = now() - at;
  if (Math.abs(ms) < 1000) return "now";
  return ms > 0 ? `${span(ms < 60_000 ? Math.floor(ms / 1000) * 1000 : ms)} ago` : `in ${span(-ms)}`;
}

const day = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** 2026-11-21 18:37:04.123 */
export function moment(at) {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return String(at);
  return `${day.format(date)} ${clock.format(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
export const time = at => clock.format(new Date(at));

/** "30s", "1h30m", "250 ms" or a bare number of milliseconds; undefined when it is none of these. */
export function parseSpan(text) {
  const trimmed = text.trim().replace(/\s+/g, "");
  if (/^\d+$/.test(trimmed)) return Number(trimmed);
  if (!/^(\d+(\.\d+)?(ms|s|min|m|h|d))+$/.test(trimmed)) return undefined;
  const size = { ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
  let ms = 0;
  for (const [, number, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)(ms|s|min|m|h|d)/g)) ms += Number(number) * size[unit];
  return Math.round(ms);
}

/** "1 message", "3 messages" */
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
/** in_flight to "in flight" */
export const words = text => String(text).replaceAll("_", " ");

/** JSON whose numbers stay as they were written; undefined where the browser cannot do that. */
export function parseExact(text) {
  if (!JSON.rawJSON) return undefined;
  return JSON.parse(text, (_, value, context) => (typeof value === "number" ? JSON.rawJSON(context.source) : value));
}
