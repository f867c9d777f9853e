// Tables: sorted by any column, and as fast with a thousand rows as with ten, since only the rows in sight are drawn.

import { oncePainted } from "./parts.js";
import { html, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";

const ROW_HEIGHT = 33, SPARE = 12, DRAW_ALL = 120;
/** Pixels that every page has above its first table, at least. */
const ABOVE = 200;
/** Rows that fill this screen. */
const screenful = () => Math.max(1, Math.ceil((innerHeight - ABOVE) / ROW_HEIGHT));

const compare = (a, b) => {
  // What is not known comes last, whichever way.
  if (a === b) return 0;
  return typeof a === "number" && typeof b === "number" ? a - b
    : String(a).localeCompare(String(b), "en", { numeric: true });
};

/** Rows in the order of a column. */
export function sorted(rows, column, descending) {
  const unknown = rows.filter((row) => column.value(row) === null || column.value(row) === undefined);
  const known = rows.filter((row) => column.value(row) !== null && column.value(row) !== undefined);
  known.sort((a, b) => (descending ? -1 : 1) * compare(column.value(a), column.value(b)));
  return [...known, ...unknown];
}

/** The heads of columns. onSort gets the column's key and whether it is to descend. */
export function Heads({ columns, sort, descending, onSort }) {
  return html`<thead><tr>${columns.map((column) => html`
    <th scope="col" class="${column.number ? "n" : ""} ${column.less ? "less" : ""}"
      aria-sort=${sort === column.key ? (descending ? "descending" : "ascending") : undefined}>
      ${column.sorts === false ? column.title : html`
        <button type="button" onClick=${() => onSort(column.key, sort === column.key ? !descending : !!column.number)}>
          ${column.title}</button>`}
    </th>`)}</tr></thead>`;
}

/** The cells of a row. */
function Cells({ columns, row }) {
  return columns.map((column) => html`
    <td class="${column.number ? "n" : ""} ${column.less ? "less" : ""} ${column.wide ? "wide" : ""}">${
      column.show ? column.show(row) : column.value(row)}</td>`);
}

/** How many of so many rows are drawn: a screen full of them at first, all once these are painted. */
export function useDrawn(n) {
  const [painted, setPainted] = useState(n <= screenful());
  useLayoutEffect(() => { if (!painted) oncePainted(() => setPainted(true)); }, []);
  return painted ? n : screenful();
}

/** aria-busy of a table whose other rows follow. */
const busy = (more) => (more ? "true" : undefined);

/** The rows of a table that is sorted elsewhere. name(row): what tells a row from all others. */
export function Rows({ columns, rows, name }) {
  const drawn = useDrawn(rows.length);
  return html`<tbody aria-busy=${busy(drawn < rows.length)}>${rows.slice(0, drawn).map((row) => html`<tr key=${name(row)}><${Cells} ...${{ columns, row }} /></tr>`)}</tbody>`;
}

/** A table that sorts here. columns: {key, title, value(row), show(row), number, less, wide}. */
export function Table({ columns, rows, sort, descending, onSort, label, id, look }) {
  const [top, setTop] = useState(0);
  const box = useRef();
  const column = columns.find((one) => one.key === sort) || columns[0];
  const all = sorted(rows, column, descending);
  const windowed = all.length > DRAW_ALL;
  const height = box.current ? box.current.clientHeight : 700;
  const first = windowed ? Math.max(0, Math.floor(top / ROW_HEIGHT) - SPARE) : 0;
  const drawn = useDrawn(all.length);
  const last = windowed ? Math.min(all.length, first + Math.ceil(height / ROW_HEIGHT) + 2 * SPARE) : drawn;
  const gap = (n) => n > 0 && html`<tr aria-hidden="true"><td colspan=${columns.length} style=${{ height: `${n * ROW_HEIGHT}px`, padding: 0 }}></td></tr>`;
  return html`<div class="scroll tall ${look || ""}" ref=${box} tabindex="0" role="region" aria-label=${label}
      onScroll=${windowed ? (event) => setTop(event.target.scrollTop) : undefined}>
    <table aria-label=${label} aria-rowcount=${all.length + 1} id=${id}>
      <${Heads} ...${{ columns, sort: column.key, descending, onSort }} />
      <tbody aria-busy=${busy(drawn < all.length)}>${gap(first)}${all.slice(first, last).map((row) => html`
        <tr key=${row.key ?? row.name}><${Cells} ...${{ columns, row }} /></tr>`)}${gap(all.length - last)}</tbody>
    </table></div>`;
}
