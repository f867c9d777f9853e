"""Rows in another order, and rows drawn together: for each group its size, and figures of its columns."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.tables.sheet import Row, Sheet, free, key_of, number_of, text_of

#: The column with how many jobs a group has.
JOBS = "jobs"
#: Columns that are drawn together beside the results, unless others are asked for.
_USUAL = ("seconds", "cpu", "memory")


def _deviation(numbers: Sequence[float]) -> float | None:
    """The standard deviation of a sample, as pandas has it."""
    if len(numbers) < 2:
        return None
    mean = statistics.fmean(numbers)
    return math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / (len(numbers) - 1))


#: What may be made of the numbers of a column in a group; of no numbers nothing is made, but for their count.
AGGREGATES: dict[str, Callable[[Sequence[float]], float | None]] = {
    "mean": statistics.fmean, "std": _deviation, "min": min, "max": max, "median": statistics.median, "sum": sum,
    "count": len}


def sort(sheet: Sheet, words: str, where: str = "--sort") -> None:
    """Put the rows in order, by several columns with commas between them; ``-NAME`` begins with the largest.

    Numbers come before texts, and rows without a value last in any case.

    :raises UsageError: there is no such column
    """
    keys = [(sheet.place(word.removeprefix("-"), where), word.startswith("-"))
            for word in map(str.strip, words.split(",")) if word]
    for place, descending in reversed(keys):
        there = [row for row in sheet.rows if row[place] is not None]
        missing = [row for row in sheet.rows if row[place] is None]
        there.sort(key=lambda row: _sort_key(row[place]), reverse=descending)
        sheet.rows[:] = there + missing


def _sort_key(value: Any) -> tuple[int, float, str]:
    found = number_of(value)
    return (1, 0, text_of(value)) if found is None else (0, found, "")


def group(sheet: Sheet, by: str, aggregates: str, columns: str | None = None) -> Sheet:
    """Return a row for each group: the columns that it was made by, how many jobs it has, and its figures as
    ``COLUMN.FIGURE``. Values that are no numbers are left out of these.

    :param by: columns with commas between them; jobs with equal values in all of them are a group. Empty: one of all
    :param aggregates: words of :data:`AGGREGATES`, with commas between them
    :param columns: what figures are made of; ``None`` for the results and times in which there is a number
    :raises UsageError: there is no such column, or no such figure
    """
    figures = [word for word in map(str.strip, aggregates.split(",")) if word]
    for word in figures:
        if word not in AGGREGATES:
            raise UsageError(f"there is no figure '{word[:60]}'", where="--agg",
                             hint=f"take of {', '.join(AGGREGATES)}")
    names = sheet.matching(by, "--group-by")
    keys = [sheet.place(name, "--group-by") for name in names]
    if columns is None:
        chosen = [name for name in (*_USUAL, *sheet.results) if name not in names and _has_numbers(sheet, name)]
    else:
        chosen = [name for name in sheet.matching(columns, "--columns") if name not in names]
    places = [sheet.place(name, "--columns") for name in chosen]
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sheet.rows:
        groups.setdefault(tuple(key_of(row[place]) for place in keys), []).append(row)
    rows = [[*(rows[0][place] for place in keys), len(rows), *_figures(rows, places, figures)]
            for rows in groups.values()]
    taken = list(names)
    for name in (JOBS, *(f"{name}.{word}" for name in chosen for word in figures)):
        free(name, "group", taken)
    return Sheet(taken, rows, parameters=[name for name in names if name in sheet.parameters])


def _has_numbers(sheet: Sheet, name: str) -> bool:
    place = sheet.place(name, "--columns")
    return any(number_of(row[place]) is not None for row in sheet.rows)


def _figures(rows: list[Row], places: Sequence[int], figures: Sequence[str]) -> list[float | None]:
    made: list[float | None] = []
    for place in places:
        numbers = [found for found in (number_of(row[place]) for row in rows) if found is not None]
        made += [_figure(word, numbers) for word in figures]
    return made


def _figure(word: str, numbers: Sequence[float]) -> float | None:
    if not numbers and word != "count":
        return None
    try:
        return AGGREGATES[word](numbers)
    except OverflowError:  # whole numbers beyond what a fraction can hold
        return None
