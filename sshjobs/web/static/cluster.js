// The page of a run's hosts, and the page of one host.

import { act, ofRun, query } from "./api.js";
import { JobTable } from "./jobs.js";
import { Link, Totals, Trouble, change, stamp, useActs, useAnswer, useQuestion, useSlow } from "./parts.js";
import { Table } from "./table.js";
import { html, useState } from "./vendor/preact-htm.js";
import { count, none, size, span, when } from "./words.js";

const FACTS = { hostname: "Its own name", python: "Python", home: "Home" };
const STATES = { up: "up", away: "away", blocked: "cannot be used", closed: "takes no jobs", silent: "silent" };

/** Where a host stands, in words; a drained one may be away, too. */
const reached = (host) => STATES[host.state] || host.state || "not heard of yet";
const standing = (host) => (host.drained ? "drained" : reached(host));

/** How much is free, and of how much: one unit is said once. */
function free(part, whole) {
  if (part === null || !whole) return size(part);
  const [number, unit] = size(part).split(" "), all = size(whole);
  return `${all.endsWith(` ${unit}`) ? number : `${number} ${unit}`} of ${all}`;
}

const columns = (run) => [
  { key: "name", title: "Host", value: (host) => host.name,
    show: (host) => (run ? html`<${Link} to=${{ run, view: "host", host: host.name }}>${host.name}<//>` : host.name) },
  ...(run ? [] : [{ key: "runs", title: "Runs", value: (host) => host.runs.join(" "), show: (host) => host.runs.map((name) => html`
    <${Link} to=${{ run: name, view: "host", host: host.name }}>${name}<//> `) }]),
  { key: "address", title: "Address", value: (host) => host.address, less: true },
  { key: "state", title: "State", value: standing,
    show: (host) => html`<span class=${host.state === "up" ? "s-done" : host.state ? "s-unknown" : "soft"}>${standing(host)}</span>` },
  { key: "slots", title: "Slots", number: true, value: (host) => host.slots },
  { key: "busy", title: "Busy", number: true, value: (host) => host.busy },
  { key: "done", title: "Done", number: true, value: (host) => host.done, show: (host) => count(host.done) },
  { key: "failed", title: "Failed", number: true, value: (host) => host.failed, show: (host) => count(host.failed) },
  { key: "cpu", title: "CPU time", number: true, less: true, value: (host) => host.cpu, show: (host) => span(host.cpu) },
  { key: "seconds", title: "Per job", number: true, value: (host) => host.seconds_per_job, show: (host) => span(host.seconds_per_job) },
  { key: "load", title: "Load", number: true, less: true, value: (host) => host.load, show: (host) => host.load?.toFixed(2) ?? none },
  { key: "memory", title: "Memory free", number: true, less: true, value: (host) => host.memory_free ?? host.memory, show: (host) => free(host.memory_free, host.memory) },
  { key: "disk", title: "Disk free", number: true, less: true, value: (host) => host.disk, show: (host) => size(host.disk) },
  { key: "gpus", title: "GPUs", number: true, less: true, value: (host) => host.gpus, show: (host) => (host.gpus && host.gpu_use !== null ? `${host.gpus} at ${Math.round(host.gpu_use)} %` : host.gpus ?? none) },
  { key: "sent", title: "Sent", number: true, less: true, value: (host) => host.sent, show: (host) => size(host.sent) },
  { key: "received", title: "Received", number: true, less: true, value: (host) => host.received, show: (host) => size(host.received) },
  { key: "heard", title: "Last heard", less: true, value: (host) => host.heard, show: (host) => when(host.heard) },
  { key: "reason", title: "Reason", wide: true, less: true, value: (host) => host.reason },
];

