"""Tables of runs for the browser: the parameters, endings and results of jobs, filtered, sorted and cut into pages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.tables import conditions, grouping
from sshjobs.tables.sheet import Row, Sheet, number_of, sheet_of, text_of
from sshjobs.web import models

#: How many jobs a run may have for a table to be made, which takes a second or two.
MOST_JOBS = 20_000
#: How many runs' tables are kept; for how many times as long as it took to make it a table is used, even if stale.
KEPT, GOOD_FOR = 4, 10.0
#: How many columns a page has, and how many characters a cell has.
MOST_COLUMNS, WIDEST = 60, 200


class Sheets:
    """Keeps the tables that were used last."""

    def __init__(self) -> None:
        #: By run: the commit of the table, until when it may be used, and the table.
        self._kept: dict[Path, tuple[int, float, Sheet]] = {}

    def page(self, query: models.TableAsked, paths: RunPaths, reader: RunReader) -> models.TableInfo:
        """Return a page of the table of a run.

        :raises UsageError: there are too many jobs; the condition or the columns to sort by cannot be understood
        """
        whole = self._of(paths, reader)
        test = conditions.parse(query.where, whole, "the condition") if query.where.strip() else None
        rows = list(whole.rows) if test is None else list(filter(test, whole.rows))
        sheet = Sheet(whole.names, rows, shown=whole.shown, parameters=whole.parameters, results=whole.results)
        grouping.sort(sheet, query.sort, "the order")
        names = sheet.shown[:MOST_COLUMNS]
        total, sheet.rows = len(sheet.rows), sheet.rows[query.offset:query.offset + query.limit]
        page = sheet.with_columns(names)
        return models.TableInfo(
            columns=names, numbers=[_are_numbers(page.rows, place) for place in range(len(names))],
            rows=[[_cell(value) for value in row] for row in page.rows], total=total, offset=query.offset,
            left_out=whole.left_out + len(whole.shown) - len(names))

    def _of(self, paths: RunPaths, reader: RunReader) -> Sheet:
        summary, now = reader.summary(), time.monotonic()
        if summary.total > MOST_JOBS:
            raise UsageError(f"the run has {summary.total:,} jobs, and a table in a browser {MOST_JOBS:,} at most",
                             hint=f"see: sshjobs table {paths.name}")
        commit, good_until, sheet = self._kept.get(paths.root, (-1, 0.0, None))
        if sheet is None or (commit != summary.commit and now >= good_until):
            sheet = sheet_of([(paths.name, reader.job_results())], several=False)
            took = time.monotonic() - now
            self._kept.pop(paths.root, None)
            self._kept[paths.root] = summary.commit, now + took * (1 + GOOD_FOR), sheet
            while len(self._kept) > KEPT:
                self._kept.pop(next(iter(self._kept)), None)
        return sheet


def _are_numbers(rows: list[Row], place: int) -> bool:
    values = [row[place] for row in rows if row[place] is not None]
    return bool(values) and all(number_of(value) is not None for value in values)


def _cell(value: Any) -> Any:
    """Return a value as a page shows it: long text is cut, lists and objects become text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = text_of(value)
    return text if len(text) <= WIDEST else f"{text[:WIDEST]}…"
