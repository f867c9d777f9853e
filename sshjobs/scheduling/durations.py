"""How long jobs take, learnt from those that ended: which are likely to be long, and which hosts are slow.

Pure bookkeeping, and hints only: whatever is wrong here costs time and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from sshjobs.model.spec import Job, JobSpec

#: How many jobs further down the line are looked at to spare a job the host on which it has just failed to start.
LOOK_AHEAD = 8
#: How much the newest job tells about the next: weight in the running mean of durations.
_NEWEST = 0.2
#: A host that takes so many times as long as others is slow.
SLOW = 1.5
#: So many kinds of jobs in a line are told apart; the jobs of further kinds stay in their order.
MAX_KINDS = 64
_REST = 0
#: So many jobs that have gone do not matter.
_FEW = 64


def kind_of(spec: JobSpec) -> int:
    """Return what repeats of one entry have in common: they share the text of what they run."""
    return id(spec.argv if spec.argv else spec.cmds)


class Durations:
    """Running means of how long jobs took: by host, and by kind as on a host of usual speed."""

    def __init__(self) -> None:
        self._of_host: dict[str, float] = {}
        self._of_kind: dict[int, float] = {}
        self._slowness: dict[str, float] = {}
        self._ended: dict[str, int] = {}

    def note(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Take in how long a job took on a host."""
        self._ended[host] = self._ended.get(host, 0) + 1
        before = self._of_host.get(host, seconds)
        self._of_host[host] = before + _NEWEST * (seconds - before)
        kind = kind_of(spec)
        usual = self._of_kind.get(kind)
        if usual:
            ratio = seconds / usual
            slowness = self._slowness.get(host, ratio)
            self._slowness[host] = slowness = slowness + _NEWEST * (ratio - slowness)
        else:
            slowness = self._slowness.get(host, 1.0)
        # A job on a slow host says little about how long it takes elsewhere.
        as_usual = seconds / max(slowness, 1.0)
        self._of_kind[kind] = as_usual if usual is None else usual + _NEWEST * (as_usual - usual)

    def forget_host(self, host: str) -> None:
        """Forget what one host has shown."""
        for known in (self._of_host, self._slowness, self._ended):
            known.pop(host, None)

    def on(self, host: str) -> float | None:
        """Return the mean of seconds on a host, ``None`` where none has ended."""
        return self._of_host.get(host)

    def ended(self, host: str) -> int:
        """Return how many jobs have ended on a host."""
        return self._ended.get(host, 0)

    def of_kind(self, kind: int) -> float | None:
        """Return the seconds that jobs of a kind are likely to take, ``None`` where none has ended."""
        return self._of_kind.get(kind)

    def slowness(self, host: str) -> float:
        """Return how many times as long as usual jobs take on a host; 1 where nothing is known."""
        return self._slowness.get(host, 1.0)


class Row:
    """Jobs with the places at which they came, in that order. Operations are O(1), and what has gone takes no memory,
    where a dictionary would keep the room of its first million for the last job."""

    def __init__(self) -> None:
        self._places: dict[Job, int] = {}
        #: Every job with its place, and some that have gone, or come again at another.
        self._jobs, self._order = deque[Job](), deque[int]()
        self._most = 0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Job]:
        return (job for job, place in zip(self._jobs, self._order, strict=True) if self._places.get(job) == place)

    def add(self, job: Job, place: int) -> None:
        """Add a job; places grow."""
        self._places[job] = place
        self._jobs.append(job)
        self._order.append(place)
        self._most = max(self._most, len(self._places))

    def discard(self, job: Job) -> bool:
        """Take a job out; tell whether it was in."""
        places, order = self._places, self._order
        if places.pop(job, None) is None:
            return False
        while order and places.get(self._jobs[0]) != order[0]:
            self._jobs.popleft()
            order.popleft()
        if len(places) < self._most // 4 or len(order) > 2 * len(places) + _FEW:
            jobs = list(self)
            self._jobs, self._order = deque(jobs), deque(places[job] for job in jobs)
            self._places, self._most = dict(places), len(places)
        return True

    def first(self) -> int:
        """Return the lowest place."""
        return self._order[0]

    def items(self) -> Iterable[tuple[Job, int]]:
        """Return each job with its place."""
        return self._places.items()


class Line:
    """Jobs that wait for a host of the same selection: kinds of which none has ended come first, in their order, then
    the longest, so that no long job is left for the end. Operations are O(1) in jobs."""

    def __init__(self, hosts: set[str], durations: Durations):
        self.hosts = hosts
        self._durations = durations
        #: By kind: its jobs, with the place of each in the order in which all came.
        self._rows: dict[int, Row] = {}

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, job: Job, number: int) -> None:
        """Let a job wait; numbers grow."""
        kind = kind_of(job.spec)
        if kind not in self._rows and len(self._rows) >= MAX_KINDS:
            kind = _REST
        row = self._rows.get(kind)
        if row is None:
            row = self._rows[kind] = Row()
        row.add(job, number)

    def remove(self, job: Job) -> bool:
        """Take a job out; tell whether it waited here."""
        for kind in (kind_of(job.spec), _REST):
            row = self._rows.get(kind)
            if row is not None and row.discard(job):
                if not row:
                    del self._rows[kind]
                return True
        return False

    def clear(self) -> list[Job]:
        """Take all jobs out and return them in the order in which they came."""
        jobs = {job: number for row in self._rows.values() for job, number in row.items()}
        self._rows.clear()
        return sorted(jobs, key=jobs.__getitem__)

    def head(self) -> int:
        """Return the number of the job that came first."""
        return min(map(Row.first, self._rows.values()))

    def next_kind(self) -> int:
        """Return the kind whose turn it is."""
        if len(self._rows) == 1:
            return next(iter(self._rows))
        known = {kind: self._durations.of_kind(kind) for kind in self._rows}
        new = [kind for kind, seconds in known.items() if seconds is None]
        if new:
            return min(new, key=lambda kind: self._rows[kind].first())
        return max(known, key=lambda kind: known[kind] or 0.0)

    def take(self, host: str, *, spare: bool) -> Job:
        """Take out the job whose turn it is.

        :param spare: rather not one that has just been on that host
        """
        row = self._rows[self.next_kind()]
        chosen = next(iter(row))
        if spare and _was_on(chosen, host):
            others = (next(iter(other)) for other in islice(self._rows.values(), LOOK_AHEAD))
            chosen = next((job for job in chain(islice(row, LOOK_AHEAD), others) if not _was_on(job, host)), chosen)
        self.remove(chosen)
        return chosen


def _was_on(job: Job, host: str) -> bool:
    return bool(job.attempts) and job.attempts[-1].host == host
