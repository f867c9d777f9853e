"""The page of a report: one file that asks nobody for anything, whatever is in it.

Every text of a jobfile, a host or a job is escaped here, or stands in a block of JSON that no ``<`` is in and that the
script of the page shows as text only. Style and script are known to the browser by their digests: no other runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import platform
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from typing import Any

from sshjobs import __version__
from sshjobs.diagnosis.blame import Common
from sshjobs.diagnosis.groups import Kind
from sshjobs.errors import printable
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.report.figures import Figures, HostUse
from sshjobs.tables.values import MOST_PARAMETERS, ValueFigures
from sshjobs.views import wording

#: What every report begins with, by which one is known.
MARK = "<!doctype html>\n<!-- a report by sshjobs -->\n"
#: Characters of the jobfile that are shown, and rows of the tables of hosts and of outputs.
MOST_JOBFILE, MOST_HOSTS = 200_000, 1_000
#: Jobs of a kind of failures that are named.
NAMED = 3
#: Steps of a bar.
_STEPS = 50
#: What the colours of the timeline mean.
_KEYS = {"slots": (("done", "succeeded"), ("error", "failed"), ("unknown", "cancelled, lost or never started"),
                   ("busy", "running")),
         "bins": (("busy", "as high as jobs ran at a time"), ("error", "some that ended had failed"))}
_STATES = ((STATE_DONE, "done"), (STATE_ERROR, "error"), (STATE_BUSY, "busy"), (STATE_UNKNOWN, "unknown"),
           (STATE_FREE, "free"))


def page_of(figures: Figures) -> Iterator[str]:
    """Yield the text of the page, piece by piece."""
    style, script = _style(), _static("report.js")
    policy = (f"default-src 'none'; style-src 'sha256-{_digest(style)}'; script-src 'sha256-{_digest(script)}'; "
              "base-uri 'none'; form-action 'none'")
    title = f"{text(figures.summary.run)} – sshjobs"
    yield (f'{MARK}<html lang="en">\n<head>\n<meta charset="utf-8">\n'
           f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
           '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
           '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
           f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n")
    yield from _summary(figures)
    yield from _timeline(figures)
    yield from _hosts(figures)
    yield from _failures(figures)
    yield from _shortened(figures)
    yield from _durations(figures)
    yield from _table(figures)
    yield from _jobfile(figures)
    yield from _versions(figures)
    yield f"</main>\n<script>{script}</script>\n</body>\n</html>\n"


def text(value: object) -> str:
    """Return a text of anybody's as the text that it is: hidden characters in words, and none that means something."""
    return html.escape(printable(value))


def _summary(figures: Figures) -> Iterator[str]:
    summary, span = figures.summary, figures.span
    state = f'<span class="state s-{_word_of(summary.state)}">{text(summary.state)}</span>'
    yield (f'<h1>{text(summary.run)} {state}</h1>\n'
           f'<p class="soft">begun {_moment(summary.created)}; as of {_moment(figures.made)}</p>\n')
    total = max(1, summary.total)
    widths = _shares([summary.counts[state] for state, _ in _STATES[:-1]], total)
    yield '<div class="progress" aria-hidden="true">' + "".join(
        f'<i class="b-{word} w{width}"></i>' for (_, word), width in zip(_STATES, widths, strict=False)) + "</div>\n"
    cards = [(f"{summary.total:,}", "job" if summary.total == 1 else "jobs")]
    cards += [(f"{summary.counts[state]:,}", word) for state, word in _STATES
              if summary.counts[state] or state in (STATE_DONE, STATE_ERROR)]
    if span is not None:
        cards.append((wording.duration(span[1] - span[0]), "from the first start to the last end"))
    work = sum(one.figures.seconds for one in figures.hosts)
    hosts = len(figures.hosts)
    cards += [(wording.duration(work), "of jobs, one after the other"),
              (f"{hosts:,}", "host" if hosts == 1 else "hosts")]
    told = (f'<div class="card"><b>{text(number)}</b><span>{text(word)}</span></div>' for number, word in cards)
    yield f'<div class="cards">{"".join(told)}</div>\n'
    if summary.state in ("running", "unattended", "interrupted"):
        yield _note("The run is not over: this is how it stood when the report was made.")
    if rule := wording.rule(summary.options.get("ended_by")):
        yield _note(f"The run was {rule.removeprefix('; ')}.")


