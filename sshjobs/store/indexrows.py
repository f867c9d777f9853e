"""Jobs and attempts as an index of a run reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sshjobs.model.states import STATES, Outcome
from sshjobs.store.damage import Damage, check_row
from sshjobs.store.rows import values_of

_OUTCOMES = frozenset((None, *(outcome.value for outcome in Outcome)))


class IndexAttempt(NamedTuple):
    """An attempt in an index. ``size``: bytes that it wrote."""

    job: int
    host: str
    state: str
    outcome: str | None
    started: float | None
    ended: float | None
    cpu: float | None
    size: int


class IndexJob(NamedTuple):
    """A job in an index.

    :ivar entry: the name of its entry; ``None``: the same as its own, and it has no parameters
    :ivar names: names of the parameters of its entry; ``values``: its own values
    """

    number: int
    name: str
    state: str
    outcome: str | None
    host: str | None
    entry: str | None
    names: Sequence[str]
    values: Sequence[str | None]

    @property
    def params(self) -> dict[str, str]:
        """Its parameters: text, by their names."""
        return {name: value for name, value in zip(self.names, self.values, strict=True) if value is not None}


def index_jobs(rows: Iterable[Sequence[Any]], specs: Iterable[Sequence[Any]]) -> list[IndexJob]:
    """Return rows of a query for the index's jobs, checked.

    :param specs: rows of the query ``select_index_entries``
    """
    names = {id_: (entry, tuple(json.loads(names or "[]"))) for id_, entry, names in specs}
    return [_index_job(row, *names.get(row[5], (None, ()))) for row in rows]


def _index_job(row: Sequence[Any], entry: str | None, names: Sequence[str]) -> IndexJob:
    check_row(row, "issSSiS")
    number, name, state, outcome, host, _, params = row
    if state not in STATES or outcome not in _OUTCOMES:
        raise Damage(f"no job can be {state!r:.40} and {outcome!r:.40}")
    return IndexJob(number, name, state, outcome, host, entry or (name if names else None), names,
                    values_of(params, len(names)) if names else ())
