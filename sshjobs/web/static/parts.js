// What several pages show: links that keep the address right, states, totals, a question before an act.

import { askAbout } from "./api.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { count, ending, span } from "./words.js";

const listeners = new Set();

/** The address as plain values. */
export const place = () => Object.fromEntries(new URLSearchParams(location.search));
export const placeAll = (name) => new URLSearchParams(location.search).getAll(name);

/** Where a link leads: the given values, and nothing else. */
export function address(values) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") search.append(name, one);
    }
  }
  return `?${search}`;
}

export function go(values, replace = false) {
  history[replace ? "replaceState" : "pushState"](null, "", address(values));
  for (const listener of listeners) listener();
}

/** Change some values of the address and keep the others. */
export const change = (values) => go({ ...place(), state: placeAll("state"), outcome: placeAll("outcome"), ...values }, true);

/** Call f when what is drawn now has been painted, and there is nothing better to do. */
export function oncePainted(f) {
  // Effects may run before that; a task behind the next frame does not.
  const later = window.requestIdleCallback ? () => requestIdleCallback(f, { timeout: 200 }) : f;
  requestAnimationFrame(() => setTimeout(later));
}

export function usePlace() {
  const [, again] = useState(0);
  useEffect(() => {
    const listener = () => again((n) => n + 1);
    listeners.add(listener);
    addEventListener("popstate", listener);
    return () => { listeners.delete(listener); removeEventListener("popstate", listener); };
  }, []);
  return place();
}

export function Link({ to, children, ...more }) {
  const follow = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(to);
    scrollTo(0, 0);
  };
  return html`<a href=${address(to)} onClick=${follow} ...${more}>${children}</a>`;
}

const SIGNS = { free: "○", busy: "▶", done: "✓", unknown: "?", error: "✕" };

/** The state of a job, told by word, sign and colour. */
export const State = ({ job }) => html`<span class="state s-${job.state}"><span aria-hidden="true">${SIGNS[job.state] || "·"} </span>${
  job.state}</span>${job.outcome && job.state === "error" ? html` <span class="soft">${ending(job)}</span>` : ""}`;

export function Progress({ counts, total }) {
  const part = (state) => html`<i class="b-${state}" style=${{ width: `${total ? (100 * counts[state]) / total : 0}%` }}></i>`;
  const over = counts.done + counts.error;
  return html`<div class="progress" role="progressbar" aria-valuemin="0" aria-valuemax=${total} aria-valuenow=${over}
    aria-label="jobs that have ended">${["done", "error", "unknown", "busy"].map(part)}</div>`;
}

const MEANING = { free: "waiting", busy: "running", done: "done", unknown: "unknown", error: "error" };

export function Totals({ run, rate, secondsLeft, mostLeft, linked }) {
  const card = (value, text, to) => html`<div class="card"><b>${value}</b><span>${to ? html`<${Link} to=${to}>${text}<//>` : text}</span></div>`;
  return html`<${Progress} counts=${run.counts} total=${run.total} />
    <div class="cards" id="totals">
      ${card(count(run.total), "jobs")}
      ${Object.keys(MEANING).map((state) => html`<div class="card"><b class="s-${state}" data-count=${state}>${count(run.counts[state])}</b><span>${
        linked ? html`<${Link} to=${{ run: run.name, view: "jobs", state }}>${state}<//>` : state}</span></div>`)}
      ${card(rate === null || rate === undefined ? "–" : rate.toFixed(rate < 10 ? 1 : 0), "jobs per second")}
      ${card(secondsLeft ? span(secondsLeft) : "–", "expected time left (p50)")}
      ${card(mostLeft ? span(mostLeft) : "–", "nine times in ten (p90)")}
    </div>`;
}

/** Ask before something is done. Give it the function that ask returned. */
export function useQuestion() {
  const [question, setQuestion] = useState(null);
  const box = useRef();
  useEffect(() => { if (question && box.current && !box.current.open) box.current.showModal(); }, [question]);
  const close = (yes) => { const { resolve } = question; setQuestion(null); resolve(yes); };
  const view = question && html`<dialog ref=${box} onCancel=${() => close(false)} aria-labelledby="question">
    <p id="question">${question.text}</p>
    <div class="tools"><button type="button" onClick=${() => close(false)}>No</button>
      <button type="button" class="strong" onClick=${() => close(true)}>${question.yes}</button></div></dialog>`;
  const ask = (text, yes) => new Promise((resolve) => setQuestion({ text, yes, resolve }));
  return [view, ask];
}

/** Do something, and say how it went: [view, act]. */
export function useActs() {
  const [said, setSaid] = useState(null);
  const attempt = async (what, doing) => {
    setSaid({ text: `${what} …` });
    try {
      const answer = await doing();
      setSaid({ text: `${what}: ${answer.live ? "done" : "kept; the run has no manager, the next one will do it"}${
        answer.refused && answer.refused.length ? `; not ${answer.refused.join(", ")}` : ""}` });
      return answer;
    } catch (error) { setSaid({ text: `${what}: ${error.message}`, bad: true }); return null; }
  };
  return [html`<div role="status" aria-live="polite">${said && html`<p class="note ${said.bad ? "bad" : ""}">${said.text}</p>`}</div>`, attempt];
}

/** The answer to a question about a run, asked again whenever it or the run's version changes; the old answer is kept until the
 * new one is there. */
export function useAnswer(path, version) {
  const [state, setState] = useState({ data: null, error: null });
  // Not useEffect, which would wait until what is there without the answer was painted.
  useLayoutEffect(() => {
    const stop = new AbortController();
    askAbout(path, version, stop.signal, (data) => setState({ data, error: null }))
      .catch((error) => { if (error.name !== "AbortError") setState((old) => ({ data: old.data, error })); });
    return () => stop.abort();
  }, [path, version]);
  return state;
}

/** What changes with all that the server answers of a run: with each commit, and once it has read the run. */
export const stamp = (live) => `${live.head.run.version} ${live.head.ready}`;

/** A value that follows another one at most once in so many milliseconds. */
export function useSlow(value, ms) {
  const [slow, setSlow] = useState(value);
  const last = useRef(0);
  useEffect(() => {
    const wait = Math.max(0, last.current + ms - Date.now());
    const timer = setTimeout(() => { last.current = Date.now(); setSlow(value); }, wait);
    return () => clearTimeout(timer);
  }, [value]);
  return slow;
}

export const Trouble = ({ error }) => error && html`<p class="note bad" role="alert">${error.message}</p>`;
