"""What the views of ``sshjobs top`` list: questions to a run's store and index, each answered a page at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from sshjobs.diagnosis.blame import Common, in_common
from sshjobs.diagnosis.groups import Kind, kinds_of
from sshjobs.model.selection import values_wanted
from sshjobs.model.states import STATE_BUSY, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, STATES
from sshjobs.store.failed import FailureReader
from sshjobs.store.index import HostFigures, JobIndex
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, HostRow, JobRow, left_out_of
from sshjobs.store.rundir import RunPaths
from sshjobs.tables.values import Values
from sshjobs.tui.commands import Filter
from sshjobs.views import wording
from sshjobs.web import files

#: Bytes of an output that are shown: its end; and characters of a line.
MOST_OUTPUT, LONGEST = 256 << 10, 2_000
#: Jobs whose parameters are looked at; failures that are; and jobs that passed that those are compared with.
MOST_LOOKED, MOST_FAILURES, MOST_PASSED = 8_000, 2_000, 4_000
#: Kinds of failures that are listed.
MOST_KINDS = 100
#: Columns of a terminal that a cell gets at least, where it has as much to say.
_LEAST = 8
#: And so many for its title, where there is anything in it.
_SHORT = 4
#: How many times as long as it took to find it an answer is good for, whatever has come since.
_GOOD_FOR = 10.0


class Asked(NamedTuple):
    """What a view asks for.

    :ivar of: the job whose output is wanted
    :ivar stream: which of its two outputs
    """

    offset: int = 0
    limit: int = 100
    kept: Filter = Filter()
    sort: str = ""
    descending: bool = False
    of: str = ""
    stream: str = "stdout"


class Row(NamedTuple):
    """A line of a view. ``key`` says what it is of, ``mood`` how it is coloured; no cell is anything but text."""

    key: str
    cells: tuple[str, ...]
    mood: str = ""


class Page(NamedTuple):
    """A piece of a list.

    :ivar total: how many rows there are
    :ivar told: what is to be said of the list, such as that not all of the run was read yet
    """

    rows: list[Row]
    total: int
    told: str = ""


class Listing(NamedTuple):
    """A view: its columns, what it can be sorted by, and how it is answered.

    :ivar whole: the answer is all rows, which are worth keeping: they take long to find
    """

    columns: tuple[str, ...]
    sorts: tuple[str, ...]
    page: Callable[[RunPaths, RunReader, JobIndex, Asked], Page]
    whole: bool = False


def _jobs(paths: RunPaths, reader: RunReader, index: JobIndex, asked: Asked) -> Page:
    kept = asked.kept
    if not index.complete and asked.sort in ("", "number") and not asked.descending and not any(
            (kept.text, kept.host, kept.params, kept.states and asked.offset)):
        # While a large run is still being read, its store answers by itself.
        counts, states = reader.summary().counts, kept.states or STATES
        found = list(reader.jobs(states, after=asked.offset, limit=asked.limit))
        return Page(_job_rows(found, reader), sum(counts[state] for state in states))
    wanted = values_wanted(kept.params) if kept.params else None
    if wanted is not None and not index.complete:
        return Page([], 0, "the run is still being read")
    total, more, numbers = index.select(
        states=kept.states, host=kept.host, params=wanted, search=kept.text, sort=asked.sort or "number",
        descending=asked.descending, offset=asked.offset, limit=asked.limit)
    rows = [row for number in numbers if (row := reader.job_numbered(number)) is not None]
    return Page(_job_rows(rows, reader), total,
                "" if index.complete and not more else "there are more: use other words" if more else
                "the run is still being read")


def _job_rows(rows: list[JobRow], reader: RunReader) -> list[Row]:
    attempts = reader.attempts_of(row.number for row in rows)
    return [_job_row(row, attempts[row.number]) for row in rows]


def _job_row(row: JobRow, attempts: list[AttemptRow]) -> Row:
    newest = attempts[-1] if attempts else None
    took = ""
    if newest is not None and newest.started is not None and row.state != STATE_FREE:
        ended = newest.ended if newest.ended is not None else time.time()
        took = wording.duration(max(0.0, ended - newest.started))
    why = wording.ending(row.outcome, row.exit_status, row.signal, row.reason) if row.state == STATE_ERROR else (
        wording.standing(row.paused, row.reason, row.not_before))
    return Row(row.name, (row.name, row.state, row.host or row.only_host or "", str(len(attempts) or ""), took, why),
               row.state)


def _hosts(paths: RunPaths, reader: RunReader, index: JobIndex, asked: Asked) -> Page:
    figures = dict(zip(index.hosts, index.figures, strict=True))
    usual = reader.summary().options.get("slots")
    found = [(row, figures.get(row.host.name, HostFigures())) for row in reader.hosts() if not row.host.removed
             and asked.kept.text.lower() in row.host.name.lower()
             and (asked.kept.host is None or row.host.name == asked.kept.host)]
    keys: dict[str, Callable[[tuple[HostRow, HostFigures]], Any]] = {
        "host": lambda one: one[0].host.name, "state": lambda one: one[0].state or "", "busy": lambda one: one[1].busy,
        "done": lambda one: one[1].done, "failed": lambda one: one[1].failed, "cpu": lambda one: one[1].cpu}
    if asked.sort in keys:
        found.sort(key=keys[asked.sort], reverse=asked.descending)
    return Page([_host_row(row, one, usual) for row, one in found[asked.offset:asked.offset + asked.limit]], len(found),
                "" if index.complete else "the run is still being read")


def _host_row(row: HostRow, figures: HostFigures, usual: int | None) -> Row:
    slots = row.host.slots or usual or (row.facts or {}).get("cores")
    state = "drained" if row.host.drained and row.state == "up" else row.state or "not contacted"
    moods = {"up": STATE_BUSY if figures.busy else "", "away": STATE_UNKNOWN, "blocked": STATE_ERROR}
    load = (row.pulse or {}).get("load")
    return Row(row.host.name, (
        row.host.name, state, f"{figures.busy}/{slots or '?'}", f"{figures.done:,}", f"{figures.failed:,}",
        wording.duration(figures.cpu), "" if load is None else f"{load:.1f}",
        "" if row.state == "up" else row.reason or ""), moods.get(state, STATE_FREE))


def _failures(paths: RunPaths, reader: RunReader, index: JobIndex, asked: Asked) -> Page:
    with FailureReader.open(paths) as of_failures:
        found = kinds_of(of_failures, most=MOST_FAILURES)
        kinds = found.all()[:MOST_KINDS]
        common = in_common(of_failures, kinds, MOST_PASSED)
    rows = [_kind_row(kind, shared) for kind, shared in zip(kinds, common, strict=True)]
    rows = [row for row in rows if asked.kept.text.lower() in " ".join(row.cells).lower()]
    told = "" if reader.summary().counts[STATE_ERROR] <= MOST_FAILURES else (
        f"of the first {MOST_FAILURES:,} failures; of all: sshjobs why {paths.name}")
    return Page(rows, len(rows), told)


def _kind_row(kind: Kind, common: Sequence[Common]) -> Row:
    blamed = ", ".join(one.value if one.what == "host" else f"{one.what}={one.value}" for one in common
                       if kind.number > 1 and one.is_to_blame(kind.number))
    hosts = ", ".join(f"{number:,} × {host}" for host, number in kind.hosts.most_common(3))
    return Row(kind.names[0], (f"{kind.number:,}", kind.ending, kind.diagnosis.words, kind.line or "", hosts, blamed,
                               ", ".join(kind.names[:3])), STATE_ERROR)


def _parameters(paths: RunPaths, reader: RunReader, index: JobIndex, asked: Asked) -> Page:
    values = Values()
    for job in islice(reader.job_results(), MOST_LOOKED):
        values.note(job)
    found, left_out = values.parameters()
    rows = [Row(f"{one.name}={value}", (
        one.entry, one.name, value, f"{figures.jobs:,}", f"{figures.failed:,}",
        "" if figures.middle is None else wording.duration(figures.middle),
        wording.duration(figures.longest) if figures.ended else ""), STATE_ERROR if figures.failed else "")
        for one in found for value, figures in one.values]
    rows = [row for row in rows if asked.kept.text.lower() in " ".join(row.cells[:3]).lower()]
    total = reader.summary().total
    told = [f"of the first {MOST_LOOKED:,} jobs"] if total > MOST_LOOKED else []
    if left_out:
        told.append(f"{left_out:,} with one value, or nearly as many as jobs, are left out")
    return Page(rows, len(rows), "; ".join(told))


def _logs(paths: RunPaths, reader: RunReader, index: JobIndex, asked: Asked) -> Page:
    row = reader.job(asked.of) if asked.of else None
    if row is None:
        return Page([], 0, f"no job is called {asked.of}" if asked.of else "choose a job first: :jobs, then Enter")
    path = files.output_path(paths, asked.of, asked.stream, None)
    data, begin, _ = files.piece(paths, path, None, MOST_OUTPUT)
    newest = reader.attempts_of([row.number])[row.number][-1:]
    cut = left_out_of(newest[0]) if newest else None
    if cut is not None and cut.of(asked.stream) and cut.at >= begin:
        told = wording.bytes_left_out(cut.of(asked.stream), asked.stream, cut.at)
        lines = [*output_lines(data[:cut.at - begin]), f"-- {told} --", *output_lines(data[cut.at - begin:])]
    else:
        lines = output_lines(data)
    if asked.kept.text:
        lines = [line for line in lines if asked.kept.text.lower() in line.lower()]
    return Page([Row(str(n), (line,)) for n, line in enumerate(lines[asked.offset:asked.offset + asked.limit])],
                len(lines), f"{wording.size(begin)} before this are in {path}" if begin else "")


def output_lines(data: bytes) -> list[str]:
    """Return what a job wrote as lines, as a terminal shows them: what was written over on a line is gone."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    lines = [(line.rstrip("\r").rpartition("\r")[2]).replace("\t", "    ")[:LONGEST] for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


