"""Timeline: when attempts began and ended on which host, for a picture of any window of it.

The whole of it is kept as bins whose width grows with the run, so that a million attempts are drawn as fast as a
thousand. Each attempt is kept too, for windows small enough to show them one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

#: Attempts in a piece; each piece knows from when to when it reaches.
PIECE = 2_048
#: Bins that the whole timeline has at most.
MOST_BINS = 1_024
#: Seconds that a bin is wide at first.
FIRST_WIDTH = 1 / 16
#: How many times the bins' own width a picture's must be to be drawn from them.
FINE_ENOUGH = 2


class Span(NamedTuple):
    """One attempt. ``host`` and ``outcome`` are the index's numbers."""

    job: int
    host: int
    outcome: int
    started: float
    ended: float


class Bar(NamedTuple):
    """An attempt and the lane that it is drawn in, 0 for a host's first."""

    span: Span
    lane: int


class Timeline:
    """The ended attempts of a run.

    :param harmless: outcomes that do not count as failed
    """

    def __init__(self, harmless: frozenset[int]):
        self._harmless = harmless
        self._jobs, self._hosts, self._outcomes = array("I"), array("H"), bytearray()
        self._started, self._ended = array("d"), array("d")
        #: First start and last end of each piece.
        self._bounds: list[tuple[float, float]] = []
        self._bins = _Bins()

    def add(self, job: int, host: int, started: float, ended: float, outcome: int) -> None:
        """Add an attempt that has ended."""
        ended = max(started, ended)
        if len(self._jobs) % PIECE == 0:
            self._bounds.append((started, ended))
        else:
            first, last = self._bounds[-1]
            self._bounds[-1] = min(first, started), max(last, ended)
        self._jobs.append(job)
        self._hosts.append(host)
        self._outcomes.append(outcome)
        self._started.append(started)
        self._ended.append(ended)
        self._bins.add(host, started, ended, outcome not in self._harmless)

    @property
    def span(self) -> tuple[float, float] | None:
        """The first start and the last end; ``None`` where nothing has ended."""
        if not self._bounds:
            return None
        return min(first for first, _ in self._bounds), max(last for _, last in self._bounds)

    def within(self, first: float, last: float) -> Iterator[Span]:
        """Yield the attempts that lie at least in part in a window."""
        for piece, (begin, end) in enumerate(self._bounds):
            if begin > last or end < first:
                continue
            cut = slice(piece * PIECE, (piece + 1) * PIECE)
            for row in zip(self._jobs[cut], self._hosts[cut], self._outcomes[cut], self._started[cut],
                           self._ended[cut], strict=True):
                if row[3] <= last and row[4] >= first:
                    yield Span._make(row)

    def bars(self, first: float, last: float, most: int) -> list[Bar] | None:
        """Return the attempts of a window, each in a lane of its host where it overlaps no other; ``None`` where there
        are more than ``most``."""
        if sum(PIECE for begin, end in self._bounds if begin <= last and end >= first) > most + 4 * PIECE:
            return None
        spans = sorted(self.within(first, last), key=lambda span: span.started)
        if len(spans) > most:
            return None
        lanes: dict[int, list[float]] = {}
        bars: list[Bar] = []
        for span in spans:
            ends = lanes.setdefault(span.host, [])
            lane = next((n for n, end in enumerate(ends) if end <= span.started), len(ends))
            ends[lane:lane + 1] = [span.ended]
            bars.append(Bar(span, lane))
        return bars

    def binned(self, first: float, last: float, bins: int,
               hosts: Collection[int]) -> dict[int, tuple[list[float], list[int]]]:
        """Return for some hosts how many attempts ran on average in each bin of a window, and how many of those that
        ended in it had failed."""
        width = (last - first) / bins
        if width >= FINE_ENOUGH * self._bins.width:
            return self._bins.picture(first, width, bins, hosts)
        fine = _Bins(first, width, bins)
        for span in self.within(first, last):
            if span.host in hosts:
                fine.add(span.host, max(first, span.started), min(last, span.ended),
                         span.outcome not in self._harmless)
        return fine.picture(first, width, bins, hosts)


class _Bins:
    """Seconds of work and failures by host and bin. Without a fixed number of bins their width doubles as needed."""

    def __init__(self, origin: float | None = None, width: float = FIRST_WIDTH, fixed: int | None = None):
        self._origin, self.width, self._fixed = origin, width, fixed
        self._work: dict[int, array[float]] = {}
        self._failed: dict[int, array[int]] = {}

    def add(self, host: int, started: float, ended: float, failed: bool) -> None:
        if self._origin is None:
            self._origin = started
        if self._fixed is None:
            self._make_room(started, ended)
        assert self._origin is not None
        first, last = int((started - self._origin) / self.width), int((ended - self._origin) / self.width)
        if self._fixed is not None:
            first, last = min(first, self._fixed - 1), min(last, self._fixed - 1)
        work, fails = self._of(host, last + 1)
        for at in range(first, last + 1):
            begin = self._origin + at * self.width
            work[at] += max(0.0, min(ended, begin + self.width) - max(started, begin))
        fails[last] += failed

    def _of(self, host: int, size: int) -> tuple[array[float], array[int]]:
        work, fails = self._work.setdefault(host, array("d")), self._failed.setdefault(host, array("I"))
        if len(work) < size:
            more = size - len(work)
            work.extend([0.0] * more)
            fails.extend([0] * more)
        return work, fails

    def _make_room(self, started: float, ended: float) -> None:
        assert self._origin is not None
        while started < self._origin or (ended - self._origin) / self.width >= MOST_BINS:
            if started < self._origin:
                self._begin_earlier(started)
            if (ended - self._origin) / self.width >= MOST_BINS:
                self._double()

    def _begin_earlier(self, started: float) -> None:
        """Let bins begin at an earlier time: host clocks differ, and ends come before longer attempts' ends."""
        assert self._origin is not None
        longest = max(map(len, self._work.values()), default=0)
        while (shift := int((self._origin - started) / self.width) + 1) + longest > MOST_BINS:
            self._double()
            longest = max(map(len, self._work.values()), default=0)
        self._origin -= shift * self.width
        for host, work in self._work.items():
            self._work[host] = array("d", [0.0] * shift) + work
            self._failed[host] = array("I", [0] * shift) + self._failed[host]

    def _double(self) -> None:
        self.width *= 2
        for host, work in self._work.items():
            fails = self._failed[host]
            self._work[host] = array("d", [sum(work[at:at + 2]) for at in range(0, len(work), 2)])
            self._failed[host] = array("I", [sum(fails[at:at + 2]) for at in range(0, len(fails), 2)])

    def picture(self, first: float, width: float, bins: int,
                hosts: Iterable[int]) -> dict[int, tuple[list[float], list[int]]]:
        """Return the bins of a window for some hosts."""
        found: dict[int, tuple[list[float], list[int]]] = {}
        for host in hosts:
            busy, failed = [0.0] * bins, [0] * bins
            for at, seconds in enumerate(self._work.get(host, ())):
                fails = self._failed[host][at]
                if seconds or fails:
                    assert self._origin is not None
                    to = int((self._origin + (at + 0.5) * self.width - first) // width)
                    if 0 <= to < bins:
                        busy[to] += seconds / width
                        failed[to] += fails
            found[host] = [round(value, 3) for value in busy], failed
        return found
