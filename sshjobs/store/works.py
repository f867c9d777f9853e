"""Reads the jobs of a run for a comparison with a jobfile: their specs, inputs and states."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import STATES
from sshjobs.store.damage import Damage, check_row, damage_told
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import SpecReader

#: So many jobs are read at a time.
PAGE = 2_000


class WorkRow(NamedTuple):
    """A job for a comparison, with its newest attempt; fields of that are ``None`` if there is none.

    :ivar n: number of that attempt
    :ivar inputs: digest of its inputs
    :ivar origin: the run from which it was carried over
    """

    number: int
    name: str
    spec: JobSpec
    only_host: str | None
    state: str
    outcome: str | None
    exit_status: int | None
    signal: int | None
    reason: str | None
    n: int | None
    host: str | None
    started: float | None
    ended: float | None
    out_size: int | None
    err_size: int | None
    inputs: str | None
    origin: str | None


class WorkReader(RunReader):
    """The store of one run, open for comparison."""

    def works(self) -> Iterator[WorkRow]:
        """Yield every job for a comparison, by number, a page at a time."""
        specs, after = SpecReader(self._connection), 0
        while True:
            with damage_told(self.paths.store):
                page = [work_row(row, specs) for row in self._all("select_work", (after, PAGE))]
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].number

    def has_followers(self) -> bool:
        """Return whether any job waits for others."""
        return bool(self._all("select_followers")[0][0])

    def work(self, number: int) -> WorkRow:
        """Return the job of that number, as :meth:`works` does.

        :raises KeyError: there is none
        """
        with damage_told(self.paths.store):
            found = [work_row(row, SpecReader(self._connection)) for row in self._all("select_work", (number - 1, 1))]
        if not found or found[0].number != number:
            raise KeyError(number)
        return found[0]

    def inputs(self, digest: str) -> list[tuple[str, str, str]] | None:
        """Return the listing of inputs with a digest: kind, name and content of each; ``None`` if it is unknown."""
        with damage_told(self.paths.store):
            rows = self._all("select_inputs", (digest,))
            return None if not rows or rows[0][0] is None else listing_of(rows[0][0])


def work_row(row: Sequence[Any], specs: SpecReader) -> WorkRow:
    """Return a row of the query ``select_work``, checked."""
    check_row(row, "isiiSSsSIISISFFIISS")
    number, name, spec, repeat, params, only_host, state, *rest = row
    if state not in STATES:
        raise Damage(f"no job can be {repr(state)[:40]}")
    return WorkRow(number, name, specs.spec(spec, name, repeat, params), only_host, state, *rest)


def listing_of(text: str) -> list[tuple[str, str, str]]:
    """Return a stored listing of inputs."""
    found = json.loads(text)
    if not isinstance(found, list) or not all(
            isinstance(one, list) and len(one) == 3 and all(isinstance(word, str) for word in one) for one in found):
        raise Damage(f"{repr(text)[:40]} is no listing of inputs")
    return [(kind, name, content) for kind, name, content in found]
