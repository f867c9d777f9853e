// The page of all jobs of a run, sorted and cut into pages by the server.

import { act, ofRun, query } from "./api.js";
import { Link, State, Trouble, change, placeAll, stamp, useActs, useAnswer, useQuestion, useSlow } from "./parts.js";
import { Heads, Rows, useDrawn } from "./table.js";
import { html, useState } from "./vendor/preact-htm.js";
import { count, none, size, span, when } from "./words.js";

const PAGE = 100;
const STATES = ["free", "busy", "done", "unknown", "error"];
const OUTCOMES = ["succeeded", "failed", "signalled", "timed_out", "out_of_memory", "never_started", "lost", "cancelled", "skipped"];

/** Seconds that a job has taken, or has been at so far. */
export const took = (job) => (job.seconds === null && job.state === "busy" && job.started ? Math.max(0, Date.now() / 1000 - job.started) : job.seconds);

const USE = [
  { key: "cpu", title: "CPU", number: true, less: true, sorts: false, value: (job) => job.cpu, show: (job) => span(job.cpu) },
  { key: "rss", title: "Memory", number: true, less: true, sorts: false, value: (job) => job.rss, show: (job) => size(job.rss) },
];

const columns = (run) => [
  { key: "name", title: "Job", value: (job) => job.name, show: (job) => html`<${Link} to=${{ run, view: "job", job: job.name }}><span class="cut">${job.name}</span><//>` },
  { key: "state", title: "State", value: (job) => job.state, show: (job) => html`<${State} job=${job} />` },
  { key: "host", title: "Host", value: (job) => job.host, show: (job) => job.host ? html`<${Link} to=${{ run, view: "host", host: job.host }}>${job.host}<//>` : none },
  { key: "started", title: "Started", sorts: false, less: true, value: (job) => job.started, show: (job) => when(job.started) },
  { key: "seconds", title: "Took", number: true, value: (job) => job.seconds, show: (job) => span(took(job)) },
  { key: "attempts", title: "Attempts", number: true, sorts: false, less: true, value: (job) => job.attempts },
  { key: "reason", title: "Reason", sorts: false, wide: true, less: true, value: (job) => job.reason },
];

