// A table of any length: rows that are in view are drawn, the others are room.

import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";

/** Rows drawn above and below what is in view. */
const SPARE = 8;

/** A column's head; where it sorts, a button that says so. */
function Head({ column, sort, desc, onSort }) {
  const { key, label, title, sorts, class: extra = "" } = column;
  const by = sort === key;
  if (!sorts) return html`<th scope="col" class=${extra} title=${title}>${label}</th>`;
  return html`<th scope="col" class=${extra} aria-sort=${by ? (desc ? "descending" : "ascending") : "none"}><button type="button" class="sort" title=${title} onClick=${() => onSort(key, by ? !desc : Boolean(column.descFirst))}>${label}<span class="sort-mark" aria-hidden="true">${by ? (desc ? "↓" : "↑") : ""}</span></button></th>`;
}

/** Up and down go from row to row: to the row's first link or button. */
function onArrow(event) {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  if (event.target.matches("input:not([type=checkbox]), textarea, select")) return;
  const row = event.target.closest("tbody tr");
  const rows = [...event.currentTarget.querySelectorAll("tbody tr[data-row]")];
  const next = row ? rows[rows.indexOf(row) + (event.key === "ArrowDown" ? 1 : -1)] : rows[0];
  const target = next?.querySelector("[data-first]");
  if (!target) return;
  event.preventDefault();
  target.focus();
}

/**
 * `columns`: `{key, label, title, class, sorts, descFirst}`; `rows`: how many there are; `row(index)`:
 * `{key, cells, class}`, or null for one that is not known yet; `onView(first, count)`: what is in view.
 */
export function Table({ label, columns, rows, row, rowHeight = 36, sort, desc, onSort, onView, empty, class: extra = "", top }) {
  const box = useRef(null);
  const [view, setView] = useState({ top: 0, height: 600 });
  const first = Math.max(0, Math.floor(view.top / rowHeight) - SPARE);
  const end = Math.min(rows, Math.ceil((view.top + view.height) / rowHeight) + SPARE);
  useLayoutEffect(() => {
    const measure = () => setView(before => (before.height === box.current.clientHeight ? before : { ...before, height: box.current.clientHeight }));
    const watcher = new ResizeObserver(measure);
    watcher.observe(box.current);
    measure();
    return () => watcher.disconnect();
  }, []);
  useEffect(() => {
    box.current.scrollTop = 0;
  }, [top]);
  useEffect(() => onView?.(first, end - first), [first, end]);
  const scroll = () => {
    const at = box.current.scrollTop;
    // Only when another row comes into view there is something to draw.
    if (Math.floor(at / rowHeight) !== Math.floor(view.top / rowHeight)) setView(before => ({ ...before, top: at }));
  };
  const room = (count, name, at = 0) => html`<tr key=${`${name} ${at}`} class=${`room ${name}`} aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${count * rowHeight}px` }}></td></tr>`;
  const drawn = [];
  // Rows that are not known yet are one piece: who scrolls fast sees many of them, and little is drawn.
  let unknown = 0;
  for (let index = first; index < end; index += 1) {
    const one = row(index);
    if (one) {
      if (unknown) drawn.push(room(unknown, "unknown", index));
      unknown = 0;
      drawn.push(html`<tr key=${`.${one.key}`} data-row=${index} aria-rowindex=${index + 2} class=${one.class} onClick=${one.onClick}>${one.cells.map((cell, at) => html`<td class=${columns[at].class}>${cell}</td>`)}</tr>`);
    } else unknown += 1;
  }
  if (unknown) drawn.push(room(unknown, "unknown", end));
  return html`<div class=${`table-box ${extra}`} ref=${box} onScroll=${scroll} onKeyDown=${onArrow} tabindex="0" role="region" aria-label=${label}>
    <table aria-label=${label} aria-rowcount=${rows + 1}>
      <thead><tr aria-rowindex="1">${columns.map(column => html`<${Head} key=${column.key} column=${column} sort=${sort} desc=${desc} onSort=${onSort} />`)}</tr></thead>
      <tbody>${first > 0 && room(first, "above")}${drawn}${end < rows && room(rows - end, "below")}</tbody>
    </table>
    ${rows === 0 && empty}
  </div>`;
}

/** A table that is short. `rows`: `{key, cells, class}`. */
export function PlainTable({ label, columns, rows, sort, desc, onSort, empty, class: extra = "" }) {
  if (rows.length === 0 && empty) return empty;
  return html`<div class=${`table-wrap ${extra}`} onKeyDown=${onArrow} tabindex="0" role="region" aria-label=${label}><table aria-label=${label}>
    <thead><tr>${columns.map(column => html`<${Head} key=${column.key} column=${column} sort=${sort} desc=${desc} onSort=${onSort} />`)}</tr></thead>
    <tbody>${rows.map(one => html`<tr key=${one.key} data-row class=${one.class} onClick=${one.onClick} aria-selected=${one.selected}>${one.cells.map((cell, at) => html`<td class=${columns[at].class}>${cell}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}
