"""Reads the jobs of a run that failed and those that passed, to find out why the failures happened."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sshjobs.store.damage import Damage, check_row, damage_told
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import LONGEST_REASON, values_of
from sshjobs.store.rundir import RunPaths

#: So many rows are read at a time.
PAGE = 5_000
#: Parts of a run from each of which some are read, where not all are.
PARTS = 30
#: Multiples of this lie evenly between whole numbers.
GOLDEN = 0.618


class FailedRow(NamedTuple):
    """An end without success: of a job, or of an attempt whose job was tried again.

    :ivar spec: id of the spec's row; jobs of one entry have the same
    :ivar params: the values of its parameters, as stored
    :ivar state: the state of the job
    :ivar cause: stored cause of the attempt; ``None`` also where the job's outcome is not that of its newest attempt
    :ivar said: stored reason of the attempt, with the same exception; ``reason``: that of the job, in a sentence
    :ivar n: number of the attempt, 0 if there was none; ``newest``: number of the job's newest attempt
    :ivar out_size: bytes of its stdout as far as known; ``err_size``: of its stderr
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
        """Whether the job was tried again after it."""
        return self.state != "error"

    def outputs(self, paths: RunPaths) -> tuple[Path, Path] | None:
        """Return the files that it wrote to, stdout and stderr; ``None`` where it was never launched."""
        return outputs_of(paths, self.name, self.n, self.newest)


def outputs_of(paths: RunPaths, name: str, n: int, newest: int) -> tuple[Path, Path] | None:
    """Return the files that an attempt of a job wrote to, whether they exist or not.

    :param newest: the number of the job's newest attempt, whose files are directly in the job's directory
    """
    if not n:
        return None
    directory = paths.job(name) if n == newest else paths.attempt(name, n)
    return directory / "stdout", directory / "stderr"


class Entry(NamedTuple):
    """The entry of a spec. ``name``: ``None`` where each job is an entry of its own."""

    name: str | None
    params: tuple[str, ...]

    def values(self, params: str | None) -> tuple[str | None, ...]:
        """Return the values of a job's parameters, in the order of their names."""
        return values_of(params, len(self.params)) if self.params else ()


class FailureReader(RunReader):
    """The store of one run, open for questions about failures."""

    def entries_by_spec(self) -> Mapping[int, Entry]:
        """Return the entries by the id of their spec. Specs without an entry of several jobs are missing."""
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
        """Return one of these jobs, ``None`` if it did not end without success."""
        found = self._page("select_failed", (number - 1, 1))
        return found[0] if found and found[0].number == number else None

    def tried_again(self) -> Iterator[FailedRow]:
        """Yield failed attempts whose jobs were tried again since, or will be."""
        after = (0, 0)
        while True:
            page = self._page("select_tried_again", (*after, PAGE))
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number, page[-1].n

    def passed(self, most: int | None = None) -> Iterator[tuple[int, str | None, str | None]]:
        """Yield spec, parameters as stored and host of each job that succeeded, a page at a time.

        :param most: about so many at most, from all parts of the run
        """
        last = self.last_number()
        if most is not None and last > most:
            size = most // PARTS
            for n in range(PARTS):
                # At another place in each part: what comes back at regular places is not missed.
                ahead = int(n * GOLDEN % 1.0 * (last // PARTS - size))
                yield from (row[1:] for row in self._passed(n * last // PARTS + ahead, size))
            return
        after = 0
        while True:
            page = self._passed(after, PAGE)
            yield from (row[1:] for row in page)
            if len(page) < PAGE:
                return
            after = page[-1][0]

    def _passed(self, after: int, number: int) -> list[tuple[int, int, str | None, str | None]]:
        with damage_told(self.paths.store):
            page = self._all("select_passed", (after, number))
            for row in page:
                check_row(row, "iiSS")
        return page

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
