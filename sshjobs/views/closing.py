"""What is left to read when a run has ended: how it went, what failed and why, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from sshjobs.diagnosis.groups import Kind, Kinds
from sshjobs.model.states import FINAL_STATES, STATE_ERROR, Outcome
from sshjobs.store.failed import FailureReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views import wording
from sshjobs.views.base import SCREEN, Event

#: Failed jobs whose last words are read, to see which failed alike.
MAX_READ = 2_000
#: Jobs of a group that are named.
MAX_NAMES = 3


def paths_of(event: Event) -> RunPaths:
    """Return the paths of the run that an event ``run`` or ``end`` is about."""
    root = Path(event["directory"])
    return RunPaths(root.parent, root.name)


def closing(event: Event, elapsed: float | None, word: str, *, brief: bool = False,
            screen: tuple[int, int] = SCREEN) -> Iterator[str]:
    """Yield the lines of the summary, no more than a screen has: what failed, what to do about it, and, last of all,
    where the reader looks first, how the run ended.

    :param event: the event ``end``
    :param elapsed: seconds that the run was watched for
    :param word: what to type for the run
    :param brief: each failure was told, and outputs were printed: nothing is said twice
    :param screen: columns and rows of the screen
    """
    paths, counts = paths_of(event), event["counts"]
    total = sum(counts.values())
    left = sum(number for state, number in counts.items() if state not in FINAL_STATES)
    cancelled = event["outcomes"].get(Outcome.CANCELLED, 0)
    last = []
    if left:
        last.append(f"{wording.count(left, 'job')} not over; go on with: sshjobs resume {word}")
    if cancelled:
        last.append(wording.left_out(cancelled, word))
    if not brief:
        last.append(f"outputs: {nearest_path(paths.jobs)}/<job>/stdout and stderr")
    took = "" if elapsed is None else f" in {wording.duration(elapsed)}"
    took += wording.rule(event.get("rule"))
    last.append(f"{event['run']} {event['state']}: {wording.counts(counts)} of {wording.count(total, 'job')}{took}")
    if counts[STATE_ERROR] > cancelled and not brief:
        with FailureReader.open(paths) as reader:
            # Two rows are left: for how many more there are, and for what the shell writes.
            rows = screen[1] - sum(_rows(line, screen[0]) for line in last) - 2
            yield from failures(reader, counts[STATE_ERROR] - cancelled, word, (screen[0], rows))
    yield from last


def failures(reader: FailureReader, total: int, word: str, room: tuple[int, int]) -> Iterator[str]:
    """Yield lines about the failed jobs of a run, those of one kind together, the kind with most jobs first.

    :param total: how many there are; cancelled ones are none of them
    :param room: columns and rows that there are; a kind is shown whole or not, and at least one is
    """
    failed = (row for row in reader.failed() if row.outcome != Outcome.CANCELLED)
    kinds = Kinds(reader.paths)
    for row in islice(failed, min(total, MAX_READ)):
        kinds.add(row)
    more, left = total, room[1]
    for kind in kinds.all(merge=False):
        lines = list(_lines(kind))
        left -= sum(_rows(line, room[0]) for line in lines)
        if left < 0 and more < total:
            break
        more -= kind.number
        yield from lines
    if more:
        yield f"  and {more:,} more: sshjobs status {word} --all"


def _rows(line: str, columns: int) -> int:
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


def nearest_path(path: Path) -> str:
    """Return the shorter of the absolute path and that from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
