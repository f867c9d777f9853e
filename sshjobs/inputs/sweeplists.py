"""The lists of a sweep: what ``matrix`` and ``rows`` may be written as, beside lists of values."""

from __future__ import annotations

import csv
import glob
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, overload

from sshjobs.errors import InputError, Problem, hidden_in
from sshjobs.inputs.limits import MOST_JOBS
from sshjobs.inputs.source import check_text, read_input
from sshjobs.model.params import NAME

#: The largest file of lines or rows, in bytes.
MAX_BYTES = 64 * 2**20
#: The most values of one list, and the most rows.
MAX_VALUES = MOST_JOBS

_NUMBER = r"([+-]?[0-9]{1,12}(?:\.[0-9]{1,12})?)"
_RANGE = re.compile(rf"{_NUMBER}\.\.{_NUMBER}(?:/{_NUMBER})?")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")
_DIGITS = re.compile(r"([0-9]+)")
_ILLEGAL = "letters, digits and _, and begins with no digit"


class Range(Sequence[str]):
    """The numbers from one to another, as text; exact, and made when asked for. The last one is included where the step
    leads to it.

    :raises ValueError: the step is not above zero, or there are too many; the text says so
    """

    def __init__(self, first: Decimal, last: Decimal, step: Decimal):
        if step <= 0:
            raise ValueError(f"the step must be above 0, got {step}; write 1..100/10, or 100..1/10 to count down")
        self._first = first
        self._step = step if last >= first else -step
        self._number = int((last - first) // self._step) + 1
        if self._number > MAX_VALUES:
            raise ValueError(f"this has {self._number:,} values, the limit is {MAX_VALUES:,}; take a larger step")

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self[n] for n in range(*index.indices(self._number))]
        if not 0 <= index < self._number:
            raise IndexError(index)
        value = self._first + index * self._step
        return format(value.normalize(), "f") if value else "0"


