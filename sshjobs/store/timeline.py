"""Timeline: when attempts began and ended on which host, to draw any window of time.

All attempts are counted in bins whose width grows with the run, so that a million attempts are drawn as fast as a
thousand. Each attempt is kept, too, for windows that are small enough to show them one by one.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate
from math import ceil
from operator import itemgetter, sub
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T", int, float)

#: Attempts in a piece; for each piece the first start and the last end are known.
PIECE = 2_048
#: The most and the fewest bins of the timeline; the most bins of all hosts together, of 8 bytes each.
MOST_BINS, FEWEST_BINS, MOST_CELLS = 4_096, 512, 600_000
#: At most so many attempts are looked at for one picture.
MOST_FINE = 40_000
#: The first width of a bin, in seconds.
FIRST_WIDTH = 1 / 16
#: A picture is drawn from the bins if its own bins are at least so many times as wide.
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
        # Durations in four bytes: one of a day is exact to some milliseconds, which no picture shows.
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
        """The first start and the last end of all ended attempts; ``None`` if there are none."""
        if not self._bounds:
            return None
        return min(first for first, _ in self._bounds), max(last for _, last in self._bounds)

    def within(self, first: float, last: float) -> Iterator[Span]:
        """Yield the attempts that overlap a window."""
        for piece, (begin, end) in enumerate(self._bounds):
            if begin > last or end < first:
                continue
            cut = slice(piece * PIECE, (piece + 1) * PIECE)
            for job, host, outcome, started, length in zip(self._jobs[cut], self._hosts[cut], self._outcomes[cut],
                                                           self._started[cut], self._lengths[cut], strict=True):
                if started <= last and started + length >= first:
                    yield Span(job, host, outcome, started, started + length)

    def bars(self, first: float, last: float, most: int, running: Iterable[Span] = ()) -> list[Bar] | None:
        """Return the attempts of a window, each in a lane of its host so that none overlap; ``None`` if there are more
        than ``most``.

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
        """Return for some hosts how many attempts ran on average in each bin of a window, and how many attempts that
        ended in it failed.

        :param bins: how many; fewer are returned if so many would be too slow
        :param running: attempts that have not ended, up to now
        """
        width, going = (last - first) / bins, _within(running, first, last)
        if width < FINE_ENOUGH * self._bins.width:
            if self._about(first, last) <= MOST_FINE:
                return self._fine(first, width, bins, hosts, (*self.within(first, last), *going))
            bins = max(1, min(bins, int((last - first) / (FINE_ENOUGH * self._bins.width))))
            width = (last - first) / bins
        found = self._bins.picture(first, width, bins, hosts)
        busy_hosts = {span.host for span in going}.intersection(hosts)
        for host, (busy, _) in self._fine(first, width, bins, busy_hosts, going).items():
            ended, failed = found[host]
            found[host] = [round(one + other, 3) for one, other in zip(ended, busy, strict=True)], failed
        return found

    def _about(self, first: float, last: float) -> int:
        """Return about how many attempts overlap a window."""
        return sum(PIECE for begin, end in self._bounds if begin <= last and end >= first)

    def _fine(self, first: float, width: float, bins: int, hosts: Collection[int],
              spans: Iterable[Span]) -> dict[int, tuple[list[float], list[int]]]:
        work = {host: [0.0] * (bins + 1) for host in hosts}
        # Starts (+1) and ends (-1) of whole bins, summed up at the end.
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
        #: The last picture, until something is added, and what it is of: pages that are opened again ask for the same.
        self._picture: tuple[Any, dict[int, tuple[list[float], list[int]]]] | None = None

    @property
    def _most(self) -> int:
        """How many bins there may be."""
        return max(FEWEST_BINS, min(MOST_BINS, MOST_CELLS // max(1, len(self._work))))

    def add(self, host: int, started: float, ended: float, failed: bool) -> None:
        self._picture = None
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
        """Let the bins begin earlier: clocks of hosts differ, and a long attempt ends after shorter ones that began
        later."""
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
        """Return the bins of a window for some hosts: each of our bins counts for the one that contains its middle."""
        what = first, width, bins, tuple(hosts)
        if self._picture is None or self._picture[0] != what:
            self._picture = what, self._draw(*what)
        return dict(self._picture[1])

    def _draw(self, first: float, width: float, bins: int,
              hosts: Iterable[int]) -> dict[int, tuple[list[float], list[int]]]:
        origin = self._origin or 0.0
        edges = [max(0, ceil((first + n * width - origin) / self.width - 0.5)) for n in range(bins + 1)]
        found: dict[int, tuple[list[float], list[int]]] = {}
        # Rounded by hand: round() takes three times as long.
        hundredths = 100 / width
        for host in hosts:
            work, fails = _sums(self._work.get(host, ()), edges, 0.0), _sums(self._failed.get(host, ()), edges, 0)
            found[host] = [int(seconds * hundredths + 0.5) / 100 for seconds in work], list(fails)
        return found


def _sums(cells: Sequence[T], edges: Sequence[int], zero: T) -> Iterator[T]:
    """Yield the sums between two and more edges."""
    so_far = list(accumulate(cells, initial=zero))
    last = len(so_far) - 1
    # Without a line of Python for each edge: there are hundreds of them for each of a hundred hosts.
    within = bisect_right(edges, last)
    at_edges = itemgetter(*edges[:within], *[last] * (len(edges) - within))(so_far)
    return map(sub, at_edges[1:], at_edges)
