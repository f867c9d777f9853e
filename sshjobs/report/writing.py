"""Writes a report: whole or not at all, and over nothing that is no report."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from sshjobs.errors import UsageError
from sshjobs.report.figures import figures_of
from sshjobs.report.page import MARK, page_of
from sshjobs.store.rundir import RunPaths


def write_report(paths: RunPaths, where: Path) -> int:
    """Write the report of a run into a file that its owner alone can read, as all of a run; return its bytes. A report
    that is there is replaced.

    :raises StoreError: the store of the run cannot be read
    :raises UsageError: the file cannot be written, or something else is there
    """
    _check(where)
    figures = figures_of(paths)
    aside = where.with_name(f".{where.name[:200]}.{secrets.token_hex(4)}.new")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.writelines(page_of(figures))
            size = aside.stat().st_size
            os.replace(aside, where)
        except BaseException:
            with contextlib.suppress(OSError):
                aside.unlink()
            raise
    except OSError as error:
        raise UsageError("the report cannot be written", where=str(where), why=error.strerror or str(error),
                         hint="choose another place with -o") from error
    return size


def _check(where: Path) -> None:
    try:
        with open(where, "rb") as file:
            begin = file.read(len(MARK))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError("the report cannot be written", where=str(where), why=error.strerror,
                         hint="choose another place with -o") from error
    if begin and begin != MARK.encode():
        raise UsageError("there is a file that is no report", where=str(where), hint="choose another place with -o")
