"""The lines in which jobs wait for hosts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from sshjobs.model.needs import Needs
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.durations import Durations

#: So many further jobs of a line are looked at, to find one that was not on that host just before.
LOOK_AHEAD = 8
#: At most so many kinds of jobs in a line are told apart; jobs of further kinds keep their order.
MAX_KINDS = 64
_REST = 0
#: A row may always have so many stale entries before it is rebuilt.
_FEW = 64


#: Returns whether jobs of a kind are acceptable.
Fits = Callable[[int], bool]


class Row:
    """Jobs in the order of their places. Operations are O(1). Unlike a dictionary, which would keep the room of a first
    million for the last job, it takes no memory for jobs that were removed."""

    def __init__(self) -> None:
        self._places: dict[Job, int] = {}
        #: Every job with its place, and stale entries of jobs that were removed or have another place now.
        self._jobs, self._order = deque[Job](), deque[int]()
        self._most = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, job: Job) -> bool:
        return job in self._places

    def __iter__(self) -> Iterator[Job]:
        return (job for job, place in zip(self._jobs, self._order, strict=True) if self._places.get(job) == place)

    def add(self, job: Job, place: int) -> None:
        """Add a job; places grow."""
        self._places[job] = place
        self._jobs.append(job)
        self._order.append(place)
        self._most = max(self._most, len(self._places))

    def discard(self, job: Job) -> bool:
        """Take a job out; return whether it was in."""
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

    def head(self) -> Job:
        """Return the job with the lowest place."""
        return self._jobs[0]

    def items(self) -> Iterable[tuple[Job, int]]:
        """Return each job with its place."""
        return self._places.items()


class Line:
    """Jobs of one priority that wait for a host of the same selection. Kinds without an ended job come first, in their
    order, then those that take longest, so that no long job is left for the end. Operations are O(1) in jobs.

    :param priority: jobs of the line with the highest priority come first
    :param needs: what each of its jobs needs, ``None`` for a slot
    """

    def __init__(self, hosts: set[str], durations: Durations, priority: int = 0, needs: Needs | None = None):
        self.hosts, self.priority, self.needs = hosts, priority, needs
        self._durations = durations
        #: By kind: its jobs, each with its place in the order of all jobs.
        self._rows: dict[int, Row] = {}
        self._version = durations.version

    def __bool__(self) -> bool:
        return bool(self._rows)

    def add(self, job: Job, number: int) -> None:
        """Let a job wait; numbers grow."""
        self._renew()
        self._put(job, number)

    def _renew(self) -> None:
        """Sort the jobs into kinds anew, after the kinds have changed. Takes long, and is done seldom."""
        if self._version != self._durations.version:
            self._version = self._durations.version
            jobs = {job: number for row in self._rows.values() for job, number in row.items()}
            self._rows = {}
            for job in sorted(jobs, key=jobs.__getitem__):
                self._put(job, jobs[job])

    def _put(self, job: Job, number: int) -> None:
        kind = self._durations.kind_of(job.spec)
        if kind not in self._rows and len(self._rows) >= MAX_KINDS:
            kind = _REST
        row = self._rows.get(kind)
        if row is None:
            row = self._rows[kind] = Row()
        row.add(job, number)

    def remove(self, job: Job) -> bool:
        """Take a job out; return whether it waited here."""
        self._renew()
        for kind in (self._durations.kind_of(job.spec), _REST):
            row = self._rows.get(kind)
            if row is not None and row.discard(job):
                if not row:
                    del self._rows[kind]
                return True
        return False

    def jobs(self) -> list[Job]:
        """Return all jobs in the order in which they came."""
        jobs = {job: number for row in self._rows.values() for job, number in row.items()}
        return sorted(jobs, key=jobs.__getitem__)

    def clear(self) -> list[Job]:
        """Take all jobs out and return them in the order in which they came."""
        jobs = self.jobs()
        self._rows.clear()
        return jobs

    def rank(self) -> tuple[int, int]:
        """Return the sort key of lines: the line with the lowest comes first."""
        return -self.priority, min(map(Row.first, self._rows.values()))

    def size_rank(self) -> tuple[bool, int, int, int, int, int]:
        """Return the sort key of lines of jobs with needs: within a priority those that need most come first."""
        cpus, memory, scratch, _, gpus = self.needs or Needs()
        return self.needs is None, -gpus.number, -cpus, -memory, -scratch, self.rank()[1]

    def has_of(self, fits: Fits) -> bool:
        """Return whether a job of an acceptable kind waits here."""
        self._renew()
        return any(map(fits, self._rows))

    def next_kind(self, fits: Fits | None = None) -> int:
        """Return the kind whose turn it is.

        :param fits: only among the kinds for which this is true; there must be one
        """
        self._renew()
        if len(self._rows) == 1:
            return next(iter(self._rows))
        known = {kind: self._durations.of_kind(kind) for kind in self._rows if fits is None or fits(kind)}
        new = [kind for kind, seconds in known.items() if seconds is None]
        if new:
            return min(new, key=lambda kind: self._rows[kind].first())
        return max(known, key=lambda kind: known[kind] or 0.0)

    def first_of(self, jobs: Iterable[Job]) -> Job | None:
        """Return the first of these jobs that waits here and may be taken now: one of the kind whose turn it is, or of
        a kind of which no more is known."""
        known = self._durations.of_kind
        usual = known(self.next_kind())
        for job in jobs:
            for kind in (self._durations.kind_of(job.spec), _REST):
                row = self._rows.get(kind)
                if row is not None and job in row and known(kind) == usual:
                    return job
        return None

    def take(self, host: str, *, spare: Callable[[], bool], fits: Fits | None = None) -> Job:
        """Take out the job whose turn it is.

        :param spare: tells whether to prefer a job that was not on that host just before
        :param fits: only a kind for which this is true; there must be one
        """
        kind = self.next_kind(fits)  # this may rebuild the rows
        row = self._rows[kind]
        chosen = row.head()
        if _was_on(chosen, host) and spare():
            others = (other.head() for kind, other in islice(self._rows.items(), LOOK_AHEAD)
                      if fits is None or fits(kind))
            chosen = next((job for job in chain(islice(row, LOOK_AHEAD), others) if not _was_on(job, host)), chosen)
        self.remove(chosen)
        return chosen


def _was_on(job: Job, host: str) -> bool:
    return bool(job.attempts) and job.attempts[-1].host == host


class Gate:
    """How many jobs of an entry may be on hosts at a time (``max_parallel``)."""

    __slots__ = ("lines", "most", "taken", "waiting")

    def __init__(self, most: int):
        self.most = most
        #: How many jobs of the entry are on hosts, and how many wait.
        self.taken = self.waiting = 0
        #: The lines that they wait in.
        self.lines: list[GatedLine] = []

    @property
    def closed(self) -> bool:
        """Whether no further job may leave its line now."""
        return self.taken >= self.most


class GatedLine(Line):
    """A line whose jobs may have to wait for others of their entry to end."""

    def __init__(self, hosts: set[str], durations: Durations, priority: int, gate: Gate, needs: Needs | None = None):
        super().__init__(hosts, durations, priority, needs)
        self.gate = gate
        gate.lines.append(self)


def is_closed(line: Line) -> bool:
    """Return whether the jobs of a line have to wait for others of their entry (``max_parallel``)."""
    return isinstance(line, GatedLine) and line.gate.closed


#: What the jobs of a line have in common: the words of ``hosts``, the host of a ``per_host`` job, the priority, the
#: entry where ``max_parallel`` limits it, the remaining hosts where others are left out, and their needs.
LineKey = tuple[tuple[str, ...], str | None, int, str | None, frozenset[str] | None, bool, Needs | None]


def key_of(spec: JobSpec, only_host: str | None, left: frozenset[str] | None, needs: Needs | None) -> LineKey:
    """Return which line a job waits in."""
    return (tuple(spec.hosts), only_host, spec.priority, None if spec.max_parallel is None else spec.entry_name, left,
            spec.lease is not None, needs)