export function Cluster({ run, live, place }) {
  const hosts = [...live.rows.values()];
  const wanted = (place.filter || "").toLowerCase();
  const shown = wanted ? hosts.filter((host) => `${host.name} ${host.address} ${standing(host)} ${host.reason || ""}`.toLowerCase().includes(wanted)) : hosts;
  return html`
    ${run !== null && html`<h1>${run}</h1>`}
    ${run === null && html`<h1>Together</h1><p class="soft">${live.head.run.total ? "All runs that are at work, as one." : "No run is at work now."} One at a time: ${" "}<${Link} to=${{}}>Runs<//>.</p>`}
    <${Totals} run=${live.head.run} rate=${live.head.rate} secondsLeft=${live.head.seconds_left} mostLeft=${live.head.seconds_left_p90} linked=${run !== null} />
    ${!live.head.ready && html`<p class="soft">The figures of the hosts are still being read.</p>`}
    <div class="tools"><label>Filter hosts<input type="search" value=${place.filter || ""}
      onInput=${(event) => change({ filter: event.target.value })} /></label>
      <span class="soft">${shown.length === hosts.length ? `${count(hosts.length)} hosts` : `${count(shown.length)} of ${count(hosts.length)} hosts`}</span></div>
    ${hosts.length ? html`<${Table} label="Hosts" id="hosts" look="dense" columns=${columns(run)} rows=${shown} sort=${place.sort || "address"}
      descending=${(place.order || "desc") === "desc"} onSort=${(sort, desc) => change({ sort, order: desc ? "desc" : "asc" })} />`
      : html`<p class="empty">No hosts yet. ${run ? "Add some on the page Manage." : ""}</p>`}`;
}

export function HostPage({ run, live, place, readOnly }) {
  const version = useSlow(stamp(live), 2000);
  const { data, error } = useAnswer(HostPage.asks(run, place), version);
  const [chosen, setChosen] = useState(new Set());
  const [question, confirm] = useQuestion();
  const [said, attempt] = useActs();
  if (!data) return html`<${Trouble} error=${error} />`;
  const { host } = data, hosts = [host.name];
  const cancel = async () => {
    const jobs = [...chosen];
    if (!await confirm(`Cancel ${jobs.length === 1 ? jobs[0] : `${jobs.length} jobs`} on ${host.name}? What they have written stays.`, "Cancel them")) return;
    if (await attempt(`cancel ${jobs.join(", ")}`, () => act(ofRun(run, "cancel"), { jobs }))) setChosen(new Set());
  };
  const percent = (share) => (share === null ? none : `${(100 * share).toFixed(1)} %`);
  const blame = data.failure_share !== null && data.failure_share_elsewhere !== null && host.failed >= 3
    && data.failure_share > 3 * Math.max(data.failure_share_elsewhere, 0.01);
  return html`${question}<h1>${host.name}</h1>${said}
    <${Trouble} error=${error} />
    ${host.reason && html`<p class="note">${host.reason}</p>`}
    ${blame && html`<p class="note">Jobs fail here far more often than elsewhere: it may be the fault of the host.</p>`}
    <div class="tools">
      <button type="button" disabled=${readOnly} onClick=${() => attempt(host.drained ? `launch on ${host.name} again` : `drain ${host.name}`,
        () => act(ofRun(run, host.drained ? "hosts/undrain" : "hosts/drain"), { hosts }))}>${host.drained ? "Undrain" : "Drain"}</button>
      <span class="soft">${host.drained ? "nothing more is launched here" : "drain: what runs goes on, nothing more is launched"}</span></div>
    <dl>
      <dt>Address</dt><dd>${host.address}</dd><dt>State</dt><dd>${reached(host)}${host.state ? ` since ${when(host.since)}` : ""}${host.drained ? ", drained" : ""}</dd>
      <dt>Last heard</dt><dd>${when(host.heard)}</dd>
      <dt>Slots</dt><dd>${host.busy} of ${host.slots ?? none} busy</dd><dt>Cores</dt><dd>${host.cores ?? none}, load ${host.load?.toFixed(2) ?? none}</dd>
      <dt>Memory free</dt><dd>${free(host.memory_free, host.memory)}</dd><dt>Disk free</dt><dd>${size(host.disk)}</dd>
      ${data.gpus.length > 0 && html`<dt>GPUs</dt><dd>${data.gpus.map((gpu) => html`<div>${gpu.name}${gpu.use !== null ? `, ${gpu.use} % busy` : ""}${
        gpu.memory !== null ? `, ${size(gpu.memory)} taken` : ""}</div>`)}</dd>`}
      ${data.gpu_holders.length > 0 && html`<dt>Who has them</dt><dd>${data.gpu_holders.map((gpu) => html`<div>${
        gpu.label === null ? gpu.uuid : `GPU ${gpu.label} (${gpu.name})`}: ${gpu.job !== null ? html`<${Link} to=${{ run, view: "job", job: gpu.job }}>${gpu.job}<//>` : gpu.by ?? "free"}</div>`)}</dd>`}
      <dt>Sent, received</dt><dd>${size(host.sent)}, ${size(host.received)}</dd>
      <dt>Jobs</dt><dd>${count(host.done)} done, ${count(host.failed)} failed, ${span(host.cpu)} CPU</dd>
      <dt>Failures</dt><dd>${percent(data.failure_share)} here, ${percent(data.failure_share_elsewhere)} on all others</dd>
      ${Object.entries(FACTS).filter(([name]) => data.facts[name]).map(([name, title]) => html`<dt>${title}</dt><dd>${String(data.facts[name])}</dd>`)}
    </dl>
    <h2>Running</h2>
    ${data.running.length ? html`<div class="tools">
        <button type="button" onClick=${() => setChosen(chosen.size === data.running.length ? new Set() : new Set(data.running.map((job) => job.name)))}>
          ${chosen.size === data.running.length ? "Select none" : "Select all"}</button>
        <button type="button" class="danger" disabled=${readOnly || !chosen.size} onClick=${cancel}>Cancel ${chosen.size || ""} selected</button></div>
      <${JobTable} run=${run} jobs=${data.running} chosen=${chosen} setChosen=${setChosen} label="Running jobs" id="running" here=${true} />`
    : html`<p class="empty">Nothing runs here now.</p>`}
    <h2>Ended last</h2>
    ${data.finished.length ? html`<${JobTable} run=${run} jobs=${data.finished} label="Ended jobs" id="ended" here=${true} />` : html`<p class="empty">Nothing has ended here yet.</p>`}`;
}

HostPage.asks = (run, place) => ofRun(run, "host") + query({ host: place.host });