/** A table of jobs as they are given; with chosen, each has a box to tick; here: all are of one host, told with what they take. */
export function JobTable({ run, jobs, sort, descending, onSort, chosen, setChosen, label, id, here }) {
  const tick = (name) => {
    const now = new Set(chosen);
    if (!now.delete(name)) now.add(name);
    setChosen(now);
  };
  const box = chosen ? [{ key: "chosen", title: html`<span class="soft">✓</span>`, sorts: false, value: (job) => job.name,
    show: (job) => html`<input type="checkbox" aria-label="select ${job.name}" checked=${chosen.has(job.name)} onChange=${() => tick(job.name)} />` }] : [];
  const all = [...box, ...columns(run).filter((one) => !here || !["host", "reason"].includes(one.key)), ...(here ? [...USE, columns(run).at(-1)] : [])].map((column) => (onSort ? column : { ...column, sorts: false }));
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table aria-label=${label} id=${id}>
    <${Heads} columns=${all} sort=${sort} descending=${descending} onSort=${onSort} />
    <${Rows} columns=${all} rows=${jobs} name=${(job) => job.number} /></table></div>`;
}

/** Which jobs an address wants, and how they are sorted. */
const shown = (place) => ({ states: placeAll("state"), outcomes: placeAll("outcome"), offset: Number(place.offset) || 0, sort: place.sort || "number", order: place.order || "asc" });

export function Jobs({ run, live, place, readOnly }) {
  const { states, outcomes, offset, sort, order } = shown(place);
  const version = useSlow(stamp(live), 2000);
  const { data, error } = useAnswer(useSlow(Jobs.asks(run, place), 200), version);
  const [chosen, setChosen] = useState(new Set());
  const [question, confirm] = useQuestion();
  const [said, attempt] = useActs();
  const names = [...live.rows.keys()].slice(0, 1000);
  const hosts = useDrawn(names.length) < names.length ? names.filter((name) => name === place.host) : names;
  const set = (values) => change({ offset: "", ...values });
  const toggle = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);
  const doing = async (word, text) => {
    const jobs = [...chosen];
    if (word === "cancel" && !await confirm(`Cancel ${jobs.length === 1 ? jobs[0] : `${jobs.length} jobs`}? What they have written stays.`, "Cancel them")) return;
    if (await attempt(`${text} ${jobs.length === 1 ? jobs[0] : `${jobs.length} jobs`}`, () => act(ofRun(run, word), { jobs }))) setChosen(new Set());
  };
  return html`${question}<h1>Jobs</h1>${said}
    <div class="tools">
      <label>Search by name<input type="search" value=${place.search || ""} onInput=${(event) => set({ search: event.target.value })} /></label>
      <label>Parameters<input type="search" value=${place.params || ""} placeholder="lr=0.1, seed=3"
        onInput=${(event) => set({ params: event.target.value })} /></label>
      <label>Host<select value=${place.host || ""} onChange=${(event) => set({ host: event.target.value })}>
        <option value="">all</option>${hosts.map((name) => html`<option selected=${name === place.host}>${name}</option>`)}</select></label>
      <label>Outcome<select value=${outcomes[0] || ""} onChange=${(event) => set({ outcome: event.target.value })}>
        <option value="">all</option>${OUTCOMES.map((one) => html`<option value=${one} selected=${one === outcomes[0]}>${one.replaceAll("_", " ")}</option>`)}</select></label>
      ${STATES.map((state) => html`<label class="line"><input type="checkbox" checked=${states.includes(state)}
        onChange=${() => set({ state: toggle(states, state) })} />${state}</label>`)}</div>
    <div class="tools">
      <button type="button" class="danger" disabled=${readOnly || !chosen.size} onClick=${() => doing("cancel", "cancel")}>Cancel ${chosen.size || ""}</button>
      <button type="button" disabled=${readOnly || !chosen.size} onClick=${() => doing("retry", "try again")}>Try again ${chosen.size || ""}</button>
      <button type="button" disabled=${readOnly || !chosen.size} onClick=${() => doing("pause", "pause")}>Pause ${chosen.size || ""}</button>
      <button type="button" disabled=${readOnly || !chosen.size} onClick=${() => doing("unpause", "unpause")}>Unpause ${chosen.size || ""}</button></div>
    <${Trouble} error=${error} />
    ${data && (data.jobs.length ? html`
      <p class="soft" id="found">${data.more ? "more than " : ""}${count(data.total)} jobs${data.ready ? "" : "; the run is still being read"}</p>
      <${JobTable} run=${run} id="jobs" jobs=${data.jobs} sort=${sort} descending=${order === "desc"} label="Jobs"
        onSort=${(sort, desc) => set({ sort, order: desc ? "desc" : "asc" })} chosen=${chosen} setChosen=${setChosen} />
      <div class="tools"><button type="button" disabled=${offset === 0} onClick=${() => set({ offset: Math.max(0, offset - PAGE) || "" })}>Earlier</button>
        <span>${count(offset + 1)} to ${count(offset + data.jobs.length)}</span>
        <button type="button" disabled=${offset + PAGE >= data.total} onClick=${() => set({ offset: offset + PAGE })}>Later</button></div>`
      : html`<p class="empty">${data.ready ? "No job fits. Change the filters, or clear the search." : "The run is still being read."}</p>`)}`;
}

Jobs.asks = (run, place) => {
  const { states, outcomes, offset, sort, order } = shown(place);
  return ofRun(run, "jobs") + query({ state: states, outcome: outcomes, host: place.host, params: place.params, search: place.search, sort, order, offset, limit: PAGE });
};
