"""What is left to read when a run has ended: how it went, what failed and why, and where everything is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sshjobs.model.states import FINAL_STATES, STATE_ERROR, Outcome
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, JobRow
from sshjobs.store.rundir import RunPaths
from sshjobs.views import wording
from sshjobs.views.base import Event

#: Failed jobs that are named one by one.
MAX_FAILURES = 50


def paths_of(event: Event) -> RunPaths:
    """Return the paths of the run that an event ``run`` or ``end`` is about."""
    root = Path(event["directory"])
    return RunPaths(root.parent, root.name)


def closing(event: Event, elapsed: float | None, word: str, *, brief: bool = False) -> Iterator[str]:
    """Yield the lines of the summary.

    :param event: the event ``end``
    :param elapsed: seconds that the run was watched for
    :param word: what to type for the run
    :param brief: each failure was told, and outputs were printed: nothing is said twice
    """
    paths = paths_of(event)
    total = sum(event["counts"].values())
    left = sum(number for state, number in event["counts"].items() if state not in FINAL_STATES)
    took = "" if elapsed is None else f" in {wording.duration(elapsed)}"
    yield f"{event['run']} {event['state']}: {wording.counts(event['counts'])} of {wording.count(total, 'job')}{took}"
    if event["counts"][STATE_ERROR] and not brief:
        with RunReader.open(paths) as reader:
            yield from failures(reader, event["counts"][STATE_ERROR], word)
    if left:
        yield f"{wording.count(left, 'job')} not over; go on with: sshjobs resume {word}"
    if cancelled := event["outcomes"].get(Outcome.CANCELLED, 0):
        were = "1 job was" if cancelled == 1 else f"{wording.count(cancelled, 'job')} were"
        # A resume leaves them out, and somebody who interrupted the run may not know.
        yield f"{were} cancelled; to run what did not succeed, too: sshjobs retry {word} --failed"
    if not brief:
        yield f"outputs: {_nearest(paths.jobs)}/<job>/stdout and stderr"


def failures(reader: RunReader, total: int, word: str) -> Iterator[str]:
    """Yield lines about the failed jobs of a run, the first :data:`MAX_FAILURES` of them.

    :param total: how many there are
    """
    jobs = list(reader.jobs([STATE_ERROR], limit=MAX_FAILURES))
    attempts = reader.attempts_of(job.number for job in jobs)
    for job in jobs:
        yield from _failure(reader.paths, job, attempts[job.number])
    if total > len(jobs):
        yield f"  and {total - len(jobs):,} more: sshjobs status {word} --all"


def _failure(paths: RunPaths, job: JobRow, attempts: list[AttemptRow]) -> Iterator[str]:
    where = f" on {job.host}" if job.host else ""
    tries = f", attempt {len(attempts)}" if len(attempts) > 1 else ""
    yield f"  {job.name}{where}: {wording.ending(job.outcome, job.exit_status, job.signal, job.reason)}{tries}"
    if not attempts:
        return
    line, file = wording.told(paths.stdout(job.name), paths.stderr(job.name))
    if line is not None:
        yield f"      {line}"
    yield f"      {_nearest(file)}"


def _nearest(path: Path) -> str:
    """Return the shorter of the absolute path and that from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)
