"""Figures: all that a report says of a run, read from its store at one moment."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sshjobs.diagnosis.blame import Common, in_common
from sshjobs.diagnosis.groups import Kind, kinds_of
from sshjobs.model.states import STATE_BUSY, STATE_UNKNOWN
from sshjobs.report.packing import Packed, pack_table, pack_timeline
from sshjobs.store.damage import damage_told
from sshjobs.store.failed import FailureReader
from sshjobs.store.index import HostFigures, JobIndex
from sshjobs.store.leftout import LeftOutReader, Shortened
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import HostRow, ResultRow
from sshjobs.store.rundir import RunPaths
from sshjobs.store.summary import Summary
from sshjobs.store.timeline import Span
from sshjobs.tables.sheet import sheet_of
from sshjobs.tables.values import Parameter, ValueFigures, Values

#: Jobs whose rows may stand in the table, and kinds of failures that are shown.
MOST_ROWS, MOST_KINDS = 200_000, 100
#: Jobs at work that are asked about one by one.
MOST_RUNNING = 2_000


class HostUse(NamedTuple):
    """One host. ``share``: what part of the time of its slots jobs ran, ``None`` where its slots are not known."""

    row: HostRow
    figures: HostFigures
    slots: int | None
    share: float | None


@dataclass
class Figures:
    """See the module.

    :ivar made: when; seconds since the epoch
    :ivar kinds: of failures, each with what they have in common; ``unread``: how many were not looked at
    :ivar entries: all jobs of each entry
    :ivar shortened: the newest attempts that wrote more than is kept of their outputs
    :ivar parameters: those that were worth it; ``parameters_left_out`` how many were not
    """

    paths: RunPaths
    made: float
    summary: Summary
    hosts: list[HostUse]
    kinds: Sequence[tuple[Kind, Sequence[Common]]]
    kinds_left_out: int
    unread: int
    shortened: Sequence[Shortened]
    entries: dict[str, ValueFigures]
    parameters: list[Parameter]
    parameters_left_out: int
    timeline: Packed
    table: Packed
    span: tuple[float, float] | None


def figures_of(paths: RunPaths) -> Figures:
    """Return what there is to say of a run.

    :raises StoreError: its store is missing, damaged, or of a newer sshjobs
    """
    with FailureReader.open(paths) as reader, reader.snapshot():
        return _read(paths, reader)


def _read(paths: RunPaths, reader: FailureReader) -> Figures:
    made, summary, index = time.time(), reader.summary(), JobIndex()
    with damage_told(paths.store):
        index.follow(reader)
    running = _running(reader, index, made)
    kept, values = _sorted_in(reader)
    spans = [*([index.timeline.span] if index.timeline.span else ()), *((one.started, one.ended) for one in running)]
    span = (min(one for one, _ in spans), max(one for _, one in spans)) if spans else None
    failures = kinds_of(reader)
    kinds = failures.all()
    shown = list(zip(kinds[:MOST_KINDS], in_common(reader, kinds[:MOST_KINDS]), strict=True))
    parameters, left_out = values.parameters()
    with damage_told(paths.store):
        sheet = sheet_of([(paths.name, kept)], several=False)
    return Figures(
        paths, made, summary, _hosts(reader, index, summary, span, running), shown,
        max(0, len(kinds) - MOST_KINDS), failures.unread.total(), _shortened(paths), values.entries, parameters,
        left_out, pack_timeline(index, running),
        pack_table(sheet, [row.state for row in kept], [row.number for row in kept], summary.total), span)


def _shortened(paths: RunPaths) -> list[Shortened]:
    with LeftOutReader.open(paths) as reader:
        return [one for one in reader.left_out() if one.newest]


def _running(reader: RunReader, index: JobIndex, now: float) -> list[Span]:
    numbers = index.select(states=[STATE_BUSY, STATE_UNKNOWN], limit=MOST_RUNNING)[2]
    return [Span(job, index.host(attempts[-1].host), 0, attempts[-1].started, max(now, attempts[-1].started))
            for job, attempts in reader.attempts_of(numbers).items()
            if attempts and attempts[-1].started is not None]


def _sorted_in(reader: RunReader) -> tuple[list[ResultRow], Values]:
    """Return the first jobs, and the figures of all of them."""
    kept: list[ResultRow] = []
    values = Values()
    for row in reader.job_results():
        if len(kept) < MOST_ROWS:
            kept.append(row)
        values.note(row)
    return kept, values


def _hosts(reader: RunReader, index: JobIndex, summary: Summary, span: tuple[float, float] | None,
           running: Iterable[Span]) -> list[HostUse]:
    figures = dict(zip(index.hosts, index.figures, strict=True))
    now_there: dict[str, float] = defaultdict(float)
    for span_ in running:
        now_there[index.hosts[span_.host]] += span_.ended - span_.started
    found = []
    for row in reader.hosts():
        name = row.host.name
        one = figures.get(name, HostFigures())
        slots = row.host.slots or summary.options.get("slots") or (row.facts or {}).get("cores")
        share = None
        if slots and span is not None and span[1] > span[0]:
            share = (one.seconds + now_there[name]) / (slots * (span[1] - span[0]))
        found.append(HostUse(row, one, slots, share))
    return found
