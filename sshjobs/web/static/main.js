// The pages: which one the address names, and the run that they are all about, followed once for all of them.

import { ask, askAhead, follow, logIn, onLoggedOut, openAhead } from "./api.js";
import { Cluster, HostPage } from "./cluster.js";
import { JobPage } from "./job.js";
import { Jobs } from "./jobs.js";
import { Manage } from "./manage.js";
import { Link, Progress, Trouble, change, place as placeNow, usePlace } from "./parts.js";
import { Results } from "./results.js";
import { Table } from "./table.js";
import { Timeline } from "./timeline.js";
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact-htm.js";
import { count, when } from "./words.js";

const VIEWS = { cluster: [Cluster, "Cluster"], jobs: [Jobs, "Jobs"], results: [Results, "Results"], timeline: [Timeline, "Timeline"], manage: [Manage, "Manage"],
  job: [JobPage, null], host: [HostPage, null] };
const LIST_MS = 3000;
/** Seconds between questions where no stream of events comes through, until the server has said how many. */
const POLL = 10;

/** Where a browser keeps how often it wants to be told of changes. */
const EVERY = "sshjobs-every";

function stored(name, otherwise) {
  try { return Number(localStorage.getItem(name) ?? otherwise); } catch { return otherwise; }
}

const RUNS = [
  { key: "name", title: "Run", value: (run) => run.name, show: (run) => html`<${Link} to=${{ run: run.name }}>${run.name}<//>` },
  { key: "state", title: "State", value: (run) => (run.damaged ? "damaged" : run.state), show: (run) => (run.damaged ? html`<span class="s-error">damaged</span>` : `${run.state}${run.paused ? ", paused" : ""}`) },
  { key: "created", title: "Begun", less: true, value: (run) => run.created, show: (run) => when(run.created) },
  { key: "total", title: "Jobs", number: true, value: (run) => run.total, show: (run) => count(run.total) },
  { key: "busy", title: "Busy", number: true, less: true, value: (run) => run.counts.busy, show: (run) => count(run.counts.busy) },
  { key: "done", title: "Done", number: true, value: (run) => run.counts.done, show: (run) => count(run.counts.done) },
  { key: "error", title: "Error", number: true, value: (run) => run.counts.error, show: (run) => count(run.counts.error) },
  { key: "hosts", title: "Hosts", number: true, less: true, value: (run) => run.hosts, show: (run) => count(run.hosts) },
  { key: "progress", title: "Progress", wide: true, value: (run) => (run.total ? (run.counts.done + run.counts.error) / run.total : 0),
    show: (run) => run.damaged || html`<${Progress} counts=${run.counts} total=${run.total} />` },
];

/** first: the list as it was when the browser came here. */
function RunList({ place, first }) {
  const [data, setData] = useState(first), [error, setError] = useState(null);
  useEffect(() => {
    const stop = new AbortController();
    const look = () => ask("api/runs", stop.signal).then((now) => { setData(now); setError(null); }, (reason) => { if (!stop.signal.aborted) setError(reason); });
    const timer = setInterval(look, LIST_MS);
    look();
    return () => { clearInterval(timer); stop.abort(); };
  }, []);
  const sum = (state) => data.runs.reduce((all, run) => all + (run.counts[state] || 0), 0);
  return html`<h1>Runs</h1><${Trouble} error=${error} />
    ${data.runs.length > 1 && html`<p class="soft">All of them: ${["free", "busy", "done", "unknown", "error"].map((state) => `${count(sum(state))} ${state}`).join(", ")}.</p>`}
    ${data.runs.length ? html`<${Table} label="Runs" id="runs" columns=${RUNS} rows=${data.runs} sort=${place.sort || "created"}
      descending=${(place.order || "desc") === "desc"} onSort=${(sort, desc) => change({ sort, order: desc ? "desc" : "asc" })} />`
    : html`<p class="empty">No runs yet. Start one with <code>sshjobs run jobs.yaml --hosts hosts.txt</code>; it appears here by itself.</p>`}`;
}

function RunPages({ run, place, settings }) {
  const [live, setLive] = useState(null), [error, setError] = useState(null);
  const [every, setEvery] = useState(stored(EVERY, 1));
  const poll = useRef(POLL);
  if (settings) poll.current = settings.poll_seconds;
  useLayoutEffect(() => {
    try { localStorage.setItem(EVERY, String(every)); } catch { /* a browser that keeps nothing */ }
    setLive(null);
    return follow(run, every, () => every && poll.current, (now) => { setLive(now); setError(null); }, setError);
  }, [run, every]);
  const [Page] = run === null ? [Cluster] : VIEWS[place.view] || VIEWS.cluster;
  const paused = live && live.head.run.paused ? ", paused" : "";
  return html`
    <a class="skip" href="#main">To the content</a>
    <header><${Link} class="brand" to=${{}}>sshjobs<//>
      <nav aria-label="Pages">${run === null ? html`<${Link} to=${{}}>Runs<//><${Link} to=${{ view: "together" }} aria-current="page">Together<//>` : Object.entries(VIEWS).filter(([, [, title]]) => title).map(([view, [, title]]) => html`
        <${Link} to=${{ run, view }} aria-current=${(place.view || "cluster") === view ? "page" : undefined}>${title}<//>`)}</nav>
      <span class="live" role="status">${run ?? ""}${live && run !== null ? `: ${live.head.run.state}${paused}` : ""}${error ? " (no answer)" : ""}</span></header>
    <main id="main"><${Trouble} error=${error} />
      ${live && settings ? html`<${Page} key=${run} ...${{ run, live, place, every, setEvery, readOnly: settings.read_only }} />` : !error && html`<p class="empty">Reading ${run ?? "the runs"} …</p>`}</main>`;
}

/** asked: the promise of the list of runs, with the settings of this server. */
function App({ asked }) {
  const place = usePlace();
  const [out, setOut] = useState(false);
  const [settings, setSettings] = useState(null), [error, setError] = useState(null);
  useLayoutEffect(() => {
    onLoggedOut(() => setOut(true));
    asked.then(setSettings, setError);
  }, []);
  useEffect(() => { document.title = [place.job || place.host, place.run, "sshjobs"].filter(Boolean).join(" · "); });
  if (out) {
    return html`<main><h1>sshjobs</h1><p class="empty">This browser is not logged in. Open the address that <code>sshjobs serve</code> has printed, with all that follows the #.</p></main>`;
  }
  if (error) return html`<main><${Trouble} error=${error} /></main>`;
  if (place.run) return html`<${RunPages} key=${place.run} run=${place.run} place=${place} settings=${settings} />`;
  if (place.view === "together") return html`<${RunPages} key="together" run=${null} place=${place} settings=${settings} />`;
  if (!settings) return null;
  return html`<a class="skip" href="#main">To the content</a>
    <header><${Link} class="brand" to=${{}}>sshjobs<//><nav aria-label="Pages"><${Link} to=${{}} aria-current="page">Runs<//><${Link} to=${{ view: "together" }}>Together<//></nav></header>
    <main id="main"><${RunList} place=${place} first=${settings} /></main>`;
}

/** Ask for all that the page will need at once, then draw it. */
async function begin() {
  try { await logIn(); } catch { /* what is asked next fails too, and says why */ }
  const asked = ask("api/runs"), now = placeNow(), [Page] = VIEWS[now.view] || VIEWS.cluster;
  if (now.run && Page.asks) askAhead(Page.asks(now.run, now));
  if (now.run || now.view === "together") openAhead(now.run || null, stored(EVERY, 1));
  render(html`<${App} asked=${asked} />`, document.getElementById("app"));
}

begin();
