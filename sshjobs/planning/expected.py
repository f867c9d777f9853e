"""When a run that is under way will end, from what its store says."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping

from sshjobs.forecast.ends import Forecast, Running, Slots, Waiting, forecast
from sshjobs.forecast.kinds import Kinds
from sshjobs.forecast.lengths import Lengths, Observation
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.store.failed import Entry
from sshjobs.store.lengths import LengthReader, LengthRow
from sshjobs.store.rows import HostRow
from sshjobs.store.rundir import RunPaths

#: How many jobs must have ended before an estimate is made: the first to end are the shortest.
FEWEST_ENDED = 3


def expected_end(reader: LengthReader, now: float | None = None) -> Forecast | None:
    """Return in how many seconds a run is expected to end. Return ``None`` where that cannot be known: the run is not
    under way or is paused, too few jobs have ended, or jobs wait and no host can be used.

    It takes less than half a second for a run of any size. The same state of a run gives the same answer.
    """
    moment = time.time() if now is None else now
    with reader.snapshot():
        summary = reader.summary()
        if summary.state not in ("running", "unattended") or not summary.unfinished or summary.options.get("paused"):
            return None
        rng = random.Random(f"{summary.uid} {summary.commit}")
        specs, hosts = reader.specs(), reader.hosts()
        (sample, stands_for), there = reader.sample(rng), reader.on_hosts()
    kinds, seen = _Kinds(specs), [row for row in sample if row.state in FINAL_STATES]
    kinds.learn(seen)
    over = [Observation(kinds.of(row), row.host, row.ended - row.started) for row in seen
            if row.started is not None and row.ended is not None and row.host is not None]
    if len(over) < FEWEST_ENDED:
        return None
    running, waiting, cpus = list[Running](), Counter[Hashable](), Counter[Hashable]()
    for row in there:
        if row.started is not None and row.host is not None and not row.paused:
            running.append(Running(kinds.of(row), row.host, max(0.0, moment - row.started)))
        elif not row.paused:
            waiting[kinds.of(row)] += 1
    for row in sample:
        cpus[kinds.of(row)] = specs[row.spec][1] if row.spec in specs else 1
        if row.state == STATE_FREE and not row.paused:
            # Each job of the sample stands for equally many; the remainder is drawn.
            waiting[kinds.of(row)] += int(stands_for) + (rng.random() < stands_for % 1)
    total = max(1, waiting.total())
    each = sum(number * cpus[kind] for kind, number in waiting.items()) / total if waiting else 1.0
    slots = [Slots(row.host.name, max(1, round(number / max(1.0, each)))) for row in hosts
             if _is_usable(row) and (number := _slots(row, summary.options.get("slots")))]
    lengths = Lengths([*over, *(Observation(one.kind, one.host, one.seconds, False) for one in running)])
    return forecast(lengths, slots, running, [Waiting(*one) for one in sorted(waiting.items(), key=str)], rng)


def expected_of(paths: RunPaths) -> Forecast | None:
    """Return what :func:`expected_end` tells of the run at some place.

    :raises StoreError: its store cannot be read
    """
    with LengthReader.open(paths) as reader:
        return expected_end(reader)


class _Kinds:
    """The kinds of rows."""

    def __init__(self, specs: Mapping[int, tuple[Entry, int]]):
        self._specs = specs
        self._kinds = Kinds()

    def learn(self, rows: Iterable[LengthRow]) -> None:
        """Learn which parameters explain lengths."""
        for row in rows:
            if row.started is not None and row.ended is not None:
                name, params = self._about(row)
                self._kinds.note(name, params, max(0.0, row.ended - row.started))
        self._kinds.settle()

    def of(self, row: LengthRow) -> Hashable:
        """Return the kind of the job of a row."""
        return self._kinds.of(*self._about(row))

    def _about(self, row: LengthRow) -> tuple[str, dict[str, str]]:
        known = self._specs.get(row.spec)
        if known is None:
            return str(row.spec), {}
        entry = known[0]
        return entry.name or str(row.spec), {name: value for name, value in zip(
            entry.params, entry.values(row.params), strict=True) if value is not None}


def _is_usable(row: HostRow) -> bool:
    return row.state == "up" and not row.host.drained and not row.host.removed


def _slots(row: HostRow, usual: object) -> int:
    said = row.host.slots or usual or (row.facts or {}).get("cores") or 0
    return int(said) if isinstance(said, int | float) else 0
