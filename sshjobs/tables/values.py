"""How long jobs took, and how many failed, by entry and by each value of each parameter."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from sshjobs.model.params import number
from sshjobs.model.states import STATE_ERROR
from sshjobs.store.rows import ResultRow

#: Seconds of jobs that are kept for a value of a parameter.
MOST_SECONDS = 10_000
#: Values of a parameter, and parameters of all entries, that are shown.
MOST_VALUES, MOST_PARAMETERS = 24, 24
#: Values of a parameter that are counted: with more of them it tells jobs apart, and nothing else.
MOST_COUNTED = 2_000


@dataclass
class ValueFigures:
    """Jobs of an entry, or those with one value of a parameter, as far as they have begun and ended."""

    jobs: int = 0
    failed: int = 0
    seconds: list[float] = field(default_factory=list)
    ended: int = 0
    total: float = 0.0
    longest: float = 0.0

    def note(self, row: ResultRow) -> None:
        """Count a job."""
        self.jobs += 1
        self.failed += row.state == STATE_ERROR
        if row.started is not None and row.ended is not None:
            seconds = max(0.0, row.ended - row.started)
            self.ended += 1
            self.total += seconds
            self.longest = max(self.longest, seconds)
            if len(self.seconds) < MOST_SECONDS:
                self.seconds.append(seconds)

    @property
    def middle(self) -> float | None:
        """The median of the seconds, of the first :data:`MOST_SECONDS` jobs."""
        return median(self.seconds) if self.seconds else None


class Parameter(NamedTuple):
    """A parameter of an entry. ``left_out``: so many of its values are not shown."""

    entry: str
    name: str
    values: list[tuple[str, ValueFigures]]
    left_out: int


class Values:
    """Takes jobs, one after the other."""

    def __init__(self) -> None:
        #: All jobs of each entry.
        self.entries: dict[str, ValueFigures] = {}
        self._sorts: dict[tuple[str, str], dict[str, ValueFigures]] = {}

    def note(self, row: ResultRow) -> None:
        """Count a job with its entry and its values."""
        self.entries.setdefault(row.entry, ValueFigures()).note(row)
        for name, value in row.params.items():
            values = self._sorts.setdefault((row.entry, name), {})
            if value in values or len(values) < MOST_COUNTED:
                values.setdefault(value, ValueFigures()).note(row)

    def parameters(self) -> tuple[list[Parameter], int]:
        """Return the parameters that tell groups of jobs apart, and how many do not: they have one value only, or
        nearly as many as there are jobs, or there are :data:`MOST_PARAMETERS` already."""
        found: list[Parameter] = []
        left_out = 0
        for (entry, name), values in self._sorts.items():
            if not 1 < len(values) < MOST_COUNTED or len(found) >= MOST_PARAMETERS or (
                    len(values) > MOST_VALUES and sum(one.jobs for one in values.values()) < 2 * len(values)):
                left_out += 1
                continue
            most = sorted(values, key=lambda value: -values[value].total)[:MOST_VALUES]
            found.append(Parameter(entry, name, [(value, values[value]) for value in sorted(most, key=_by_size)],
                                   len(values) - len(most)))
        return found, left_out


def _by_size(value: str) -> tuple[bool, float, str]:
    as_number = number(value)
    return as_number is None, float(as_number or 0), value
