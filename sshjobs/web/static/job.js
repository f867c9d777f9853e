// The page of one job: where it stands and why, its attempts, and what it writes, followed while it runs.

import { act, ofRun, output, query } from "./api.js";
import { took } from "./jobs.js";
import { Link, State, Trouble, change, stamp, useActs, useAnswer, useQuestion, useSlow } from "./parts.js";
import { lines, show } from "./terminal.js";
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { none, size, span, when } from "./words.js";

/** Bytes of output that a page holds; older ones are to be downloaded. */
const SHOWN = 8 << 20, PICTURES = 40;
/** Columns of attempts that a phone has no room for. */
const LESS = ["Started", "CPU", "Memory"];
const KEPT = 1 << 18, PIECE = 1 << 16, FOLLOW_MS = 1000;

/** Files that were fetched: pictures are shown, in a page of no origin in which nothing runs; everything else is for saving. */
function Files({ run, job, attempt, version }) {
  const { data, error } = useAnswer(ofRun(run, "files") + query({ job, attempt }), version);
  if (!data) return html`<${Trouble} error=${error} />`;
  if (!data.files.length) return null;
  const to = (file) => ofRun(run, "file") + query({ job, attempt, path: file.path });
  return html`<h2>Fetched files</h2><div id="files">
    <div class="pictures">${data.files.filter((file) => file.image && file.size < SHOWN).slice(0, PICTURES).map((file) => html`
      <figure key=${file.path}><a href=${to(file)} target="_blank" rel="noopener"><img src=${to(file)} alt=${file.path} loading="lazy" /></a>
        <figcaption>${file.path}</figcaption></figure>`)}</div>
    <ul>${data.files.map((file) => html`<li key=${file.path}><a href=${to(file)} download=${file.path.split("/").at(-1)}>${file.path}</a> <span class="soft">${size(file.size)}</span></li>`)}</ul>
    ${data.more && html`<p class="soft">There are more; they are in the run's directory.</p>`}</div>`;
}

/** Names with their values, as the parameters of a job and what it left as its result; show: how a value is shown. */
function Values({ title, values, show: shown = (name, text) => text }) {
  if (!Object.keys(values).length) return null;
  return html`<h2>${title}</h2><dl aria-label=${title}>${Object.entries(values).map(([name, value]) => html`<dt>${name}</dt><dd>${
    shown(name, typeof value === "string" ? value : JSON.stringify(value))}</dd>`)}</dl>`;
}

/** A parameter's value, which leads to all jobs that have it, unless it cannot be written as a filter. */
const Parameter = ({ run, name, value }) => (value.length > 200 || value !== value.trim() || /,\s*[A-Za-z_]\w*\s*=/.test(value) ? value
  : html`<${Link} to=${{ run, view: "jobs", params: `${name}=${value}` }} title="all jobs with this value">${value}<//>`);

