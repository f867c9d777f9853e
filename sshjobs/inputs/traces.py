"""Files that say how long jobs took: CSV with a line of headings, and traces in the Standard Workload Format (SWF)."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, NoReturn, TextIO

from sshjobs.errors import InputError, Problem
from sshjobs.model.given import MAX_SLOTS
from sshjobs.model.sizes import parse_memory

#: Rows of a file; characters of a line; columns.
MOST_ROWS, MOST_CHARACTERS, MOST_COLUMNS = 2_000_000, 100_000, 200
#: No job takes longer, in seconds: thirty years.
LONGEST_S = 1e9
#: Columns of a CSV that are no parameters.
_OWN = ("seconds", "job", "host", "submit", "cpus", "memory")
#: Fields of a line of SWF, and the places of those that are read: submit time, run time, processors that it got and
#: that it asked for, kilobytes that it asked for, for each of them, program.
_FIELDS, _SUBMIT, _TAKES, _GOT, _ASKED, _MEMORY, _PROGRAM = 18, 1, 3, 4, 7, 9, 13


class TraceJob(NamedTuple):
    """A job of such a file.

    :ivar submit: when it came, in seconds after the first
    :ivar cpus: slots; ``memory``: bytes
    """

    entry: str
    params: dict[str, str]
    seconds: float
    host: str | None = None
    submit: float = 0.0
    cpus: int = 1
    memory: int = 0


class Trace(NamedTuple):
    """What a file holds. ``unknown``: how many jobs it does not know the length of; they are left out."""

    jobs: list[TraceJob]
    unknown: int


def load_trace(path: str) -> Trace:
    """Return the jobs of a file: SWF where its name ends in ``.swf``, else CSV.

    :raises InputError: it cannot be read, or a row of it cannot be understood: the first such, with its line
    """
    rows: list[TraceJob] = []
    unknown = 0
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            lines = _bounded(path, file)
            for job in _swf(path, lines) if path.lower().endswith(".swf") else _csv(path, lines):
                if job is None:
                    unknown += 1
                else:
                    rows.append(job)
    except OSError as error:
        raise InputError([Problem(path, 0, 0, f"cannot be read: {error.strerror}; name a file of CSV or SWF")]
                         ) from error
    if not rows:
        raise InputError([Problem(path, 0, 0, "tells of no job how long it took; name another file")])
    first = min(job.submit for job in rows)
    return Trace([job._replace(submit=job.submit - first) for job in rows], unknown)


def _bounded(path: str, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(MOST_CHARACTERS + 1):
        number += 1
        if len(line) > MOST_CHARACTERS:
            _refuse(path, number, f"has more than {MOST_CHARACTERS:,} characters; shorten it")
        if number > MOST_ROWS:
            _refuse(path, number, f"is more than the limit of {MOST_ROWS:,} lines; leave some out")
        yield line


def _refuse(path: str, line: int, what: str) -> NoReturn:
    raise InputError([Problem(path, line, 1, what)])


def _csv(path: str, lines: Iterator[str]) -> Iterator[TraceJob | None]:
    reader = csv.reader(lines, strict=True)
    headings: list[str] | None = None
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            _refuse(path, reader.line_num, f"is no line of CSV: {error}; correct it")
        if row is None:
            return
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        if headings is None:
            headings = _headings(path, reader.line_num, row)
        else:
            yield _csv_job(path, reader.line_num, headings, row)


def _headings(path: str, line: int, row: Sequence[str]) -> list[str]:
    names = [name.strip().removeprefix("\ufeff") for name in row]
    if "seconds" not in names:
        _refuse(path, line, "has no heading 'seconds'; the first line names the columns: "
                            "job,seconds,host,submit,cpus,memory, and parameters by their names")
    if len(names) > MOST_COLUMNS or len(set(names)) < len(names) or "" in names:
        _refuse(path, line, f"names its columns badly; give each of them, at most {MOST_COLUMNS}, a name of its own")
    return names


def _csv_job(path: str, line: int, headings: Sequence[str], row: Sequence[str]) -> TraceJob:
    if len(row) != len(headings):
        _refuse(path, line, f"has {len(row)} columns, the first line {len(headings)}; correct it")
    cells = {name: cell.strip() for name, cell in zip(headings, row, strict=True)}

    def number(name: str, least: float, most: float, default: float) -> float:
        return _number(path, line, name, cells.get(name, ""), least, most, default)

    memory = cells.get("memory", "")
    try:
        size = parse_memory(memory) if memory else 0
    except ValueError:
        _refuse(path, line, f"memory cannot be {memory!r:.40}; write 512M or 4G")
    return TraceJob(cells.get("job") or "job", {name: cells[name] for name in headings if name not in _OWN},
                    number("seconds", 0.0, LONGEST_S, math.nan), cells.get("host") or None,
                    number("submit", -LONGEST_S * 10, LONGEST_S * 10, 0.0), int(number("cpus", 1, MAX_SLOTS, 1)), size)


def _swf(path: str, lines: Iterator[str]) -> Iterator[TraceJob | None]:
    for line, text in enumerate(lines, 1):
        fields = text.split(";")[0].split()
        if not fields:
            continue
        if len(fields) != _FIELDS:
            _refuse(path, line, f"has {len(fields)} fields, a job of SWF has {_FIELDS}; correct it")
        values = [_number(path, line, f"field {n}", field, -LONGEST_S * 100, LONGEST_S * 100, math.nan)
                  for n, field in enumerate(fields, 1)]
        if values[_TAKES] < 0:
            # As the format says: it is not known.
            yield None
            continue
        cpus = int(max(values[_ASKED], values[_GOT], 1))
        program = int(values[_PROGRAM])
        yield TraceJob(f"program {program}" if program > 0 else "job", {}, min(values[_TAKES], LONGEST_S), None,
                       values[_SUBMIT], min(cpus, MAX_SLOTS), int(max(values[_MEMORY], 0)) * 1024 * cpus)


def _number(path: str, line: int, name: str, text: str, least: float, most: float, default: float) -> float:
    """Return a number of a row; the default where nothing stands there, unless that is none."""
    if not text and not math.isnan(default):
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        _refuse(path, line, f"{name} cannot be {text!r:.40}; write a number from {least:g} to {most:g}")
    return value
