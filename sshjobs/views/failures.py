"""What failed in a run, in a few lines: jobs that failed alike are one kind."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from sshjobs.diagnosis.groups import Kind, Kinds
from sshjobs.model.states import Outcome
from sshjobs.store.failed import FailureReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.base import nearest_path

#: How many failed jobs have their last words read, to group those that failed alike.
MAX_READ = 2_000
#: How many jobs of a group are named.
MAX_NAMES = 3


def failures(paths: RunPaths, total: int, word: str, room: tuple[int, int]) -> Iterator[str]:
    """Yield lines about the failed jobs of a run, by kind, the kind with most jobs first.

    :param total: how many failed jobs there are, without cancelled ones
    :param room: the columns and rows available; a kind is shown completely or not at all, and at least one is shown
    """
    kinds = Kinds(paths)
    with FailureReader.open(paths) as reader:
        failed = (row for row in reader.failed() if row.outcome != Outcome.CANCELLED)
        for row in islice(failed, min(total, MAX_READ)):
            kinds.add(row)
    more, left = total, room[1]
    for kind in kinds.all(merge=False):
        lines = list(_lines(kind))
        left -= sum(rows_of(line, room[0]) for line in lines)
        if left < 0 and more < total:
            break
        more -= kind.number
        yield from lines
    if more:
        yield f"  and {more:,} more: sshjobs status {word} --all"


def rows_of(line: str, columns: int) -> int:
    """Return how many rows a line takes on a screen."""
    return -(-len(line) // max(1, columns)) or 1


def _lines(kind: Kind) -> Iterator[str]:
    first = kind.first
    if kind.number == 1 and first is not None:
        tries = f", attempt {first.n}" if first.n > 1 else ""
        where = f" on {first.host}" if first.host else ""
        yield f"  {first.name}{where}: {kind.words}{tries}"
    else:
        names = kind.names[:MAX_NAMES]
        more = f" and {kind.number - len(names):,} more" if kind.number > len(names) else ""
        yield f"  {kind.number:,} jobs, {', '.join(names)}{more}: {kind.words}"
    if kind.line is not None and kind.file is not None:
        yield f"      {kind.line}"
        yield f"      {nearest_path(kind.file)}"