def _timeline(figures: Figures) -> Iterator[str]:
    packed = figures.timeline
    yield "<h2>Timeline</h2>\n"
    if packed.head["kind"] == "nothing":
        yield '<p class="empty">Nothing has run.</p>\n'
        return
    yield '<div class="keys">' + "".join(
        f'<span><i class="b-{name}"></i>{word}</span>' for name, word in _KEYS[packed.head["kind"]]) + "</div>\n"
    yield from _left_out(packed.left_out)
    buttons = (("in", "Zoom in"), ("out", "Zoom out"), ("back", "Earlier"), ("on", "Later"), ("all", "Whole run"))
    yield '<div class="tools" id="zoom">' + "".join(
        f'<button type="button" data-zoom="{name}">{word}</button>' for name, word in buttons) + "</div>\n"
    label = (f"attempts of {wording.count(len(packed.head['hosts']), 'host')} from {_moment(packed.head['begin'])} to "
             f"{_moment(packed.head['end'])}")
    yield ('<div class="scroll tall" tabindex="0" role="region" aria-label="timeline"><canvas id="timeline" '
           f'role="img" aria-label="{label}"></canvas></div>\n<p class="soft" id="under">&nbsp;</p>\n'
           "<noscript><p>The timeline is drawn by a script.</p></noscript>\n")
    yield _block("timeline-head", packed.head) + _data("timeline-data", packed.data)


def _hosts(figures: Figures) -> Iterator[str]:
    yield "<h2>Hosts</h2>\n"
    titles = ["host", "slots", "use", "done", "failed", "seconds a job", "CPU", "output", "state"]
    rows = [_host(one) for one in figures.hosts[:MOST_HOSTS]]
    yield _html_table("hosts", titles, rows, numbers=(1, 3, 4, 5, 6, 7))
    if len(figures.hosts) > MOST_HOSTS:
        yield from _left_out(f"Of {len(figures.hosts):,} hosts the first {MOST_HOSTS:,} are listed.")


def _host(one: HostUse) -> list[str]:
    figures, row = one.figures, one.row
    each = figures.seconds / figures.ended if figures.ended else None
    state = "left the run" if row.host.removed else "drained" if row.host.drained else row.state or "not contacted"
    why = f": {row.reason}" if row.reason and row.state != "up" else ""
    return [text(row.host.name), text(one.slots or "–"), _bar(one.share), f"{figures.done:,}", f"{figures.failed:,}",
            text("–" if each is None else f"{each:,.1f}"), text(wording.duration(figures.cpu)),
            text(wording.size(figures.output)), text(f"{state}{why}")]


def _failures(figures: Figures) -> Iterator[str]:
    yield "<h2>Failures</h2>\n"
    if not figures.kinds:
        yield '<p class="empty">No job has failed.</p>\n'
        return
    rows = []
    for kind, common in figures.kinds:
        hosts = ", ".join(f"{number:,} × {host}" if host else f"{number:,} on none"
                          for host, number in kind.hosts.most_common(5))
        more = f" and {len(kind.hosts) - 5:,} more hosts" if len(kind.hosts) > 5 else ""
        others = f" and {kind.number - NAMED:,} more" if kind.number > NAMED else ""
        said = f"<code>{text(kind.line)}</code>" if kind.line else '<span class="soft">wrote nothing</span>'
        rows.append([f"{kind.number:,}", text(kind.ending), text(kind.diagnosis.words), said, text(hosts + more),
                     text(_blamed(kind, common)), text(", ".join(kind.names[:NAMED]) + others)])
    yield _html_table("failures", ["jobs", "how they ended", "why", "last line", "hosts", "to blame", "which"], rows,
                      numbers=(0,), wide=(2, 3, 4, 5, 6))
    told = [f"{wording.count(figures.kinds_left_out, 'more kind')} of failures."] if figures.kinds_left_out else []
    if figures.unread:
        told.append(f"{wording.count(figures.unread, 'more failure')}: the first are looked at.")
    yield from _left_out(" ".join(told))


