// The table of a run: parameters of jobs, how they ended and what they left; filtered, sorted and cut into pages by the server.

import { ofRun, query } from "./api.js";
import { Link, Trouble, change, stamp, useAnswer, useSlow } from "./parts.js";
import { Heads, Rows } from "./table.js";
import { html } from "./vendor/preact-htm.js";
import { count, none, size, span } from "./words.js";

const PAGE = 100;
/** Columns that a phone has no room for. */
const LESS = ["host", "seconds", "cpu", "memory"];

const shown = (name, value) => (value === null || value === undefined ? none
  : name === "memory" && typeof value === "number" ? size(value)
    : ["seconds", "cpu"].includes(name) && typeof value === "number" ? span(value) : String(value));

/** Which rows an address wants, and in which order. */
const wanted = (place) => ({ offset: Number(place.offset) || 0, sort: place.sort || "", descending: place.order === "desc" });

export function Results({ run, live, place }) {
  const { offset, sort, descending } = wanted(place);
  const version = useSlow(stamp(live), 2000);
  const { data, error } = useAnswer(useSlow(Results.asks(run, place), 300), version);
  const set = (values) => change({ offset: "", ...values });
  const columns = (data ? data.columns : []).map((name, at) => ({ key: name, title: name, number: data.numbers[at], less: LESS.includes(name), value: (row) => row[at],
    show: (row) => (name === "job" ? html`<${Link} to=${{ run, view: "job", job: row[at] }}><span class="cut">${row[at]}</span><//>`
      : html`<span class="cut">${shown(name, row[at])}</span>`) }));
  return html`<h1>Results</h1>
    <div class="tools"><label>Only where<input type="search" placeholder="loss<0.3 and lr=0.1" value=${place.where || ""}
      onInput=${(event) => set({ where: event.target.value })} /></label></div>
    <${Trouble} error=${error} />
    ${data && (data.rows.length ? html`
      <p class="soft" id="found">${count(data.total)} ${data.total === 1 ? "job" : "jobs"}${data.left_out ? `; ${count(data.left_out)} more columns are shown by sshjobs table` : ""}</p>
      <div class="scroll" tabindex="0" role="region" aria-label="Results"><table aria-label="Results" id="results">
        <${Heads} columns=${columns} sort=${sort} descending=${descending} onSort=${(key, desc) => set({ sort: key, order: desc ? "desc" : "asc" })} />
        <${Rows} columns=${columns} rows=${data.rows} name=${(row) => row[0]} /></table></div>
      <div class="tools"><button type="button" disabled=${offset === 0} onClick=${() => set({ offset: Math.max(0, offset - PAGE) || "" })}>Earlier</button>
        <span>${count(offset + 1)} to ${count(offset + data.rows.length)}</span>
        <button type="button" disabled=${offset + PAGE >= data.total} onClick=${() => set({ offset: offset + PAGE })}>Later</button></div>`
    : html`<p class="empty">No job fits.</p>`)}`;
}

Results.asks = (run, place) => {
  const { offset, sort, descending } = wanted(place);
  return ofRun(run, "table") + query({ where: place.where, sort: sort && (descending ? `-${sort}` : sort), offset, limit: PAGE });
};
