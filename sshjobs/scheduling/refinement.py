"""Which parameter, if any, explains how long the jobs of an entry take. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import exp, log

#: It is looked after so many ends, and again whenever these have doubled.
FIRST_LOOK = 8
#: The first so many parameters are looked at, those of at most so many values.
MAX_PARAMETERS, MAX_VALUES = 8, 32
#: What a parameter has to explain of the variance of durations (of their logarithms), with as many values as it has.
ENOUGH = 0.5
#: How many times as long the longest have to be as the shortest, or it does not matter.
RATIO = 1.5
#: Seconds below which jobs are not told apart.
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
        """Note how long a job took that has these values; tell whether a parameter was chosen."""
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
        """Look for a parameter that explains it by all that was noted, whatever their number."""
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
        """Return which part of the variance is between the values, adjusted for their number (as adjusted R² is)."""
        n, groups = self._ended, len(found)
        whole = self._squares - self._total * self._total / n
        means = [total / number for number, total in found.values()]
        if n - groups < FIRST_LOOK // 2 or whole <= 0.0 or max(means) - min(means) < log(RATIO):
            return 0.0
        between = sum(total * total / number for number, total in found.values()) - self._total * self._total / n
        return 1.0 - (1.0 - between / whole) * (n - 1) / (n - groups)
