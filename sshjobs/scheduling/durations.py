"""How long jobs take, learnt from those that ended: which are likely to be long, and which hosts are slow.

Pure bookkeeping, and hints only: whatever is wrong here costs time and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sshjobs.model.spec import JobSpec
from sshjobs.scheduling.refinement import Refinement

#: How much the newest job tells about the next: weight in the running mean of durations.
_NEWEST = 0.2
#: So many durations of a kind tell how long one may take.
_SPREAD = 32
#: A host that takes so many times as long as others is slow.
SLOW = 1.5


class Durations:
    """Running means of how long jobs took: by host, and by kind as on a host of usual speed.

    All jobs of an entry are of one kind, until one of its parameters is seen to explain how long they take: from then
    on those of each of its values.

    :ivar version: changes whenever jobs are of other kinds than before
    :ivar keeps_spread: some host has an end, so that it matters how long jobs may take: :meth:`most_of_kind`
    """

    def __init__(self) -> None:
        self.version = 0
        self._refined: dict[int, Refinement] = {}
        #: The kinds of entries that were refined, by value. No other kind is below zero.
        self._parts: dict[tuple[int, str | None], int] = {}
        self._of_host: dict[str, float] = {}
        self._of_kind: dict[int, float] = {}
        self._slowness: dict[str, float] = {}
        self._ended: dict[str, int] = {}
        self.keeps_spread = False
        #: By kind: the last durations, on whichever hosts.
        self._spread: dict[int, deque[float]] = {}

    def kind_of(self, spec: JobSpec) -> int:
        """Return the kind of a job."""
        return self.kind_with(spec.kind, spec.values) if spec.values and self.version else spec.kind

    def kind_with(self, kind: int, values: Sequence[str | None]) -> int:
        """Return the kind of a job of an entry that has these values.

        :param kind: of a job of the entry, by its spec
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
        # A job on a slow host says little about how long it takes elsewhere.
        as_usual = seconds / max(slowness, 1.0)
        for one in {kind, spec.kind}:
            known = self._of_kind.get(one)
            self._of_kind[one] = as_usual if known is None else known + _NEWEST * (as_usual - known)
            if self.keeps_spread:
                self._spread.setdefault(one, deque(maxlen=_SPREAD)).append(seconds)
        if spec.values and kind == spec.kind:
            self._refine(spec, seconds)

    def _refine(self, spec: JobSpec, seconds: float) -> None:
        """Look whether a parameter explains how long jobs take. While it may, no host is known to be slow: so
        ``seconds`` are those of the clock."""
        refined = self._refined.get(spec.kind)
        if refined is None:
            refined = self._refined[spec.kind] = Refinement(len(spec.values))
        if refined.note(spec.values, seconds):
            self.version += 1
            # A host that got longer jobs has seemed slow.
            self._slowness.clear()
            for value, usual in refined.usual():
                self._of_kind[self._part(spec.kind, value)] = usual

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

    def most_of_kind(self, kind: int) -> float | None:
        """Return the seconds that nine of ten jobs of a kind did not take longer than, of the last of them; what they
        are likely to take where no more is known; ``None`` where none has ended. Not as on a host of usual speed:
        one that is slow takes long itself, and long jobs make their host look slow."""
        spread = sorted(self._spread.get(kind, ()))
        return spread[-(-9 * len(spread) // 10) - 1] if spread else self._of_kind.get(kind)

    def slowness(self, host: str) -> float:
        """Return how many times as long as usual jobs take on a host; 1 where nothing is known."""
        return self._slowness.get(host, 1.0)