def _shortened(figures: Figures) -> Iterator[str]:
    """Say of which jobs not all of the output is kept."""
    if not figures.shortened:
        return
    yield "<h2>Outputs left out</h2>\n"
    rows = [[text(one.job), f"{one.left_out.out:,}", f"{one.left_out.err:,}", f"{one.left_out.at:,}"]
            for one in figures.shortened[:MOST_HOSTS]]
    yield _html_table("shortened", ["job", "bytes of stdout left out", "bytes of stderr left out", "behind the first"],
                      rows, numbers=(1, 2, 3))
    if len(figures.shortened) > MOST_HOSTS:
        yield from _left_out(f"Of {len(figures.shortened):,} jobs the first {MOST_HOSTS:,} are listed.")


def _blamed(kind: Kind, common: Sequence[Common]) -> str:
    """Return what explains failures of a kind: a host, or a value of a parameter."""
    return ", ".join(one.value if one.what == "host" else f"{one.what}={one.value}" for one in common
                     if kind.number > 1 and one.is_to_blame(kind.number))


def _durations(figures: Figures) -> Iterator[str]:
    yield "<h2>Durations</h2>\n"
    titles = ["", "jobs", "failed", "median", "mean", "longest", ""]
    entries = sorted(figures.entries.items(), key=lambda item: -item[1].total)[:100]
    tables = [("by entry", "entry", entries, len(figures.entries) - len(entries))]
    tables += [(f"{one.entry}: {one.name}", one.name, one.values, one.left_out) for one in figures.parameters]
    for at, (caption, title, values, left_out) in enumerate(tables):
        most = max((one.middle or 0.0 for _, one in values), default=0.0)
        yield f"<h3>{text(caption)}</h3>\n"
        rows = [_value(name, one, most) for name, one in values]
        yield _html_table(f"durations-{at}", [title, *titles[1:]], rows, numbers=(1, 2, 3, 4, 5), label=caption)
        yield from _left_out(f"{left_out:,} more, whose jobs took less time in all." if left_out else "")
    if figures.parameters_left_out:
        yield from _left_out(f"{wording.count(figures.parameters_left_out, 'more parameter')}: with one value, or "
                             f"nearly as many as jobs, or beyond the first {MOST_PARAMETERS}.")


def _value(name: str, one: ValueFigures, most: float) -> list[str]:
    times = [one.middle, *((one.total / one.ended, one.longest) if one.ended else (None, None))]
    told = (text("–" if seconds is None else wording.duration(seconds)) for seconds in times)
    bar = "" if not most or one.middle is None else _filled(one.middle / most)
    return [text(name), f"{one.jobs:,}", f"{one.failed:,}", *told, bar]


def _table(figures: Figures) -> Iterator[str]:
    packed = figures.table
    yield "<h2>Results</h2>\n"
    yield from _left_out(packed.left_out)
    yield ('<div class="tools"><label>Rows with<input type="search" id="filter" autocomplete="off"></label>'
           '<span class="soft" id="found" role="status"></span><button type="button" id="before">Before</button>'
           '<button type="button" id="after">After</button></div>\n'
           '<div class="scroll tall" tabindex="0" role="region" aria-label="results"><table id="results">'
           "<thead><tr></tr></thead><tbody></tbody></table></div>\n"
           "<noscript><p>The table is shown by a script.</p></noscript>\n")
    yield _block("table-head", packed.head) + _data("table-data", packed.data)


