"""Failures that are alike, together: the same cause and the same last words, but for numbers and names.

Nothing here grows with the number of failures: each kind keeps counts, and of the rest a few of each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sshjobs.diagnosis.ends import Diagnosis, End, diagnose
from sshjobs.diagnosis.setups import FailedSetups
from sshjobs.diagnosis.signs import MOST_LINES
from sshjobs.model.causes import EndCause
from sshjobs.store.failed import FailedRow, FailureReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import ending, told_lines

#: Failures whose last words are read unless all are to be.
MOST_READ = 20_000
#: Kinds that are kept apart; jobs of a kind that are named.
MOST_KINDS, MOST_NAMES = 2_000, 10
#: Kinds of one failure each with the same cause and end, from which on they are one kind: each says something else.
SCATTERED = 6
#: Different values of a parameter, and hosts, that are counted for a kind.
MOST_VALUES = 1_000
#: What tells apart messages of one kind: addresses, digests, names of temporary files, numbers.
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{12,}\b"
                      r"|/tmp/[^\s'\":,;)]+|\d+")


def normalised(text: str, row: FailedRow | None = None) -> str:
    """Return a message without what tells apart messages of one kind.

    :param row: of the job that it is of: its name and its host count as such, too
    """
    if row is not None:
        for name in (row.name, row.host):
            if name and len(name) > 2 and name in text:
                text = text.replace(name, "#")
    return _VARYING.sub("#", text)


@dataclass
class Kind:
    """Failures that are alike.

    :ivar diagnosis: of the first of them
    :ivar ending: how that ended, in a few words: ``exit 3``; ``words``: with what was said about it
    :ivar said: what was said about it alone; ``None``: nothing
    :ivar line: what it wrote that tells the cause, or the last of it; ``None``: nothing. ``file``: where that stands
    :ivar scattered: the last words of the others differ
    :ivar number: how many there are; ``again``: those of them whose jobs were tried again
    :ivar names: of the first jobs
    :ivar hosts: how many on which host; jobs of ``specs`` have ``values``: how many of which spec have which value of
        the parameter at that place
    """

    diagnosis: Diagnosis
    ending: str
    words: str
    said: str | None
    line: str | None
    file: Path | None
    scattered: bool = False
    number: int = 0
    again: int = 0
    names: list[str] = field(default_factory=list)
    hosts: Counter[str] = field(default_factory=Counter)
    specs: Counter[int] = field(default_factory=Counter)
    values: dict[tuple[int, int], Counter[str | None]] = field(default_factory=dict)
    #: Of the first, as few as are looked for among those that passed: spec and parameters as stored.
    samples: set[tuple[int, str | None]] = field(default_factory=set)
    first: FailedRow | None = None

    def add(self, row: FailedRow, values: Iterable[str | None] = ()) -> None:
        """Count a failure.

        :param values: of its parameters
        """
        self.first = self.first or row
        self.number += 1
        self.again += row.tried_again
        if len(self.names) < MOST_NAMES:
            self.names.append(row.name)
        if len(self.samples) < MOST_VALUES:
            self.samples.add((row.spec, row.params))
        host = row.host or row.only_host
        if host is not None:
            _count(self.hosts, host)
        _count(self.specs, row.spec)
        if len(self.specs) < MOST_VALUES:
            for place, value in enumerate(values):
                _count(self.values.setdefault((row.spec, place), Counter()), value)

    def take(self, other: Kind) -> None:
        """Count the failures of another kind among these."""
        self.first = self.first or other.first
        self.number, self.again = self.number + other.number, self.again + other.again
        self.names = (self.names + other.names)[:MOST_NAMES]
        self.samples = set(islice((*self.samples, *other.samples), MOST_VALUES))
        self.hosts += other.hosts
        self.specs += other.specs
        for place, counted in other.values.items():
            self.values.setdefault(place, Counter()).update(counted)


def _count(counter: Counter[str] | Counter[int] | Counter[str | None], what: str | int | None) -> None:
    if what in counter or len(counter) < MOST_VALUES:
        counter[what] += 1  # type: ignore[index]


def end_of(row: FailedRow) -> End:
    """Return how it ended."""
    return End(row.outcome, row.exit_status, row.signal, row.cause, row.said if row.cause or row.said else row.reason)


def words_of(row: FailedRow, paths: RunPaths, most: int = MOST_LINES) -> tuple[list[str], Path | None]:
    """Return the last lines that it wrote, and the file that they stand in."""
    files = row.outputs(paths)
    if files is None or (row.out_size == 0 and row.err_size == 0):
        return [], None
    return told_lines(*files, most)


class Kinds:
    """Sorts failures by kind."""

    def __init__(self, paths: RunPaths, setups: FailedSetups | None = None):
        self._paths, self._setups = paths, setups
        self._kinds: dict[tuple[str, ...], Kind] = {}
        #: Failures whose last words were not read, by how they ended.
        self.unread: Counter[str] = Counter()

    def add(self, row: FailedRow, values: Iterable[str | None] = (), *, read: bool = True) -> None:
        """Sort a failure in.

        :param values: of its parameters
        :param read: read its last words; else it is counted by how it ended, where nothing else is to be known of it
        """
        end = end_of(row)
        said = ending(end.outcome, end.exit_status, end.signal, None)
        lines, file = words_of(row, self._paths) if read else ([], None)
        if not read and _has_words(row):
            self.unread[said] += 1
            return
        diagnosis = (self._setups and self._setups.why_skipped(row)) or diagnose(end, lines)
        line = diagnosis.line or (lines[-1] if lines else None)
        about = row.reason or end.explained
        key = diagnosis.cause.value, said, normalised(about or ""), normalised(line or "", row)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) >= MOST_KINDS:
                key = diagnosis.cause.value, said, "", "…"
            words = ending(end.outcome, end.exit_status, end.signal, about)
            kind = self._kinds.setdefault(key, Kind(diagnosis, said, words, about, line, file, key[-1] == "…"))
        kind.add(row, values)

    def all(self, *, merge: bool = True) -> list[Kind]:
        """Return the kinds, that with most failures first.

        :param merge: where many say something else each, they are one
        """
        alone: dict[tuple[EndCause, str], list[Kind]] = {}
        for kind in self._kinds.values():
            if kind.number == 1:
                alone.setdefault((kind.diagnosis.cause, kind.ending), []).append(kind)
        merged = [several for several in alone.values() if merge and len(several) >= SCATTERED]
        gone = {id(kind) for several in merged for kind in several}
        found = [kind for kind in self._kinds.values() if id(kind) not in gone]
        for first, *others in merged:
            first.scattered = True
            for other in others:
                first.take(other)
            found.append(first)
        return sorted(found, key=lambda kind: -kind.number)


def _has_words(row: FailedRow) -> bool:
    return row.n > 0 and not (row.out_size == 0 and row.err_size == 0)


def kinds_of(reader: FailureReader, *, everything: bool = False, most: int | None = None) -> Kinds:
    """Return the failures of a run by kind: of its jobs, and of attempts whose jobs went on.

    :param everything: read the last words of all, however many there are
    :param most: look at so many failures only, the first of the run
    """
    found, entries = Kinds(reader.paths, FailedSetups(reader)), reader.entries_by_spec()
    left = MOST_READ
    for row in islice(_all(reader), most):
        entry = entries.get(row.spec)
        found.add(row, () if entry is None else entry.values(row.params), read=everything or left > 0)
        left -= 1
    return found


def _all(reader: FailureReader) -> Iterator[FailedRow]:
    yield from reader.failed()
    yield from reader.tried_again()


def names_with(reader: FailureReader, causes: Iterable[EndCause]) -> list[str]:
    """Return the names of the jobs that ended for one of these causes, by number; a probable one counts as well."""
    wanted, setups = frozenset(causes), FailedSetups(reader)
    return [row.name for row in reader.failed()
            if (setups.why_skipped(row) or diagnose(end_of(row), words_of(row, reader.paths)[0])).cause in wanted]