def range_of(text: str) -> Range | None:
    """Return the numbers that ``1..100`` or ``1..100/10`` means, ``None`` where a text is no such thing.

    :raises ValueError: it cannot be; the text says why
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None:
        return None
    for number in found.groups():
        if number is not None and _LEADING_ZERO.match(number):
            raise ValueError(f"{number} begins with 0; write the number without it")
    first, last, step = (Decimal(one) if one is not None else Decimal(1) for one in found.groups())
    return Range(first, last, step)


def paths_of(pattern: str, base_dir: str) -> list[str]:
    """Return the paths that fit a pattern, as it says them, in the order of people: ``a2`` before ``a10``.

    :param base_dir: what relative patterns are relative to
    :raises ValueError: none fits, or too many; the text says so
    """
    if "\0" in pattern:
        raise ValueError("a pattern cannot hold a NUL byte; take it out")
    found = list(islice(glob.iglob(pattern, root_dir=base_dir, recursive=True), MAX_VALUES + 1))
    if not found:
        raise ValueError(f"nothing in {base_dir} fits '{pattern}'; correct the pattern, or make the files first")
    if len(found) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} paths fit '{pattern}'; narrow it")
    for path in found:
        if hidden := hidden_in(path):
            raise ValueError(f"'{path}' has U+{ord(hidden[0]):04X} in its name, a control or invisible character; "
                             "rename it")
    return sorted(found, key=_natural)


def _natural(path: str) -> tuple[list[tuple[int, int, str]], str]:
    parts = _DIGITS.split(path)
    return [(0, int(part), "") if n % 2 else (1, 0, part) for n, part in enumerate(parts)], path


def lines_of(path: str, base_dir: str) -> list[str]:
    """Return the lines of a file that are not blank.

    :raises InputError: it cannot be read, or is no text
    :raises ValueError: it has no lines, or too many; the text says so
    """
    lines = [line for line in _text(path, base_dir).split("\n") if line.strip()]
    if not lines:
        raise ValueError(f"'{path}' has no lines; write one value a line")
    if len(lines) > MAX_VALUES:
        raise ValueError(f"'{path}' has {len(lines):,} lines, the limit is {MAX_VALUES:,}; split it")
    return lines


class Rows:
    """Combinations from a file.

    :ivar names: of its columns
    :ivar rows: the values of each, text as it is written there
    """

    def __init__(self, names: Sequence[str], rows: Sequence[tuple[str, ...]]):
        self.names, self.rows = tuple(names), rows


def rows_of(path: str, base_dir: str) -> Rows:
    """Return the rows of a table.

    :param path: it ends in ``.csv`` or ``.tsv``, whose first row has the names of the columns, or in ``.jsonl``, of
        which each line is an object
    :raises InputError: all mistakes in it, with their lines
    :raises ValueError: its name tells nothing, or it is no table; the text says what is wrong
    """
    kind = os.path.splitext(path)[1].lower()
    if kind not in (".csv", ".tsv", ".jsonl"):
        raise ValueError(f"'{path}' must end in .csv, .tsv or .jsonl; rename it")
    table = _Table(os.path.join(base_dir, path) if base_dir != os.getcwd() else path)
    text = _text(path, base_dir)
    if kind == ".jsonl":
        table.read_objects(text)
    else:
        table.read_cells(text, "," if kind == ".csv" else "\t")
    if table.problems:
        raise InputError(table.problems)
    if not table.rows:
        raise ValueError(f"'{path}' has no rows; write one combination a line, below the names of the columns")
    return Rows(table.names, table.rows)


def _text(path: str, base_dir: str) -> str:
    full = os.path.join(base_dir, path) if base_dir != os.getcwd() else path
    text = check_text(read_input(full, MAX_BYTES), full).decode()
    return text.replace("\r\n", "\n")


class _Table:
    """What is read of a table so far, and the mistakes in it."""

    #: So many mistakes are told.
    MOST = 100

    def __init__(self, file: str):
        self.file = file
        self.names: list[str] = []
        self.rows: list[tuple[str, ...]] = []
        self.problems: list[Problem] = []
        #: Each text once: columns repeat theirs.
        self._texts: dict[str, str] = {}

    def say(self, line: int, message: str) -> bool:
        """Note a mistake; tell whether further ones are of interest."""
        self.problems.append(Problem(self.file, line, 1, message))
        return len(self.problems) < self.MOST

    def add(self, line: int, values: Sequence[str]) -> bool:
        if len(self.rows) >= MAX_VALUES:
            self.say(line, f"more than {MAX_VALUES:,} rows; split the file")
            return False
        self.rows.append(tuple(self._texts.setdefault(value, value) for value in values))
        return True

    def read_cells(self, text: str, delimiter: str) -> None:
        for line, cells in self._cells(text, delimiter):
            if not self.names:
                self.names = cells
                self._check_names(line)
            elif len(cells) != len(self.names):
                columns = f"{len(cells)} column{'' if len(cells) == 1 else 's'}"
                if not self.say(line, f"{columns}, and the first row has {len(self.names)}; complete the row"):
                    return
            elif not self.add(line, cells):
                return

    def _cells(self, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row that is not blank with its line."""
        reader = csv.reader(_lines(text), delimiter=delimiter, strict=True)
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                self.say(line, f"no table: {error}; a column with \" in it is written \"…\"\"…\"")
                return
            if cells is None:
                return
            if cells:
                yield line, cells

    def _check_names(self, line: int) -> None:
        seen = set[str]()
        for name in self.names:
            if not NAME.fullmatch(name):
                self.say(line, f"a column cannot be called '{name[:60]}': it is a parameter, whose name has "
                               f"{_ILLEGAL}; rename it")
            elif name in seen:
                self.say(line, f"two columns are called '{name}'; rename one")
            seen.add(name)

    def read_objects(self, text: str) -> None:
        for number, line in enumerate(_lines(text), 1):
            if line.strip() and not self._object(number, line):
                return

    def _object(self, number: int, line: str) -> bool:
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs, parse_int=_Written, parse_float=_Written,
                               parse_constant=_Written)
        except (ValueError, RecursionError) as error:
            return self.say(number, f"no JSON: {str(error).split(': line')[0]}; write one object a line")
        if not isinstance(pairs, _Pairs):
            return self.say(number, 'no object; write {"lr": 0.1, "seed": 1}')
        names = [name for name, _ in pairs]
        if not self.names:
            self.names = names
            if not names:
                return self.say(number, "an object without names; write one parameter at least")
            self._check_names(number)
        if sorted(names) != sorted(self.names):
            return self.say(number, f"the names are {', '.join(names)[:80]}, and in the first line "
                                    f"{', '.join(self.names)[:80]}; give each line the same")
        values = dict(pairs)
        for name, value in pairs:
            if (text := scalar_text(value)) is None:
                return self.say(number, f"{name} must be text, a number, true or false; put it into quotes")
            values[name] = text
        return self.add(number, [values[name] for name in self.names])


def scalar_text(value: Any) -> str | None:
    """Return the text that a value of a program or of JSON stands for, ``None`` where it is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, int):
        return int.__repr__(value)
    return float.__repr__(value) if isinstance(value, float) else None


class _Pairs(list[tuple[str, Any]]):
    """The names and values of an object, as they were written."""


class _Written(str):
    """A number as it was written."""


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text with their ends, one at a time."""
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        yield text[at:end]
        at = end


def tables_of(given: Sequence[Mapping[str, Any]]) -> Rows:
    """Return rows that a program gave as mappings.

    :raises ValueError: they are none; the text says what is wrong
    """
    names = list(given[0]) if given and isinstance(given[0], Mapping) else []
    for name in names:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ValueError(f"a parameter cannot be called {name!r:.60}: its name has {_ILLEGAL}; rename it")
    rows = []
    for number, row in enumerate(given, 1):
        if not isinstance(row, Mapping) or sorted(map(str, row)) != sorted(names):
            raise ValueError(f"row {number} is no mapping of {', '.join(names)[:80] or 'names to values'}; "
                             "give each row the same names")
        values = [scalar_text(row[name]) for name in names]
        if None in values:
            name = names[values.index(None)]
            raise ValueError(f"row {number}: {name} must be text or a number, got {type(row[name]).__name__}")
        rows.append(tuple(value for value in values if value is not None))
    if not rows:
        raise ValueError("there are no rows; give one at least")
    return Rows(names, rows)