/** cut: behind how many bytes some were left out, and how many. */
function Output({ run, job, stream, over, attempt, cut }) {
  const [bytes, setBytes] = useState(new Uint8Array()), [search, setSearch] = useState(""), [follow, setFollow] = useState(true);
  const [missing, setMissing] = useState(0), [error, setError] = useState(null);
  const box = useRef(), held = useRef(null);
  useEffect(() => {
    const stop = new AbortController();
    held.current = { bytes: new Uint8Array(), end: undefined };
    setBytes(new Uint8Array()); setMissing(0);
    let timer = null;
    const look = async () => {
      try {
        const state = held.current;
        const piece = await output(run, { job, stream, attempt, offset: state.end, limit: state.end === undefined ? KEPT : PIECE }, stop.signal);
        if (state.end !== undefined && piece.size < state.end) { state.bytes = new Uint8Array(); state.end = undefined; }
        else if (piece.bytes.length) {
          const all = new Uint8Array(state.bytes.length + piece.bytes.length);
          all.set(state.bytes); all.set(piece.bytes, state.bytes.length);
          state.bytes = all.slice(-KEPT);
          state.end = piece.offset + piece.bytes.length;
          setBytes(state.bytes);
          setMissing(state.end - state.bytes.length);
        } else if (state.end === undefined) state.end = piece.offset;
        setError(null);
        timer = setTimeout(look, state.end < piece.size ? 0 : FOLLOW_MS * (over ? 10 : 1));
      } catch (problem) {
        if (problem.name === "AbortError") return;
        setError(problem);
        timer = setTimeout(look, 3 * FOLLOW_MS);
      }
    };
    look();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [run, job, stream, over, attempt]);
  useEffect(() => { if (follow && box.current) box.current.scrollTop = box.current.scrollHeight; }, [bytes, follow]);
  const wanted = search.toLowerCase();
  const shown = (part) => lines(new TextDecoder().decode(part)).filter((line) => !wanted || line.toLowerCase().includes(wanted))
    .map((line, at) => html`${at ? "\n" : ""}${show(line, search)}`);
  const told = cut && `${cut.bytes.toLocaleString("en")} bytes of ${stream} left out behind the first ${cut.at.toLocaleString("en")} (output_limit)`;
  const here = cut && cut.at >= missing ? cut.at - missing : null;
  return html`<div class="tools">
      <label>Find in ${stream}<input type="search" value=${search} onInput=${(event) => setSearch(event.target.value)} /></label>
      <label class="line"><input type="checkbox" checked=${follow} onChange=${(event) => setFollow(event.target.checked)} />Follow</label>
      <a class="button" href=${ofRun(run, "download") + query({ job, stream, attempt })} download>Download</a></div>
    <${Trouble} error=${error} />
    ${missing > 0 && html`<p class="soft">The first ${size(missing)} are not shown; download the whole of it.</p>`}
    ${cut && here === null && html`<p class="note">${told}</p>`}
    <pre class="output" ref=${box} tabindex="0" aria-label=${stream} data-stream=${stream}>${
      here !== null ? html`${here > 0 && shown(bytes.subarray(0, here))}<span class="soft cut">${here > 0 && "\n"}-- ${told} --${"\n"}</span>${shown(bytes.subarray(here))}`
        : bytes.length ? shown(bytes) : html`<span class="soft">${over ? "nothing" : "nothing yet"}</span>`}</pre>`;
}

export function JobPage({ run, live, place, readOnly }) {
  const version = useSlow(stamp(live), 1000);
  const { data, error } = useAnswer(JobPage.asks(run, place), version);
  const [question, confirm] = useQuestion();
  const [said, attempt] = useActs();
  if (!data) return html`<${Trouble} error=${error} />`;
  const { job } = data;
  // Of one that failed, that what tells of it is in sight.
  const stream = place.stream || (job.state === "error" && !data.stdout && data.stderr ? "stderr" : "stdout"), over = job.state === "done" || job.state === "error";
  const newest = data.attempts.length, attempt_ = Number(place.attempt) || newest, earlier = attempt_ < newest ? attempt_ : undefined;
  const jobs = [job.name], of = data.attempts[attempt_ - 1], key = stream === "stdout" ? "out" : "err";
  const cut = of && of.left_out && of.left_out[key] ? { at: of.left_out.at, bytes: of.left_out[key] } : null;
  const cancel = async () => {
    if (await confirm(`Cancel ${job.name}? What it has written stays.`, "Cancel it")) await attempt(`cancel ${job.name}`, () => act(ofRun(run, "cancel"), { jobs }));
  };
  return html`${question}<h1>${job.name}</h1>
    <p><${State} job=${job} />${data.paused && " paused"}${job.host && html` on <${Link} to=${{ run, view: "host", host: job.host }}>${job.host}<//>`}
      ${job.state === "busy" && job.started ? `, for ${span(took(job))}` : job.seconds !== null && html`, took ${span(job.seconds)}`}${
      job.cpu !== null && html`, ${span(job.cpu)} of CPU`}${job.rss !== null && html`, ${size(job.rss)} of memory`}</p>
    ${data.why ? html`<p class="note bad">${data.why}</p>` : job.reason && html`<p class="note">${job.reason}</p>`}
    ${data.waits && html`<p class="note">It waits: ${data.waits}.</p>`}
    ${said}<${Trouble} error=${error} />
    <div class="tools">
      <button type="button" disabled=${readOnly || over} onClick=${() => attempt(`${data.paused ? "unpause" : "pause"} ${job.name}`,
    () => act(ofRun(run, data.paused ? "unpause" : "pause"), { jobs }))}>${data.paused ? "Unpause" : "Pause"}</button>
      <button type="button" class="danger" disabled=${readOnly || over} onClick=${cancel}>Cancel</button>
      <button type="button" disabled=${readOnly || job.state !== "error"} onClick=${() => attempt(`try ${job.name} again`, () => act(ofRun(run, "retry"), { jobs }))}>Try again</button></div>
    <${Values} title="Parameters" values=${data.params} show=${(name, value) => html`<${Parameter} ...${{ run, name, value }} />`} />
    <${Values} title="Result" values=${data.result} />
    <h2>What it runs</h2><pre tabindex="0" aria-label="command">${data.command}</pre>
    <h2>Attempts</h2>
    ${data.attempts.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Attempts"><table aria-label="Attempts"><thead><tr>
      ${["No.", "Host", "State", "Started", "Took", "CPU", "Memory", "Reason"].map((title) => html`<th scope="col" class=${LESS.includes(title) ? "less" : ""}>${title}</th>`)}</tr></thead>
      <tbody>${data.attempts.map((one) => html`<tr><td>${one.n}</td><td>${one.host}</td><td><${State} job=${one} /></td><td class="less">${when(one.started)}</td>
        <td>${one.started && one.ended ? span(one.ended - one.started) : none}</td><td class="less">${span(one.cpu)}</td><td class="less">${size(one.rss)}</td><td class="wide">${one.origin ? `from ${one.origin}` : one.why || one.reason}</td></tr>`)}</tbody></table></div>`
      : html`<p class="empty">It has not been launched yet.</p>`}
    <h2>Output</h2>
    ${newest > 1 && html`<div class="tools"><label>Of attempt<select value=${attempt_} onChange=${(event) => change({ attempt: Number(event.target.value) === newest ? "" : event.target.value })}>
      ${data.attempts.map((one) => html`<option value=${one.n} selected=${one.n === attempt_}>${one.n} on ${one.host}${one.n === newest ? ", the newest" : ""}</option>`)}</select></label></div>`}
    <nav aria-label="Output">${["stdout", "stderr"].map((name) => html`<a href="#" aria-current=${stream === name ? "true" : undefined}
      onClick=${(event) => { event.preventDefault(); change({ stream: name }); }}>${name}${earlier ? "" : html` <span>${size(data[name])}</span>`}</a>`)}</nav>
    <${Output} key=${`${job.name} ${stream} ${earlier}`} run=${run} job=${job.name} stream=${stream} over=${over || !!earlier} attempt=${earlier} cut=${cut} />
    <${Files} run=${run} job=${job.name} attempt=${earlier} version=${over} />
    <h2>Settings</h2><dl>${Object.entries(data.spec).filter(([name]) => name !== "name").map(([name, value]) => html`<dt>${name.replaceAll("_", " ")}</dt><dd>${
      typeof value === "object" ? JSON.stringify(value) : String(value)}</dd>`)}</dl>`;
}

JobPage.asks = (run, place) => ofRun(run, "job") + query({ job: place.job });
