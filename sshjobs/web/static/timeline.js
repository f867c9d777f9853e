// Attempts over time: each as a bar in a lane of its host while few are in sight, else how busy each host was.

import { ofRun, query } from "./api.js";
import { Trouble, change, go, oncePainted, stamp, useAnswer, useSlow } from "./parts.js";
import { html, useEffect, useRef, useState } from "./vendor/preact-htm.js";
import { span, when } from "./words.js";

const LANE = 12, GAP = 8, HOSTS = 100;
const KINDS = { done: "succeeded", error: "failed", unknown: "cancelled, lost or never started", busy: "running" };
const kind = (outcome) => (outcome === null ? "busy" : outcome === "succeeded" ? "done" : ["lost", "never_started", "cancelled"].includes(outcome) ? "unknown" : "error");

/** Pixels that the names of hosts get. */
const label = (width) => (width < 600 ? 84 : 130);

function layout(data) {
  const hosts = new Map();
  for (const bar of data.bars) hosts.set(bar.host, Math.max(hosts.get(bar.host) || 0, bar.lane + 1));
  for (const row of data.rows) hosts.set(row.host, 2);
  let top = GAP;
  const rows = new Map();
  for (const [name, lanes] of [...hosts].sort(([a], [b]) => a.localeCompare(b, "en", { numeric: true }))) {
    rows.set(name, { top, lanes });
    top += lanes * LANE + GAP;
  }
  return { rows, height: Math.max(60, top + 24) };
}

/** Draw attempts. With whole all of them at once, else what is on the first screen, and the rest when that is painted. Returns what gives
 * the rest up. */
