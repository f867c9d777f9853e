"""A sheet: the jobs of one run or several as rows, with the columns that there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.model.params import number, value_key
from sshjobs.model.similar import similar
from sshjobs.store.rows import ResultRow, read_object

#: Columns that every job has, in the order in which they stand; parameters come behind the first three.
FIRST = ("run", "job", "entry")
OTHERS = ("outcome", "host", "seconds", "cpu", "memory", "state", "exit_status", "signal", "attempts", "started",
          "from", "reason")
#: Those of them that are shown unless others are asked for; all parameters and results are.
SHOWN = frozenset(("run", "job", "outcome", "host", "seconds", "cpu", "memory"))
#: Names of results that become columns: jobs, or who has forged what they left, may give any number of them.
MOST_RESULTS = 1000

#: One line of the sheet: values in the order of its columns; ``None`` where a job has none.
Row = list[Any]


class Sheet:
    """Rows of equal length.

    :ivar names: what its columns are called
    :ivar rows: one for each job; parameters as text, results as they were left
    :ivar shown: the columns that are shown unless others are asked for
    :ivar parameters: columns with parameters
    :ivar results: columns with results
    :ivar left_out: names of results for which there was no room
    """

    def __init__(self, names: Sequence[str], rows: list[Row], *, shown: Sequence[str] | None = None,
                 parameters: Sequence[str] = (), results: Sequence[str] = (), left_out: int = 0):
        self.names, self.rows, self.left_out = list(names), rows, left_out
        self.shown = list(names) if shown is None else list(shown)
        self.parameters, self.results = list(parameters), list(results)
        self._places = {name: place for place, name in enumerate(self.names)}

    def place(self, name: str, where: str) -> int:
        """Return where a column stands. ``param.NAME`` and ``result.NAME`` may always be said.

        :param where: what names it, for the message
        :raises UsageError: there is no such column
        """
        kind, _, rest = name.partition(".")
        candidates = [name]
        if rest and rest in {"param": self.parameters, "result": self.results}.get(kind, ()):
            candidates.append(rest)
        for candidate in candidates:
            if candidate in self._places:
                return self._places[candidate]
        near = similar(name, self.names, 1, 0.6)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self.names)}"
        raise UsageError(f"no column is called '{name[:60]}'", where=where, hint=hint)

    def matching(self, words: str, where: str) -> list[str]:
        """Return the columns that names and patterns such as ``val_*``, with commas between them, mean; each once.

        :param where: what names them, for the message
        :raises UsageError: there is no such column
        """
        found: dict[str, None] = {}
        for word in filter(None, map(str.strip, words.split(","))):
            matching = [name for name in self.names if fnmatchcase(name, word)] if word not in self._places else []
            found.update(dict.fromkeys(matching or [self.names[self.place(word, where)]]))
        return list(found)

    def with_columns(self, names: Sequence[str]) -> Sheet:
        """Return a sheet of these columns, which there are, in this order."""
        places = [self._places[name] for name in names]
        return Sheet(names, [[row[place] for place in places] for row in self.rows],
                     parameters=[name for name in names if name in self.parameters])

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as mappings, all with the same keys in the same order. A parameter all of whose values are
        numbers is one."""
        numeric = {self._places[name] for name in self.parameters
                   if all(row[self._places[name]] is None or number(row[self._places[name]]) is not None
                          for row in self.rows)}
        return [{name: number(value) if place in numeric and value is not None else value
                 for place, (name, value) in enumerate(zip(self.names, row, strict=True))} for row in self.rows]


def sheet_of(runs: Iterable[tuple[str, Iterable[ResultRow]]], *, several: bool) -> Sheet:
    """Return the jobs of runs as a sheet. A parameter that is called as a column that there is already becomes
    ``param.NAME``, such a result ``result.NAME``.

    :param runs: names of runs, with their jobs in order
    :param several: there is a column ``run``
    """
    rows: list[tuple[str, ResultRow, dict[str, Any]]] = []
    parameters: dict[str, None] = {}
    results: dict[str, None] = {}
    left_out: set[str] = set()
    for run, jobs in runs:
        for job in jobs:
            left = read_object(job.result) if job.result else {}
            rows.append((run, job, left))
            parameters.update(dict.fromkeys(job.params))
            for name in left:
                if name in results or len(results) < MOST_RESULTS:
                    results[name] = None
                else:
                    left_out.add(name)
    taken = [*FIRST, *OTHERS]
    as_columns = [free(name, "param", taken) for name in parameters], [free(name, "result", taken) for name in results]
    columns = [*(FIRST if several else FIRST[1:]), *as_columns[0], *OTHERS, *as_columns[1]]
    shown = [name for name in columns if name in SHOWN or name not in (*FIRST, *OTHERS)]
    return Sheet(columns, [_row(run, job, left, parameters, results, several) for run, job, left in rows], shown=shown,
                 parameters=as_columns[0], results=as_columns[1], left_out=len(left_out))


def free(name: str, kind: str, taken: list[str]) -> str:
    """Return a name that no column has: its own, or one with what kind of a name it is before it; it is taken then."""
    while name in taken:
        name = f"{kind}.{name}"
    taken.append(name)
    return name


def _row(run: str, job: ResultRow, left: dict[str, Any], parameters: Iterable[str], results: Iterable[str],
         several: bool) -> Row:
    seconds = None if job.started is None or job.ended is None else round(max(0.0, job.ended - job.started), 6)
    return [*((run,) if several else ()), job.name, job.entry, *map(job.params.get, parameters),
            job.outcome, job.host, seconds, job.cpu, job.rss, job.state, job.exit_status, job.signal, job.attempts,
            job.started, job.origin, job.reason, *map(left.get, results)]


def text_of(value: Any) -> str:
    """Return a value as text: what it is compared by where it is no number. Nothing is the empty text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def number_of(value: Any) -> float | int | None:
    """Return the number that a value is, whether it is one or a text that reads as one."""
    if isinstance(value, str):
        return number(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def key_of(value: Any) -> Any:
    """Return what is equal for equal values, as everywhere: by number where both are numbers, else by text."""
    found = number_of(value)
    return value_key(text_of(value)) if found is None else found
