"""How long jobs take, learnt from those that ended: which are likely to be long, and which hosts are slow.

Pure bookkeeping, and hints only: whatever is wrong here costs time and nothing else.
"""

from __future__ import annotations

from sshjobs.model.spec import JobSpec

#: How much the newest job tells about the next: weight in the running mean of durations.
_NEWEST = 0.2
#: A host that takes so many times as long as others is slow.
SLOW = 1.5


class Durations:
    """Running means of how long jobs took: by host, and by kind as on a host of usual speed."""

    def __init__(self) -> None:
        self._of_host: dict[str, float] = {}
        self._of_kind: dict[int, float] = {}
        self._slowness: dict[str, float] = {}
        self._ended: dict[str, int] = {}

    def note(self, spec: JobSpec, host: str, seconds: float) -> None:
        """Note how long a job took on a host."""
        self._ended[host] = self._ended.get(host, 0) + 1
        before = self._of_host.get(host, seconds)
        self._of_host[host] = before + _NEWEST * (seconds - before)
        kind = spec.kind
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
