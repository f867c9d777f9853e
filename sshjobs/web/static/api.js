// Talks to the server: questions, acts, and the stream of what changes.

let told = () => {};

/** Call a function whenever the server no longer knows this browser. */
export function onLoggedOut(f) { told = f; }

/** The path of a question about a run. */
export const ofRun = (run, rest) => `api/runs/${encodeURIComponent(run)}/${rest}`;

/** Parameters as the end of an address; what is empty is left out. */
export function query(params) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") search.append(name, one);
    }
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

async function refused(answer) {
  if (answer.status === 401) told();
  let reason = `the server answered ${answer.status}`;
  try { reason = (await answer.json()).error || reason; } catch { /* not ours: a proxy's page */ }
  return new Error(reason);
}

const AWAY = "the server does not answer; is sshjobs serve still running?";

/** Fetch, with words of ours where no answer comes: those of browsers differ, and help nobody. */
async function answered(path, options) {
  try { return await fetch(path, options); } catch (error) {
    throw error.name === "AbortError" ? error : new Error(AWAY);
  }
}

/** Ask for JSON. Throws an Error that says why not. */
export async function ask(path, signal) {
  const answer = await answered(path, { signal });
  if (!answer.ok) throw await refused(answer);
  return answer.json();
}

/** Answers to what was asked ahead, by path; each is for the first page that asks for it. */
const ahead = new Map();

async function early(path) {
  const answer = await fetch(path);
  return answer.ok ? { data: await answer.json(), version: answer.headers.get("X-Version") } : null;
}

/** Ask for what a page will ask for once it is there. What goes wrong is told when the page asks. */
export function askAhead(path) { ahead.set(path, early(path).catch(() => null)); }

/** Ask about a version of a run, and call take with the answer. One that was asked for ahead is taken at once; where it is of
 * another version, that of this version follows. Throws an Error that says why not. */
export async function askAbout(path, version, signal, take) {
  const known = await ahead.get(path);
  ahead.delete(path);
  if (signal.aborted) return;
  if (known) {
    take(known.data);
    if (known.version === version) return;
  }
  take(await ask(path, signal));
}

/** Have something done. */
export async function act(path, body) {
  const answer = await answered(path, { method: "POST", body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" } });
  if (!answer.ok) throw await refused(answer);
  return answer.json();
}

/** A piece of what a job wrote: {bytes, offset, size}. */
export async function output(run, params, signal) {
  const answer = await answered(ofRun(run, "output") + query(params), { signal });
  if (!answer.ok) throw await refused(answer);
  return { bytes: new Uint8Array(await answer.arrayBuffer()), offset: Number(answer.headers.get("X-Offset")),
    size: Number(answer.headers.get("X-Size")) };
}

/** Log in with the token of the address, once, and take it out of the address. */
export async function logIn() {
  const found = /^#token=([0-9a-f]{64})$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname + location.search);
  await fetch("api/session", { method: "POST", body: JSON.stringify({ token: found[1] }),
    headers: { "Content-Type": "application/json" } });
}

const streamOf = (run, every) => (run === null ? "api/together/events" : ofRun(run, "events")) + query({ every });

/** A stream of events that was opened ahead, until the page follows it: {url, source, held}. */
let opened = null;

/** Open the stream of a run that the page will follow. */
export function openAhead(run, every) {
  if (!(every > 0 && window.EventSource)) return;
  const url = streamOf(run, every), source = new EventSource(url), held = [];
  source.onmessage = (event) => held.push(event);
  opened = { url, source, held };
}

/** The stream at an address: the one that was opened ahead, with what has come over it, or a new one. */
function streamAt(url) {
  const found = opened;
  opened = null;
  if (found && found.url === url && found.source.readyState !== EventSource.CLOSED) return found;
  if (found) found.source.close();
  return { source: new EventSource(url), held: [] };
}

/** Failures in a row after which a stream is given up, answers after which it is tried again, and seconds between questions to
 * a server that does not answer. */
const GIVE_UP = 3, TRY_STREAM = 6, WHILE_AWAY = 3;

/**
 * Follow a run, or, where run is null, all runs at work as one. Calls take({head, rows, live}) with each change; rows is a Map from a host's name to its row.
 * Where no stream of events comes through, asks every poll() seconds (0: never). Returns what ends it.
 */
export function follow(run, every, poll, take, failed) {
  const whole = run === null ? "api/together" : ofRun(run, "overview");
  let rows = new Map(), source = null, timer = null, over = false, failures = 0, looks = 0;
  const change = (event) => {
    const data = JSON.parse(event.data);
    failures = looks = 0;
    clearTimeout(timer);
    if (data.whole) rows = new Map();
    for (const row of data.rows) rows.set(row.name, row);
    if (data.names) rows = new Map(data.names.filter((name) => rows.has(name)).map((name) => [name, rows.get(name)]));
    take({ head: data.head, rows, live: true });
  };
  const look = async () => {
    const seconds = poll();
    let pause = seconds;
    try {
      const { hosts, ...head } = await ask(whole);
      if (over) return;
      rows = new Map(hosts.map((host) => [host.name, host]));
      take({ head, rows, live: false });
      looks += 1;
      if (every > 0 && !source && looks % TRY_STREAM === 0) open();
    } catch (error) {
      if (!over) failed(error);
      pause = Math.min(seconds, WHILE_AWAY);
    }
    clearTimeout(timer);
    if (!over && seconds > 0) timer = setTimeout(look, pause * 1000);
  };
  const open = () => {
    const found = streamAt(streamOf(run, every));
    source = found.source;
    source.onmessage = change;
    source.onerror = () => {
      if (over) return;
      failures += 1;
      // The browser connects again by itself, unless the server has refused the stream. Where none comes through, we ask.
      if (source.readyState === EventSource.CLOSED || (poll() > 0 && failures >= GIVE_UP)) {
        source.close();
        source = null;
        look();
      } else failed(new Error("the server does not answer; trying again"));
    };
    for (const event of found.held) change(event);
  };
  if (every > 0 && window.EventSource) open(); else look();
  return () => { over = true; clearTimeout(timer); if (source) source.close(); };
}
