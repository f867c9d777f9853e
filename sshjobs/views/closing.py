"""What is left to read when a run has ended: how it went, what failed and why, and where everything is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from sshjobs.model.states import FINAL_STATES, STATE_ERROR, Outcome
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, JobRow
from sshjobs.store.rundir import RunPaths
from sshjobs.views import wording
from sshjobs.views.base import SCREEN, Event

#: Failed jobs whose last words are read, to see which failed alike.
MAX_READ = 2_000
#: Jobs of a group that are named.
MAX_NAMES = 3
#: What tells apart messages of one kind: numbers, addresses, digests.
_VARYING = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,}\b|\d+")


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
        last.append(f"outputs: {_nearest(paths.jobs)}/<job>/stdout and stderr")
    took = "" if elapsed is None else f" in {wording.duration(elapsed)}"
    took += wording.rule(event.get("rule"))
    last.append(f"{event['run']} {event['state']}: {wording.counts(counts)} of {wording.count(total, 'job')}{took}")
    if counts[STATE_ERROR] > cancelled and not brief:
        with RunReader.open(paths) as reader:
            # Two rows are left: for how many more there are, and for what the shell writes.
            rows = screen[1] - sum(_rows(line, screen[0]) for line in last) - 2
            yield from failures(reader, counts[STATE_ERROR] - cancelled, word, (screen[0], rows))
    yield from last


@dataclass
class _Kind:
    """Jobs that failed alike: they ended in the same way, and their last words differ in numbers at most."""

    ending: str
    said: str | None
    file: Path | None
    first: str
    names: list[str]
    number: int = 0


def failures(reader: RunReader, total: int, word: str, room: tuple[int, int]) -> Iterator[str]:
    """Yield lines about the failed jobs of a run, those of one kind together, the kind with most jobs first.

    :param total: how many there are; cancelled ones are none of them
    :param room: columns and rows that there are; a kind is shown whole or not, and at least one is
    """
    kinds: dict[tuple[str, str], _Kind] = {}
    failed = (job for job in reader.jobs([STATE_ERROR]) if job.outcome != Outcome.CANCELLED)
    read = list(islice(failed, min(total, MAX_READ)))
    attempts = reader.attempts_of(job.number for job in read)
    for job in read:
        _sort_in(kinds, reader.paths, job, attempts[job.number])
    more, left = total, room[1]
    for kind in sorted(kinds.values(), key=lambda kind: -kind.number):
        lines = list(_lines(kind))
        left -= sum(_rows(line, room[0]) for line in lines)
        if left < 0 and more < total:
            break
        more -= kind.number
        yield from lines
    if more:
        yield f"  and {more:,} more: sshjobs status {word} --all"


def _sort_in(kinds: dict[tuple[str, str], _Kind], paths: RunPaths, job: JobRow, attempts: list[AttemptRow]) -> None:
    ending = wording.ending(job.outcome, job.exit_status, job.signal, job.reason)
    said, file = wording.told(paths.stdout(job.name), paths.stderr(job.name)) if attempts else (None, None)
    # The status of an exit is a number that tells kinds apart; numbers in what was said, mostly, do not.
    key = f"{job.exit_status} {job.signal} {_VARYING.sub('#', ending)}", _VARYING.sub("#", said or "")
    kind = kinds.get(key)
    if kind is None:
        tries = f", attempt {len(attempts)}" if len(attempts) > 1 else ""
        where = f" on {job.host}" if job.host else ""
        kind = kinds[key] = _Kind(ending, said, file, f"{job.name}{where}: {ending}{tries}", [])
    kind.number += 1
    if len(kind.names) < MAX_NAMES:
        kind.names.append(job.name)


def _rows(line: str, columns: int) -> int:
    return -(-len(line) // max(1, columns)) or 1


def _lines(kind: _Kind) -> Iterator[str]:
    if kind.number == 1:
        yield f"  {kind.first}"
    else:
        more = f" and {kind.number - len(kind.names):,} more" if kind.number > len(kind.names) else ""
        yield f"  {kind.number:,} jobs, {', '.join(kind.names)}{more}: {kind.ending}"
    if kind.said is not None and kind.file is not None:
        yield f"      {kind.said}"
        yield f"      {_nearest(kind.file)}"


def _nearest(path: Path) -> str:
    """Return the shorter of the absolute path and that from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
