"""Prints a sheet: as columns for people, or as csv, tsv, JSON or Markdown for other programs.

Whatever names and values a job gave its results: each row is one line, no text can act on a terminal, and no cell is a
formula to a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from sshjobs.errors import printable
from sshjobs.tables.sheet import Row, Sheet, number_of, text_of
from sshjobs.views import wording

#: The beginnings of what a spreadsheet takes for a formula.
_FORMULA = ("=", "+", "-", "@")
#: How many characters of a value are shown in columns for people.
_WIDEST = 100
#: How many rows are printed at a time.
_PIECE = 1000


def printed(sheet: Sheet, form: str) -> Iterator[str]:
    """Yield a sheet in print, in pieces.

    :param form: one of :data:`FORMS`
    """
    return FORMS[form](sheet)


def _text(sheet: Sheet) -> Iterator[str]:
    from rich.cells import cell_len

    rows = [list(map(printable, sheet.names))]
    rows += [[_cut(_short(name, value)) or "-" for name, value in zip(sheet.names, row, strict=True)]
             for row in sheet.rows]
    wide = any(not cell.isascii() for row in rows for cell in row)
    length: Callable[[str], int] = cell_len if wide else len
    widths = [max(map(length, column)) for column in zip(*rows, strict=True)]
    right = _numeric(sheet)
    if not wide:
        # Every character takes one cell, so Python's own padding is right, and faster.
        pads = [str.rjust if n in right else str.ljust for n in range(len(widths))]
        for row in rows:
            padded = [pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)]
            yield "  ".join(padded).rstrip() + "\n"
        return
    for row in rows:
        cells = (" " * (width - length(cell)) + cell if n in right else cell + " " * (width - length(cell))
                 for n, (cell, width) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip() + "\n"


def _markdown(sheet: Sheet) -> Iterator[str]:
    right = _numeric(sheet)
    yield _line_of(map(printable, sheet.names))
    yield _line_of("---:" if n in right else "---" for n in range(len(sheet.names)))
    for row in sheet.rows:
        yield _line_of(_short(name, value) for name, value in zip(sheet.names, row, strict=True))


def _line_of(cells: Iterable[str]) -> str:
    marked = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(marked)} |\n"


def _separated(sheet: Sheet, separator: str) -> Iterator[str]:
    for first in range(0, len(sheet.rows) + 1, _PIECE):
        buffer = io.StringIO()
        writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
        if not first:
            writer.writerow(map(_cell, sheet.names))
        writer.writerows(map(_cell, row) for row in sheet.rows[first:first + _PIECE])
        yield buffer.getvalue()


def _json(sheet: Sheet) -> Iterator[str]:
    # ASCII only, so that no text from a host can act on a terminal.
    before = "[\n"
    for row in sheet.as_dicts():
        yield before + json.dumps(row).replace("\x7f", "\\u007f")
        before = ",\n"
    yield "\n]\n" if sheet.rows else "[]\n"


#: The function that prints a sheet in each format.
FORMS: dict[str, Callable[[Sheet], Iterator[str]]] = {
    "text": _text, "csv": lambda sheet: _separated(sheet, ","), "tsv": lambda sheet: _separated(sheet, "\t"),
    "json": _json, "md": _markdown}


def _short(name: str, value: Any) -> str:
    """Return a value for people: times in milliseconds, memory with its unit, other numbers with six digits."""
    column, _, figure = name.partition(".")
    if isinstance(value, str | bool) or not isinstance(value, int | float) or figure == "count":
        text = text_of(value)
    elif column == "memory":
        text = wording.size(round(value))
    elif name == "started":
        text = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value))
    elif column in ("seconds", "cpu"):
        text = f"{value:.3f}"
    else:
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return printable(text)


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST - 1]}…"


def _cell(value: Any) -> str:
    """Return a value for programs: with all digits, and text so that it is text to a spreadsheet, too."""
    text = printable(text_of(value) if not isinstance(value, float) else repr(value))
    return f"'{text}" if text.startswith(_FORMULA) and number_of(value) is None else text


def _numeric(sheet: Sheet) -> set[int]:
    """Return the places of the columns of numbers."""
    return {n for n in range(len(sheet.names)) if _is_numeric(sheet.rows, n)}


def _is_numeric(rows: list[Row], place: int) -> bool:
    found = False
    for row in rows:
        if row[place] is not None:
            if number_of(row[place]) is None:
                return False
            found = True
    return found
