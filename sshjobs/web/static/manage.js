// The page on which a run is managed: hosts in and out, slots, pause, and how often this browser asks.

import { act, ofRun } from "./api.js";
import { change, useActs, useQuestion } from "./parts.js";
import { Table } from "./table.js";
import { html, useState } from "./vendor/preact-htm.js";

export function Manage({ run, live, place, readOnly, every, setEvery }) {
  const [question, confirm] = useQuestion();
  const [said, attempt] = useActs();
  const [added, setAdded] = useState(""), [slots, setSlots] = useState({});
  const state = live.head.run, hosts = [...live.rows.values()];
  const add = async (event) => {
    event.preventDefault();
    const words = added.split(/\n/).map((line) => line.trim()).filter(Boolean);
    if (words.length && await attempt(`add ${words.join(", ")}`, () => act(ofRun(run, "hosts/add"), { hosts: words }))) setAdded("");
  };
  const setTo = async (host) => {
    const wanted = Number(slots[host.name] ?? host.slots);
    const answer = await attempt(`${wanted} slots on ${host.name}`, () => act(ofRun(run, "hosts/slots"), { hosts: [host.name], slots: wanted }));
    if (!answer || host.busy <= wanted) return;
    if (await confirm(`${host.busy} jobs run on ${host.name}, ${host.busy - wanted} more than it has slots now. They may run to their ends. Cancel the newest ${host.busy - wanted} instead?`, "Cancel them")) {
      await attempt(`cancel the surplus on ${host.name}`, () => act(ofRun(run, "hosts/slots"), { hosts: [host.name], slots: wanted, cancel_surplus: true }));
    }
  };
  const remove = async (host) => {
    if (await confirm(`Take ${host.name} out of the run? What runs there ends first.`, "Take it out")) await attempt(`remove ${host.name}`, () => act(ofRun(run, "hosts/remove"), { hosts: [host.name] }));
  };
  const all = (word, text) => attempt(text, () => act(ofRun(run, word), { jobs: null }));
  const cancelAll = async () => { if (await confirm(`Cancel all jobs of ${run} that have not ended?`, "Cancel all")) await all("cancel", "cancel all"); };
  const columns = [
    { key: "name", title: "Host", value: (host) => host.name },
    { key: "address", title: "Address", value: (host) => host.address, less: true },
    { key: "busy", title: "Busy", number: true, value: (host) => host.busy },
    { key: "slots", title: "Slots", number: true, value: (host) => host.slots, show: (host) => html`
      <input type="number" min="1" max="4096" aria-label="slots of ${host.name}" value=${slots[host.name] ?? host.slots ?? ""} disabled=${readOnly}
        onInput=${(event) => setSlots({ ...slots, [host.name]: event.target.value })} />` },
    { key: "set", title: "", sorts: false, value: (host) => host.name, show: (host) => html`
      <button type="button" disabled=${readOnly || !(slots[host.name] ?? host.slots)} onClick=${() => setTo(host)}>Set slots</button>` },
    { key: "remove", title: "", sorts: false, value: (host) => host.name, show: (host) => html`
      <button type="button" class="danger" disabled=${readOnly} onClick=${() => remove(host)}>Remove</button>` },
  ];
  return html`${question}<h1>Manage</h1>${readOnly && html`<p class="note">This server is for reading only.</p>`}${said}
    <h2>The run</h2>
    <div class="tools">
      ${state.paused ? html`<button type="button" disabled=${readOnly} onClick=${() => all("unpause", "unpause")}>Unpause</button>`
    : html`<button type="button" disabled=${readOnly} onClick=${() => all("pause", "pause")}>Pause</button>`}
      <button type="button" disabled=${readOnly} onClick=${() => all("retry", "try all failed jobs again")}>Try all failed again</button>
      <button type="button" class="danger" disabled=${readOnly} onClick=${cancelAll}>Cancel all</button>
      <span class="soft">${state.paused ? "paused: nothing is launched" : "pause: what runs goes on, nothing is launched"}</span></div>
    <h2>Add hosts</h2>
    <form onSubmit=${add}><div class="tools"><label>One a line, as in a hosts file: name, range or address, slots=N; * and ? stand for hosts of the hosts file
      <textarea rows="3" cols="40" value=${added} onInput=${(event) => setAdded(event.target.value)} placeholder="node[01-04] slots=8"></textarea></label>
      <button type="submit" class="strong" disabled=${readOnly || !added.trim()}>Add</button></div></form>
    <h2>Hosts</h2>
    ${hosts.length ? html`<${Table} label="Hosts to manage" id="manage" look="snug" columns=${columns} rows=${hosts} sort=${place.sort || "address"}
      descending=${(place.order || "desc") === "desc"} onSort=${(sort, desc) => change({ sort, order: desc ? "desc" : "asc" })} />`
    : html`<p class="empty">No hosts yet: add one above.</p>`}
    <h2>This browser</h2>
    <div class="tools"><label>Seconds between updates, 0 for none<input type="number" min="0" max="3600" value=${every}
      onChange=${(event) => setEvery(Math.max(0, Number(event.target.value) || 0))} /></label>${every ? "" : html`<span class="soft">nothing is updated now</span>`}</div>`;
}
