"""How long jobs take, learnt from those that ended: which jobs are likely to be long, and which hosts are slow.

Pure bookkeeping. These are hints: a wrong one costs time and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sshjobs.model.spec import JobSpec
from sshjobs.scheduling.refinement import Refinement

#: The weight of the newest job in the running mean of durations.
_NEWEST = 0.2
#: So many of the last durations of a kind are kept, to tell how long one may take.
_SPREAD = 32
#: A host that takes so many times as long as others is slow.
SLOW = 1.5


class Durations:
    """Running means of durations: by host, and by kind of job as on a host of usual speed.

    All jobs of an entry are one kind, until one of its parameters is found to explain how long they take: from then on
    the jobs with one value of that parameter are a kind.

    :ivar version: changes whenever the kinds of jobs change
    :ivar keeps_spread: some host is going to close, so that :meth:`most_of_kind` is needed
    """

    def __init__(self) -> None:
        self.version = 0
        self._refined: dict[int, Refinement] = {}
        #: By entry and value: the kinds of entries that were split. Only these are below zero.
        self._parts: dict[tuple[int, str | None], int] = {}
        self._of_host: dict[str, float] = {}
        self._of_kind: dict[int, float] = {}
        self._slowness: dict[str, float] = {}
        self._ended: dict[str, int] = {}
        self.keeps_spread = False
        #: By kind: the last durations, on any host.
        self._spread: dict[int, deque[float]] = {}

    def kind_of(self, spec: JobSpec) -> int:
        """Return the kind of a job."""
        return self.kind_with(spec.kind, spec.values) if spec.values and self.version else spec.kind

    def kind_with(self, kind: int, values: Sequence[str | None]) -> int:
        """Return the kind of a job with these values of its parameters.

        :param kind: the kind of its entry
        """
        refined = self._refined.get(kind)
        return kind if refined is None or refined.chosen is None else self._part(kind, values[refined.chosen])

    def _part(self, kind: int, value: str | None) -> int:
        return self._parts.setdefault((kind, value), -1 - len(self._parts))

    def note(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Note how long a job took on a host."""
        self._ended[host] = self._ended.get(host, 0) + 1
        before = self._of_host.get(host, seconds)
        self._of_host[host] = before + _NEWEST * (seconds - before)
        kind = self.kind_of(spec)
        usual = self._of_kind.get(kind)
        if usual:
            ratio = seconds / usual
            slowness = self._slowness.get(host, ratio)
            self._slowness[host] = slowness = slowness + _NEWEST * (ratio - slowness)
        else:
            slowness = self._slowness.get(host, 1.0)
        # A duration on a slow host is divided by its slowness before it counts for the kind.
        as_usual = seconds / max(slowness, 1.0)
        self._learn(kind, seconds, as_usual)
        if spec.values:
            if kind == spec.kind:
                self._refine(spec, seconds)
            else:
                self._learn(spec.kind, seconds, as_usual)

    def _learn(self, kind: int, seconds: float, as_usual: float) -> None:
        known = self._of_kind.get(kind)
        self._of_kind[kind] = as_usual if known is None else known + _NEWEST * (as_usual - known)
        if self.keeps_spread:
            self._spread.setdefault(kind, deque(maxlen=_SPREAD)).append(seconds)

    def _refine(self, spec: JobSpec, seconds: float) -> None:
        """Look whether a parameter explains how long jobs take. While that is open no host counts as slow, so
        ``seconds`` are as measured."""
        refined = self._refined.get(spec.kind)
        if refined is None:
            refined = self._refined[spec.kind] = Refinement(len(spec.values))
        if refined.note(spec.values, seconds):
            self.version += 1
            # A host may have seemed slow only because it got the longer jobs.
            self._slowness.clear()
            for value, usual in refined.usual():
                self._of_kind[self._part(spec.kind, value)] = usual

    def forget_host(self, host: str) -> None:
        """Forget the durations on a host."""
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

    def most_of_kind(self, kind: int) -> float | None:
        """Return the 90th percentile of the last durations of a kind, in seconds; where there are few, the likely
        duration; ``None`` where no job has ended. As measured, not as on a host of usual speed: a slow host takes long
        itself, and long jobs make a host look slow."""
        spread = sorted(self._spread.get(kind, ()))
        return spread[-(-9 * len(spread) // 10) - 1] if spread else self._of_kind.get(kind)

    def slowness(self, host: str) -> float:
        """Return by which factor jobs take longer than usual on a host; 1 where nothing is known."""
        return self._slowness.get(host, 1.0)
