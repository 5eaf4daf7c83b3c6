// A long table whose rows the broker sorts, filters and sends a window at a time.

import { useRef, useState } from "./vendor/htm-preact.js";
import { useWatch } from "./live.js";

/** Rows asked for at once; the broker sends at most 200. */
const WINDOW = 100;
/** The window moves when what is in view comes this close to its end. */
const NEAR = 12;

/**
 * `spec`: what to watch, without offset and limit. Gives `{data, error, rows, row(index), onView, top}`:
 * what Table needs. Rows seen before stay known (an old figure is better than none) until the order changes.
 */
export function useRows(spec) {
  const words = JSON.stringify(spec);
  const [offset, setOffset] = useState(0);
  const known = useRef({ words, at: [], rows: new Map() });
  const timer = useRef(0);
  if (known.current.words !== words) {
    known.current = { words, at: [], rows: known.current.rows };
    if (offset) setOffset(0);
  }
  const { data, error } = useWatch({ ...spec, offset, limit: WINDOW }, (next, _, { offset: at, limit: __, ...asked }) => {
    const mine = known.current;
    // The last tick of another order says nothing about this one.
    if (JSON.stringify(asked) !== mine.words) return;
    next.order.forEach((name, index) => (mine.at[at + index] = name));
    // What is much comes in pieces: some rows a moment later.
    for (const name of next.order) if (next.rows[name]) mine.rows.set(name, next.rows[name]);
    mine.at.length = next.matching;
    if (mine.rows.size > 20_000) mine.rows = new Map(next.order.map(name => [name, next.rows[name]]));
  });
  const onView = (first, count) => {
    const end = Math.min(first + count, data?.matching ?? Infinity);
    if (first >= offset + (offset > 0 ? NEAR : 0) && end <= offset + WINDOW - (end === data?.matching ? 0 : NEAR)) return;
    const next = Math.max(0, Math.floor(first + count / 2 - WINDOW / 2));
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setOffset(next), 40);
  };
  const row = index => {
    const name = known.current.at[index];
    const figures = name === undefined ? undefined : known.current.rows.get(name);
    return figures && { name, figures };
  };
  return { data, error, rows: data?.matching ?? 0, row, onView, top: words };
}
