"""The values that a command is run for: from the command line (``:::``), from files (``::::``), from standard input.

Several sources are combined, the last one changing fastest; ``:::+`` and ``::::+`` pair a source with the one before
it, value by value. A single file is read while jobs are made; with several sources the jobs are counted first.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from sshjobs.errors import UsageError, printable

_LOG = logging.getLogger(__name__)

#: How many jobs one command may make.
MAX_JOBS = 10_000_000
#: The most bytes of a value: a job with a larger one could not be sent to a host.
MAX_VALUE = 900_000
#: The markers of a source with values and of one with files; with ``+`` it is paired with the source before.
VALUES, FILES = ":::", "::::"
SEPARATORS = (VALUES, f"{VALUES}+", FILES, f"{FILES}+")
_CHUNK = 1 << 16


class Source(NamedTuple):
    """Where values come from.

    :ivar values: the values themselves; ``None`` if they are in ``file``
    :ivar file: path of a file of values, ``-`` for standard input
    :ivar linked: paired with the source before it
    """

    values: Sequence[str] | None = None
    file: str = ""
    linked: bool = False

    @property
    def name(self) -> str:
        """Its name for messages."""
        return "standard input" if self.file == "-" else self.file or VALUES


def split_words(words: Sequence[str], before: Sequence[Source] = ()) -> tuple[list[str], list[Source]]:
    """Return the command and the sources that the words of a command line mean.

    :param before: sources that come before theirs
    :raises UsageError: a source has no source before it to be paired with, or no file is named
    """
    at = next((n for n, word in enumerate(words) if word in SEPARATORS), len(words))
    command, sources = list(words[:at]), list(before)
    while at < len(words):
        separator, start = words[at], at + 1
        at = next((n for n in range(start, len(words)) if words[n] in SEPARATORS), len(words))
        group, linked = list(words[start:at]), separator.endswith("+")
        if linked and not sources:
            raise UsageError(f"{separator} pairs values with those before it, and there are none",
                             hint=f"begin with {separator[:-1]}")
        if not separator.startswith(FILES):
            sources.append(Source(group, linked=linked))
        elif group:
            sources += [Source(file=file, linked=linked) for file in group]
        else:
            raise UsageError(f"{separator} wants the names of files, and there is none")
    return command, sources


class Arguments:
    """The values of every job.

    :param sources: where they come from
    :param nul: values in files end with a NUL byte, not with the line
    :param columns: splits each value into several; a regular expression, or with ``quoted`` one character
    :param quoted: each value is a row of CSV, in which ``"`` may keep a separator or a line end within a column
    :param header: the first row of each source has the names of its columns
    :param hosts: how often each job is run, for the limit
    :ivar count: how many rows there are; ``None`` while nobody knows
    :ivar names: of the columns, where the first row says them
    :raises UsageError: a file cannot be read, paired sources differ in length, or too many jobs would be made
    """

    def __init__(self, sources: Sequence[Source], *, nul: bool = False, columns: str | None = None,
                 quoted: bool = False, header: bool = False, hosts: int = 1):
        if sum(source.file == "-" for source in sources) > 1:
            raise UsageError("standard input can be one source only", hint="name - once")
        self._separator, self._limit = b"\0" if nul else b"\n", MAX_JOBS // hosts
        self._splitter = _splitter(columns, quoted)
        self._sources, self._groups = list(sources), list[list[tuple[str, ...]]]()
        self._header, self.names = header, list[str]()
        self.count: int | None = None
        self._stream: Iterator[tuple[str, ...]] = iter(())
        if len(sources) == 1 and sources[0].values is None:
            self._stream = self._rows_of(sources[0])
        else:
            self._groups = self._load()
            self.count = math.prod(map(len, self._groups))
            self._check(self.count)

    @property
    def width(self) -> int | None:
        """How many values each row has; ``None`` where each row has its own number."""
        return None if self._splitter else len(self._sources)

    @property
    def name(self) -> str:
        """What to call the sources in a message."""
        return ", ".join(source.name for source in self._sources)

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield the values of each job in order. Values from a stream can be read only once.

        :raises UsageError: a mistake that could not be found in the constructor
        """
        if self.count is not None:
            for parts in itertools.product(*self._groups):
                yield tuple(itertools.chain.from_iterable(parts))
            return
        for n, row in enumerate(self._stream, 1):
            self._check(n)
            yield row

    def _rows_of(self, source: Source) -> Iterator[tuple[str, ...]]:
        """Return the rows of one source, without its header."""
        values = iter(source.values) if source.values is not None else self._read(source)
        rows = self._splitter(values, source.name) if self._splitter else ((value,) for value in values)
        if self._header:
            first = next(rows, ())
            if twice := next((name for n, name in enumerate(first) if name in (*self.names, *first[:n])), None):
                raise UsageError(f"two columns are called '{printable(twice)[:60]}'", where=source.name,
                                 hint="rename one, or leave out --header")
            self.names += first
        elif self._splitter and source.values is None:
            return _watched(rows, source.name)
        return rows

    def _load(self) -> list[list[tuple[str, ...]]]:
        groups: list[list[tuple[str, ...]]] = []
        for source in self._sources:
            rows = list(self._rows_of(source))
            if not source.linked:
                groups.append(rows)
                continue
            if len(rows) != len(groups[-1]):
                raise UsageError(f"{source.name}+ pairs {len(rows):,} values with {len(groups[-1]):,}",
                                 hint="paired sources need as many values as each other")
            groups[-1] = [(*before, *row) for before, row in zip(groups[-1], rows, strict=True)]
        return groups

    def _check(self, count: int) -> None:
        if count > self._limit:
            total = f"{count:,}" if self.count is not None else f"more than {self._limit:,}"
            raise UsageError(f"this would make {total} jobs" + ("" if self._limit == MAX_JOBS else " on each host"),
                             why=f"the limit is {MAX_JOBS:,} in all", hint="use fewer values, or more runs")

    def _read(self, source: Source) -> Iterator[str]:
        try:
            file = sys.stdin.buffer if source.file == "-" else open(source.file, "rb")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not a path"
            raise UsageError("the file of values cannot be read", where=source.file, why=why) from None
        with contextlib.nullcontext(file) if source.file == "-" else file:
            for number, value in enumerate(self._pieces(file, source), 1):
                if len(value) > MAX_VALUE:
                    raise UsageError(f"value {number:,} has more than {MAX_VALUE:,} bytes", where=source.name,
                                     hint="put text into files and name those")
                if b"\0" in value:
                    raise UsageError(f"value {number:,} holds a NUL byte", where=source.name,
                                     hint="use -0 if NUL bytes separate the values")
                yield value.decode("utf-8", "surrogateescape")

    def _pieces(self, file: BinaryIO, source: Source) -> Iterator[bytes]:
        """Yield the pieces between separators (the last separator may be missing); of a piece that is too long, only
        its beginning."""
        rest = b""
        while len(rest) <= MAX_VALUE:
            try:
                # Read what is there already: a pipe may stay open for long.
                chunk = os.read(file.fileno(), _CHUNK)
            except OSError as error:
                raise UsageError("the file of values cannot be read", where=source.name, why=error.strerror) from None
            if not chunk:
                break
            *pieces, rest = (rest + chunk).split(self._separator)
            yield from pieces
        if rest:
            yield rest


