"""The jobs of a run that ended without success, and those that passed, as they are compared to say why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sshjobs.store.damage import Damage, check_row, damage_told
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import LONGEST_REASON, values_of
from sshjobs.store.rundir import RunPaths

#: Rows that are read at a time.
PAGE = 5_000


class FailedRow(NamedTuple):
    """An end without success: that of a job, or of an attempt whose job went on.

    :ivar spec: id of the spec's row; jobs with the same one are of one entry
    :ivar params: the values of its parameters, as stored
    :ivar state: where the job stands
    :ivar cause: stored cause of the attempt, ``None`` also where the job ended otherwise than its newest attempt
    :ivar said: what was said of the end of the attempt, likewise; ``reason``: in whole words, why the job ended so
    :ivar n: number of the attempt, 0 where there was none; ``newest``: that of the job's newest
    :ivar out_size: bytes of its output as far as known, ``err_size`` alike
    """

    number: int
    name: str
    spec: int
    params: str | None
    state: str
    outcome: str
    exit_status: int | None
    signal: int | None
    cause: str | None
    said: str | None
    reason: str | None
    host: str | None
    only_host: str | None
    n: int
    newest: int
    out_size: int | None
    err_size: int | None

    @property
    def tried_again(self) -> bool:
        """Whether the job went on after it."""
        return self.state != "error"

    def outputs(self, paths: RunPaths) -> tuple[Path, Path] | None:
        """Return the files that it wrote to, stdout and stderr; ``None`` where it was never launched."""
        return outputs_of(paths, self.name, self.n, self.newest)


def outputs_of(paths: RunPaths, name: str, n: int, newest: int) -> tuple[Path, Path] | None:
    """Return the files that an attempt of a job wrote to, whether they are there or not.

    :param newest: the number of the job's newest attempt, whose files stand in the place of the job's
    """
    if not n:
        return None
    directory = paths.job(name) if n == newest else paths.attempt(name, n)
    return directory / "stdout", directory / "stderr"


class Entry(NamedTuple):
    """What the jobs of a spec have in common. ``name``: ``None`` where each is an entry of its own."""

    name: str | None
    params: tuple[str, ...]

    def values(self, params: str | None) -> tuple[str | None, ...]:
        """Return the values of a job's parameters, in the order of their names."""
        return values_of(params, len(self.params)) if self.params else ()


class FailureReader(RunReader):
    """The store of one run, open for questions about failures."""

    def entries_by_spec(self) -> Mapping[int, Entry]:
        """Return what jobs with the same spec have in common, by its id; specs without any of it are missing."""
        with damage_told(self.paths.store):
            return {id_: Entry(entry, tuple(json.loads(names or "[]")))
                    for id_, entry, names in self._all("select_spec_names")}

    def failed(self, after: int = 0) -> Iterator[FailedRow]:
        """Yield the jobs that ended without success, by number, a page at a time.

        :param after: only jobs with a higher number
        """
        while True:
            page = self._page("select_failed", (after, PAGE))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number

    def failed_one(self, number: int) -> FailedRow | None:
        """Return one of these jobs; ``None`` where it did not end so."""
        found = self._page("select_failed", (number - 1, 1))
        return found[0] if found and found[0].number == number else None

    def tried_again(self) -> Iterator[FailedRow]:
        """Yield the attempts that failed and whose jobs were tried again since, or are to be."""
        after = (0, 0)
        while True:
            page = self._page("select_tried_again", (*after, PAGE))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number, page[-1].n

    def passed(self) -> Iterator[tuple[int, str | None, str | None]]:
        """Yield spec, parameters as stored and host of each job that succeeded, a page at a time."""
        after = 0
        while True:
            with damage_told(self.paths.store):
                page = self._all("select_passed", (after, PAGE))
                for row in page:
                    check_row(row, "iiSS")
            yield from (row[1:] for row in page)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def _page(self, query: str, parameters: tuple[int, ...]) -> list[FailedRow]:
        with damage_told(self.paths.store):
            return [_failed_row(row) for row in self._all(query, parameters)]


def _failed_row(row: tuple[object, ...]) -> FailedRow:
    check_row(row, "isiSsSIISSSSSiiII")
    found = FailedRow._make(row)
    if found.outcome is None:
        raise Damage("a job ended and has no outcome")
    if found.reason is not None and len(found.reason) > LONGEST_REASON:
        found = found._replace(reason=found.reason[:LONGEST_REASON])
    return found
