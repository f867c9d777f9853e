"""Which parameter, if any, explains how long the jobs of an entry take. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log

#: Parameters are examined after so many ends, and again whenever the number has doubled.
FIRST_LOOK = 8
#: Only the first so many parameters are examined, with at most so many values each.
MAX_PARAMETERS, MAX_VALUES = 8, 32
#: A parameter is chosen if it explains at least the part ENOUGH of the variance of the logarithms of durations, and the
#: longest mean duration of a value is at least RATIO times the shortest.
ENOUGH, RATIO = 0.5, 1.5
#: Shorter durations count as so many seconds.
_LEAST = 0.001


class Refinement:
    """How long the jobs of an entry took, by the values of each of its parameters.

    :ivar chosen: the place of the parameter that explains it; ``None`` as long as none is known to
    """

    __slots__ = ("_by", "_ended", "_squares", "_total", "chosen")

    def __init__(self, parameters: int):
        self._ended, self._total, self._squares = 0, 0.0, 0.0
        #: By the place of each parameter: of each value how many have ended, and the sum of the logarithms of their
        #: seconds; ``None`` where there are too many values.
        self._by: list[dict[str | None, tuple[int, float]] | None] = [
            {} for _ in range(min(parameters, MAX_PARAMETERS))]
        self.chosen: int | None = None

    def note(self, values: Sequence[str | None], seconds: float) -> bool:
        """Note how long a job with these values took; return whether a parameter was chosen now."""
        length = log(max(seconds, _LEAST))
        self._ended += 1
        self._total += length
        self._squares += length * length
        for place, found in enumerate(self._by):
            if found is None:
                continue
            number, total = found.get(values[place], (0, 0.0))
            found[values[place]] = number + 1, total + length
            if len(found) > MAX_VALUES:
                self._by[place] = None
        if self._ended >= FIRST_LOOK and self._ended & (self._ended - 1) == 0:
            self.chosen = self._explaining()
        return self.chosen is not None

    def look(self) -> None:
        """Look for a parameter that explains the durations now, without waiting until their number has doubled."""
        if self.chosen is None and self._ended >= FIRST_LOOK:
            self.chosen = self._explaining()

    def usual(self) -> Iterator[tuple[str | None, float]]:
        """Yield each value of the chosen parameter with the seconds that its jobs take."""
        found = None if self.chosen is None else self._by[self.chosen]
        yield from ((value, exp(total / number)) for value, (number, total) in (found or {}).items())

    def _explaining(self) -> int | None:
        explained = [(self._explained(found), place) for place, found in enumerate(self._by) if found is not None]
        most, place = max(explained, default=(0.0, 0))
        return place if most >= ENOUGH else None

    def _explained(self, found: dict[str | None, tuple[int, float]]) -> float:
        """Return the part of the variance that the values explain, adjusted for their number (adjusted R²)."""
        n, groups = self._ended, len(found)
        whole = self._squares - self._total * self._total / n
        means = [total / number for number, total in found.values()]
        if n - groups < FIRST_LOOK // 2 or whole <= 0.0 or max(means) - min(means) < log(RATIO):
            return 0.0
        between = sum(total * total / number for number, total in found.values()) - self._total * self._total / n
        return 1.0 - (1.0 - between / whole) * (n - 1) / (n - groups)