Splitter = Callable[[Iterable[str], str], Iterator[tuple[str, ...]]]


def _splitter(columns: str | None, quoted: bool) -> Splitter | None:
    """Return a function that makes rows of values; ``None`` if each value is a row of its own."""
    if quoted:
        delimiter = "," if columns is None else {"\\t": "\t"}.get(columns, columns)
        if len(delimiter) != 1 or delimiter in '"\r\n':
            raise UsageError(f"with --csv columns are separated by one character, not by {columns!r}",
                             hint="write --csv --colsep ';', or leave one out")
        return lambda values, name: _csv_rows(values, delimiter, name)
    if columns is None:
        return None
    pattern = _pattern(columns)
    return lambda values, name: (tuple(pattern.split(value)) for value in values)


def _csv_rows(values: Iterable[str], delimiter: str, name: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a CSV file, given its lines; blank ones are none."""
    import csv  # few commands read any

    reader = csv.reader((f"{value}\n" for value in values), delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UsageError(f"line {reader.line_num:,} is no CSV", where=name, why=str(error),
                             hint='a column with " in it is written "…""…"') from None
        if row:
            yield tuple(row)


def _watched(rows: Iterator[tuple[str, ...]], name: str) -> Iterator[tuple[str, ...]]:
    """Yield rows. Warn if the first one looks like a header, which would become a job like any other row."""
    first, second = next(rows, None), next(rows, None)
    if first and second and not any(map(_is_number, first)) and any(map(_is_number, second[: len(first)])):
        _LOG.warning("%s: the first row looks like the names of its columns, and is run like the others; "
                     "to leave it out and write {%s}: --header :", printable(name), printable(first[0])[:40])
    yield from (row for row in (first, second) if row is not None)
    yield from rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _pattern(text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--colsep {text!r} is no regular expression", why=str(error)) from None
    if pattern.groups:
        raise UsageError(f"--colsep {text!r} cannot have groups", hint="write (?:…) instead of (…)")
    return pattern
