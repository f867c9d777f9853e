// What a job wrote, as a terminal would have left it: colours as classes, a line that was written over and over again
// by "\r" as its last state. Everything becomes text nodes and spans; nothing is ever taken for HTML.

import { html } from "./vendor/preact-htm.js";

const ESCAPE = /\x1b\[([0-9;:]*)([@-~])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]|[\x00-\x08\x0b-\x0d\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Collapse lines that were written over. */
export function lines(text) {
  return text.replaceAll("\r\n", "\n").split("\n").map((line) => {
    const at = line.replace(/\r+$/, "").lastIndexOf("\r");
    return at < 0 ? line : line.slice(at + 1);
  });
}

/** A line as spans; where it fits the search, marked. */
export function show(line, search) {
  const parts = [];
  let classes = new Set(), from = 0;
  const push = (text) => {
    if (!text) return;
    const marked = search ? mark(text, search) : text;
    parts.push(classes.size ? html`<span class=${[...classes].map((n) => `a${n}`).join(" ")}>${marked}</span>` : marked);
  };
  for (const found of line.matchAll(ESCAPE)) {
    push(line.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") classes = graphics(classes, found[1]);
  }
  push(line.slice(from));
  return parts;
}

function graphics(classes, codes) {
  const now = new Set(classes);
  for (const code of codes.split(/[;:]/).map(Number)) {
    if (!code) now.clear();
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      for (const old of now) if (old >= 30) now.delete(old);
      now.add(code);
    } else if (code === 39) { for (const old of now) if (old >= 30) now.delete(old); }
    else if (code === 22) now.delete(1);
    else if ([1, 3, 4].includes(code)) now.add(code);
  }
  return now;
}

function mark(text, search) {
  const parts = [], low = text.toLowerCase(), wanted = search.toLowerCase();
  let from = 0, at;
  while ((at = low.indexOf(wanted, from)) >= 0) {
    parts.push(text.slice(from, at), html`<mark>${text.slice(at, at + wanted.length)}</mark>`);
    from = at + wanted.length;
  }
  parts.push(text.slice(from));
  return parts;
}
