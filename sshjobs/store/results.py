"""Large results of attempts: once they are in the store a manager drops them from memory, and reads them when they are
asked for, so that results do not fill its memory."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from sshjobs.model.attempt import Attempt
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths

#: Results of at most so many characters stay in memory.
MOST_KEPT = 1000


def put_aside(attempts: Iterable[Attempt], paths: RunPaths) -> None:
    """Drop large results of attempts from memory; they must be in the store already."""
    for attempt in attempts:
        if attempt.result_json is not None and len(attempt.result_json) > MOST_KEPT:
            attempt.stored_result, attempt.result_json = partial(_read, paths), None


def _read(paths: RunPaths, uid: str) -> str | None:
    """:raises StoreError: the store cannot be read any more"""
    number, n = map(int, uid.split("."))
    with RunReader.open(paths) as reader:
        return next((row.result for row in reader.attempts_of([number])[number] if row.n == n), None)