LISTINGS: dict[str, Listing] = {
    "jobs": Listing(("job", "state", "host", "tries", "time", "why"),
                    ("number", "name", "state", "host", "seconds"), _jobs),
    "hosts": Listing(("host", "state", "busy", "done", "failed", "cpu", "load", "reason"),
                     ("host", "state", "busy", "done", "failed", "cpu"), _hosts),
    "failures": Listing(("jobs", "how they ended", "why", "last line", "hosts", "to blame", "which"), (), _failures,
                        whole=True),
    "parameters": Listing(("entry", "parameter", "value", "jobs", "failed", "median", "longest"), (), _parameters,
                          whole=True),
    "logs": Listing(("",), (), _logs),
}


class Lists:
    """Answers the questions of all views of one run, and keeps what took long to find while it is still so."""

    def __init__(self, paths: RunPaths):
        self._paths = paths
        #: By view: the commit, the filter and the end of the time that it is good for, and the answer.
        self._kept: dict[str, tuple[int, Filter, float, Page]] = {}

    def page(self, view: str, asked: Asked, reader: RunReader, index: JobIndex) -> Page:
        """Return a page of a view.

        :raises UsageError: what it is to keep cannot be understood
        """
        listing = LISTINGS[view]
        if not listing.whole:
            return listing.page(self._paths, reader, index, asked)
        commit, began = reader.newest_commit(), time.monotonic()
        kept = self._kept.get(view)
        if kept is None or kept[1] != asked.kept or (kept[0] != commit and began > kept[2]):
            page = listing.page(self._paths, reader, index, asked)
            took = time.monotonic() - began
            kept = self._kept[view] = commit, asked.kept, began + took * (1 + _GOOD_FOR), page
        return kept[3]._replace(rows=kept[3].rows[asked.offset:asked.offset + asked.limit])


