"""Timeline: when attempts began and ended on which host, for a picture of any window of it.

The whole of it is kept as bins whose width grows with the run, so that a million attempts are drawn as fast as a
thousand. Each attempt is kept too, for windows small enough to show them one by one.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from math import ceil
from typing import NamedTuple

#: Attempts in a piece; each piece knows from when to when it reaches.
PIECE = 2_048
#: Bins that the whole timeline has at most and at least, and those of all hosts together, of 8 bytes each.
MOST_BINS, FEWEST_BINS, MOST_CELLS = 4_096, 512, 600_000
#: Attempts that are looked at for one picture.
MOST_FINE = 40_000
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
        # How long each took in four bytes: those of a day are good to some milliseconds, which no picture shows.
        self._started, self._lengths = array("d"), array("f")
        #: First start and last end of each piece.
        self._bounds: list[tuple[float, float]] = []
        self._bins = _Bins()

    def __len__(self) -> int:
        return len(self._jobs)

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
        self._lengths.append(ended - started)
        self._bins.add(host, started, ended, outcome not in self._harmless)

    @property
    def span(self) -> tuple[float, float] | None:
        """Of those that have ended, the first start and the last end; ``None`` where nothing has ended."""
        if not self._bounds:
            return None
        return min(first for first, _ in self._bounds), max(last for _, last in self._bounds)

    def within(self, first: float, last: float) -> Iterator[Span]:
        """Yield the attempts that lie at least in part in a window."""
        for piece, (begin, end) in enumerate(self._bounds):
            if begin > last or end < first:
                continue
            cut = slice(piece * PIECE, (piece + 1) * PIECE)
            for job, host, outcome, started, length in zip(self._jobs[cut], self._hosts[cut], self._outcomes[cut],
                                                           self._started[cut], self._lengths[cut], strict=True):
                if started <= last and started + length >= first:
                    yield Span(job, host, outcome, started, started + length)

    def bars(self, first: float, last: float, most: int, running: Iterable[Span] = ()) -> list[Bar] | None:
        """Return the attempts of a window, each in a lane of its host where it overlaps no other; ``None`` where there
        are more than ``most``.

        :param running: attempts that have not ended, up to now
        """
        if self._about(first, last) > most + 4 * PIECE:
            return None
        spans = sorted((*self.within(first, last), *_within(running, first, last)), key=lambda span: span.started)
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

    def binned(self, first: float, last: float, bins: int, hosts: Collection[int],
               running: Iterable[Span] = ()) -> dict[int, tuple[list[float], list[int]]]:
        """Return for some hosts how many attempts ran on average in each bin of a window, and how many of those that
        ended in it had failed.

        :param bins: how many there are; fewer where that needs a look at more attempts than is quick
        :param running: attempts that have not ended, up to now
        """
        width, going = (last - first) / bins, _within(running, first, last)
        if width < FINE_ENOUGH * self._bins.width:
            if self._about(first, last) <= MOST_FINE:
                return self._fine(first, width, bins, hosts, (*self.within(first, last), *going))
            bins = max(1, min(bins, int((last - first) / (FINE_ENOUGH * self._bins.width))))
            width = (last - first) / bins
        found = self._bins.picture(first, width, bins, hosts)
        for host, (busy, _) in self._fine(first, width, bins, hosts, going).items():
            ended, failed = found[host]
            found[host] = [round(one + other, 3) for one, other in zip(ended, busy, strict=True)], failed
        return found

    def _about(self, first: float, last: float) -> int:
        """Return how many attempts have to be looked at for a window."""
        return sum(PIECE for begin, end in self._bounds if begin <= last and end >= first)

    def _fine(self, first: float, width: float, bins: int, hosts: Collection[int],
              spans: Iterable[Span]) -> dict[int, tuple[list[float], list[int]]]:
        work = {host: [0.0] * (bins + 1) for host in hosts}
        # What begins and ends to fill whole bins: added up at the end.
        fills = {host: [0] * (bins + 2) for host in hosts}
        failed = {host: [0] * bins for host in hosts}
        for _, host, outcome, started, ended in spans:
            if host not in work:
                continue
            begin, end = max(0.0, (started - first) / width), min(float(bins), (ended - first) / width)
            here, there = int(begin), int(end)
            if here == there:
                work[host][here] += end - begin
            else:
                work[host][here] += here + 1 - begin
                work[host][there] += end - there
                fills[host][here + 1] += 1
                fills[host][there] -= 1
            if outcome not in self._harmless and ended <= first + width * bins:
                failed[host][min(there, bins - 1)] += 1
        return {host: ([round(part + whole, 3) for part, whole in
                        zip(work[host], accumulate(fills[host][:bins]), strict=False)], failed[host]) for host in hosts}


def _within(spans: Iterable[Span], first: float, last: float) -> list[Span]:
    return [span for span in spans if span.started <= last and span.ended >= first]


class _Bins:
    """Seconds of work and failures by host and bin. The width of bins doubles as needed."""

    def __init__(self) -> None:
        self._origin: float | None = None
        self.width = FIRST_WIDTH
        self._work: dict[int, array[float]] = {}
        self._failed: dict[int, array[int]] = {}

    @property
    def _most(self) -> int:
        """How many bins there may be."""
        return max(FEWEST_BINS, min(MOST_BINS, MOST_CELLS // max(1, len(self._work))))

    def add(self, host: int, started: float, ended: float, failed: bool) -> None:
        if self._origin is None:
            self._origin = started
        if started < self._origin or (ended - self._origin) / self.width >= self._most:
            self._make_room(started, ended)
        begin, end = (started - self._origin) / self.width, (ended - self._origin) / self.width
        first, last = int(begin), int(end)
        work, fails = self._of(host, last + 1)
        if first == last:
            work[first] += ended - started
        else:
            work[first] += (first + 1 - begin) * self.width
            work[last] += (end - last) * self.width
            for at in range(first + 1, last):
                work[at] += self.width
        fails[last] += failed

    def _of(self, host: int, size: int) -> tuple[array[float], array[int]]:
        work, fails = self._work.setdefault(host, array("f")), self._failed.setdefault(host, array("I"))
        if len(work) < size:
            more = size - len(work)
            work.extend([0.0] * more)
            fails.extend([0] * more)
        return work, fails

    def _make_room(self, started: float, ended: float) -> None:
        assert self._origin is not None
        while started < self._origin or (ended - self._origin) / self.width >= self._most:
            if started < self._origin:
                self._begin_earlier(started)
            if (ended - self._origin) / self.width >= self._most:
                self._double()

    def _begin_earlier(self, started: float) -> None:
        """Let bins begin at an earlier time: host clocks differ, and ends come before longer attempts' ends."""
        assert self._origin is not None
        longest = max(map(len, self._work.values()), default=0)
        while (shift := int((self._origin - started) / self.width) + 1) + longest > self._most:
            self._double()
            longest = max(map(len, self._work.values()), default=0)
        self._origin -= shift * self.width
        for host, work in self._work.items():
            self._work[host] = array("f", [0.0] * shift) + work
            self._failed[host] = array("I", [0] * shift) + self._failed[host]

    def _double(self) -> None:
        self.width *= 2
        for host, work in self._work.items():
            fails = self._failed[host]
            self._work[host] = array("f", [sum(work[at:at + 2]) for at in range(0, len(work), 2)])
            self._failed[host] = array("I", [sum(fails[at:at + 2]) for at in range(0, len(fails), 2)])

    def picture(self, first: float, width: float, bins: int,
                hosts: Iterable[int]) -> dict[int, tuple[list[float], list[int]]]:
        """Return the bins of a window for some hosts: each of ours counts for the one that its middle is in."""
        origin = self._origin or 0.0
        edges = [max(0, ceil((first + n * width - origin) / self.width - 0.5)) for n in range(bins + 1)]
        found: dict[int, tuple[list[float], list[int]]] = {}
        for host in hosts:
            work, fails = (_sums(cells.get(host, ()), edges) for cells in (self._work, self._failed))
            found[host] = [round(seconds / width, 2) for seconds in work], [int(number) for number in fails]
        return found


def _sums(cells: Sequence[float], edges: Sequence[int]) -> Iterator[float]:
    """Yield the sums between edges."""
    so_far = list(accumulate(cells, initial=0.0))
    last = len(so_far) - 1
    return (so_far[min(end, last)] - so_far[min(begin, last)] for begin, end in pairwise(edges))