def _jobfile(figures: Figures) -> Iterator[str]:
    try:
        given = figures.paths.jobfile.read_bytes()
    except OSError:
        return
    whole = given.decode("utf-8", "backslashreplace")
    shown = "\n".join(map(printable, whole[:MOST_JOBFILE].replace("\t", "    ").split("\n")))
    yield f"<h2>Jobfile</h2>\n<details><summary>{wording.size(len(given))}</summary>\n"
    yield f'<pre tabindex="0" aria-label="jobfile">{html.escape(shown)}</pre></details>\n'
    if len(whole) > MOST_JOBFILE:
        yield from _left_out(f"The first {MOST_JOBFILE:,} of {len(whole):,} characters are shown.")


def _versions(figures: Figures) -> Iterator[str]:
    pythons = Counter(str((one.row.facts or {}).get("python", "unknown")) for one in figures.hosts)
    told = ", ".join(f"{python} ({wording.count(number, 'host')})" for python, number in pythons.most_common(8))
    facts = [("sshjobs", f"{__version__}, which made this report, with Python {platform.python_version()}"),
             ("Python on hosts", told), ("managers so far", f"{figures.summary.epoch:,}"), ("run", figures.summary.uid)]
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in facts)
    yield f"<h2>Versions</h2>\n<dl>{rows}</dl>\n"


# -- pieces ----------------------------------------------------------------------------------------------------------


def _html_table(name: str, titles: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[int] = (),
                wide: Sequence[int] = (), label: str | None = None) -> str:
    """Return a table whose cells are HTML already."""
    def cls(at: int) -> str:
        return ' class="n"' if at in numbers else ' class="wide"' if at in wide else ""

    head = "".join(f'<th scope="col"{cls(at)}>{text(title)}</th>' if title else "<td></td>"
                   for at, title in enumerate(titles))
    body = "".join("<tr>" + "".join(f"<td{cls(at)}>{cell}</td>" for at, cell in enumerate(row)) + "</tr>\n"
                   for row in rows)
    return (f'<div class="scroll snug tall" tabindex="0" role="region" aria-label="{text(label or name)}">'
            f'<table id="{name}">'
            f"<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>\n")


def _bar(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{_filled(share)} {100 * share:.0f} %"


def _filled(share: float) -> str:
    return f'<span class="bar"><i class="b-busy w{_step(share)}"></i></span>'


def _step(share: float) -> int:
    return min(_STEPS, max(0, round(_STEPS * share)))


def _shares(numbers: Sequence[int], total: int) -> list[int]:
    """Return in steps how much of a bar each number gets: what there is of is seen."""
    return [max(1, _step(number / total)) if number else 0 for number in numbers]


def _note(words: str) -> str:
    return f'<p class="note">{text(words)}</p>\n'


def _left_out(words: str) -> Iterator[str]:
    if words:
        yield f'<p class="soft left-out">{text(words)}</p>\n'


def _word_of(state: str) -> str:
    return {"done": "done", "failed": "error", "running": "busy", "cancelled": "unknown"}.get(state, "unknown")


def _moment(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(when))


def _block(name: str, value: Any) -> str:
    """Return a block of JSON in which nothing can end it, or begin another."""
    data = json.dumps(value, separators=(",", ":"))
    for letter in "<>&":
        data = data.replace(letter, f"\\u{ord(letter):04x}")
    return f'<script type="application/json" id="{name}">{data}</script>\n'


def _data(name: str, data: str) -> str:
    return f'<script type="application/octet-stream" id="{name}">{data}</script>\n'


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")


def _style() -> str:
    widths = "".join(f".w{n}{{width:{100 * n / _STEPS:g}%}}" for n in range(_STEPS + 1))
    return f"{files('sshjobs.web').joinpath('static/style.css').read_text('utf-8')}\n{_static('report.css')}{widths}"


def _static(name: str) -> str:
    return files("sshjobs.report").joinpath(f"static/{name}").read_text("utf-8")