def widths_of(listing: Listing, rows: Sequence[Row], width: int, measure: Callable[[str], int]) -> list[int]:
    """Return how wide the columns of a page are: as their widest cells and their titles. Where that is too much, titles
    give way, and columns with nothing in them; then what is too much is taken from the widest. Of the last columns
    those are missing for which there is no room at all.

    :param measure: returns how many columns of a terminal a text takes
    """
    widths = [max([measure(title), *(measure(row.cells[at]) for row in rows)])
              for at, title in enumerate(listing.columns)]
    if rows and sum(widths) + 2 * (len(widths) - 1) > width:
        needed = [max(measure(row.cells[at]) for row in rows) for at in range(len(widths))]
        widths = [min(one, max(_SHORT, need)) if need else 0 for one, need in zip(widths, needed, strict=True)]
    while len(widths) > 1 and sum(min(_LEAST, one) for one in widths) + 2 * (len(widths) - 1) > width:
        widths.pop()
    room = width - 2 * (len(widths) - 1)
    while sum(widths) > max(room, len(widths)):
        widest = max(range(len(widths)), key=widths.__getitem__)
        others = sorted(widths)[-2] if len(widths) > 1 else 1
        cut = min(sum(widths) - max(room, len(widths)), max(1, widths[widest] - others))
        if widths[widest] <= 1:
            break
        widths[widest] = max(1, widths[widest] - cut)
    return widths