function draw(canvas, data, plan, whole) {
  const width = canvas.clientWidth, left = label(width), scale = devicePixelRatio || 1, style = getComputedStyle(document.documentElement);
  const colours = new Map();
  const colour = (name) => colours.get(name) ?? colours.set(name, style.getPropertyValue(name).trim()).get(name);
  canvas.width = width * scale; canvas.height = plan.height * scale;
  canvas.style.height = `${plan.height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.font = "12px system-ui, sans-serif";
  const x = (time) => left + ((time - data.begin) / (data.end - data.begin)) * (width - left - 6);
  const busiest = data.rows.reduce((most, row) => row.busy.reduce((a, b) => Math.max(a, b), most), 1);
  const part = (from, to) => {
    const inSight = (row) => row && row.top >= from && row.top < to;
    for (const [name, row] of plan.rows) {
      if (!inSight(row)) continue;
      pen.fillStyle = colour("--text");
      const most = Math.floor(left / 7);
      pen.fillText(name.length > most ? `${name.slice(0, most - 1)}…` : name, 6, row.top + 11);
    }
    for (const bar of data.bars) {
      const row = plan.rows.get(bar.host);
      if (!inSight(row)) continue;
      pen.fillStyle = colour(`--bar-${kind(bar.outcome)}`);
      const begin = Math.max(left, x(bar.started));
      pen.fillRect(begin, row.top + bar.lane * LANE, Math.max(1, Math.min(width - 6, x(bar.ended)) - begin - 0.5), LANE - 2);
    }
    for (const row of data.rows) {
      const place = plan.rows.get(row.host);
      if (!inSight(place)) continue;
      const step = (width - left - 6) / row.busy.length, high = 2 * LANE - 2;
      pen.fillStyle = colour("--bar-busy");
      row.busy.forEach((busy, at) => {
        if (busy) pen.fillRect(left + at * step, place.top + high * (1 - busy / busiest), Math.ceil(step), (high * busy) / busiest);
      });
      pen.fillStyle = colour("--bar-error");
      row.failed.forEach((failed, at) => { if (failed) pen.fillRect(left + at * step, place.top + high - 4, Math.ceil(step), 4); });
    }
  };
  part(0, whole ? Infinity : innerHeight);
  pen.fillStyle = colour("--soft");
  const steps = width > 700 ? 4 : 1;
  for (let at = 0; at <= steps; at += 1) {
    const time = data.begin + (at / steps) * (data.end - data.begin);
    pen.textAlign = at === steps ? "right" : at ? "center" : "left";
    pen.fillText(when(time), x(time), plan.height - 8);
  }
  pen.textAlign = "left";
  let wanted = true;
  if (!whole && plan.height > innerHeight) oncePainted(() => wanted && part(innerHeight, Infinity));
  return () => { wanted = false; };
}

/** Which time and which hosts an address wants. */
const shown = (place) => ({ begin: Number(place.begin) || undefined, end: Number(place.end) || undefined, skip: Number(place.skip) || 0 });

export function Timeline({ run, live, place }) {
  const version = useSlow(stamp(live), 3000);
  const { skip } = shown(place);
  const { data, error } = useAnswer(Timeline.asks(run, place), version);
  const canvas = useRef(), [drag, setDrag] = useState(null), [under, setUnder] = useState("");
  const plan = data && layout(data);
  const [, again] = useState(0);
  useEffect(() => {
    const redraw = () => again((n) => n + 1);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    addEventListener("resize", redraw);
    dark.addEventListener("change", redraw);
    return () => { removeEventListener("resize", redraw); dark.removeEventListener("change", redraw); };
  }, []);
  const before = useRef(false);
  useEffect(() => {
    if (!data || !canvas.current) return undefined;
    const giveUp = draw(canvas.current, data, plan, before.current);
    before.current = true;
    return giveUp;
  });
  const time = (event) => {
    const box = canvas.current.getBoundingClientRect(), left = label(box.width);
    return data.begin + Math.min(1, Math.max(0, (event.clientX - box.left - left) / (box.width - left - 6))) * (data.end - data.begin);
  };
  const zoom = (factor, around = (data.begin + data.end) / 2) => change({
    begin: (around - (around - data.begin) * factor).toFixed(3), end: (around + (data.end - around) * factor).toFixed(3) });
  const barAt = (event) => {
    const box = canvas.current.getBoundingClientRect(), at = time(event), y = event.clientY - box.top;
    return data.bars.find((bar) => {
      const row = plan.rows.get(bar.host);
      return row && at >= bar.started && at <= bar.ended && y >= row.top + bar.lane * LANE && y < row.top + (bar.lane + 1) * LANE;
    });
  };
  const move = (event) => {
    const bar = barAt(event);
    setUnder(bar ? `${bar.job} on ${bar.host}: ${(bar.outcome || "running").replaceAll("_", " ")}, ${span(bar.ended - bar.started)}` : when(time(event)));
  };
  const up = (event) => {
    const from = drag, to = time(event);
    setDrag(null);
    if (from !== null && Math.abs(to - from) > (data.end - data.begin) / 200) change({ begin: Math.min(from, to).toFixed(3), end: Math.max(from, to).toFixed(3) });
    else { const bar = barAt(event); if (bar) go({ run, view: "job", job: bar.job }); }
  };
  if (!data) return html`<${Trouble} error=${error} />`;
  const empty = !data.bars.length && !data.rows.length;
  return html`<h1>Timeline</h1><${Trouble} error=${error} />
    <div class="tools"><button type="button" onClick=${() => zoom(0.5)}>Zoom in</button><button type="button" onClick=${() => zoom(2)}>Zoom out</button>
      <button type="button" onClick=${() => change({ begin: "", end: "" })}>Whole run</button><span class="soft">drag to zoom into a part; ${span(data.end - data.begin)} are shown</span></div>
    <div class="keys">${Object.entries(KINDS).map(([name, text]) => html`<span><i class="b-${name}"></i>${text}</span>`)}
      ${data.rows.length > 0 && html`<span>as high as jobs run at a time</span>`}</div>
    ${empty ? html`<p class="empty">${data.ready ? "Nothing ran in this time." : "The run is still being read."}</p>` : html`
    <canvas ref=${canvas} role="img" aria-label="attempts of ${plan.rows.size} hosts from ${when(data.begin)} to ${when(data.end)}"
      onPointerDown=${(event) => setDrag(time(event))} onPointerMove=${move} onPointerUp=${up} onPointerLeave=${() => { setDrag(null); setUnder(""); }}
      onWheel=${(event) => { if (event.ctrlKey) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, time(event)); } }}></canvas>`}
    <p class="soft">${under || "\u00a0"}</p>
    ${data.hosts > plan.rows.size && html`<div class="tools"><button type="button" disabled=${!skip} onClick=${() => change({ skip: Math.max(0, skip - HOSTS) || "" })}>Earlier hosts</button>
      <span>${skip + 1} to ${skip + plan.rows.size} of ${data.hosts} hosts</span>
      <button type="button" disabled=${skip + HOSTS >= data.hosts} onClick=${() => change({ skip: skip + HOSTS })}>Later hosts</button></div>`}`;
}

Timeline.asks = (run, place) => ofRun(run, "timeline") + query(shown(place));
