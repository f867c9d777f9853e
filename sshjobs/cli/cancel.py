"""``sshjobs cancel``."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle, named_jobs, run_and_jobs
from sshjobs.errors import EXIT_OK, UsageError, printable
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import JobRow
from sshjobs.store.rundir import RunPaths
from sshjobs.views import wording
from sshjobs.views.base import Event
from sshjobs.views.wording import count

if TYPE_CHECKING:
    from sshjobs.running.receipts import Receipt

#: Seconds between two looks at the run.
INTERVAL = 0.1
#: Seconds after which, and then as often, it is said what is waited for.
PATIENCE = 2.0
#: Seconds after which the processes that do not die are asked for: TERM and KILL have had their time.
STUCK_AFTER = 15.0
#: Seconds that the manager of a cancelled run gets to clean up and leave.
PARTING = 45.0
#: Jobs that are named in a line.
MAX_NAMES = 5
_UNFINISHED = (STATE_BUSY, STATE_UNKNOWN, STATE_FREE)


@click.command("cancel")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All jobs that are not over; the run ends then.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@json_option
@results_option
def command(words: tuple[str, ...], everything: bool, verbose: int, as_json: bool, results: Path) -> int:
    """End jobs of RUN; of the newest run if it is left out. A JOB is a name, a pattern
    such as 'fit-*', or parameters as in 'train[lr=0.1]'.

    Returns when every one of them is proved to be over: it has ended, no process of it is alive, or it will never
    start. Ctrl-C only ends the waiting.
    """
    configure(verbose)
    paths, names = run_and_jobs(results, words)
    if bool(names) == everything:
        what = "name jobs or say --all, not both" if names else "nothing was named to cancel"
        raise UsageError(what, hint=f"for all of run {paths.name}: sshjobs cancel {handle(paths)} --all")
    with RunReader.open(paths) as reader:
        jobs = named_jobs(reader, names)
        names = [job.name for job in jobs]
        ended = [job.name for job in jobs if job.state in FINAL_STATES]
        before = reader.summary().outcomes.get("cancelled", 0)
        acts = everything or len(ended) < len(jobs)
        if acts:
            _cancel(paths, names or None)
            _wait(reader, names)
        done = _done(reader, names, ended, before)
        if not as_json:
            click.echo(_told(reader, names, done))
        left = _what_is_left(reader, names) if acts else None
        if as_json:
            answer("", {"run": paths.name, "jobs": names or None, **done, "receipt": left and left.as_dict()},
                   as_json=True)
        elif left is not None and (left.hosts or left.unasked):
            for line in wording.receipt(left.as_dict()):
                click.echo(printable(line))
    return EXIT_OK


def _cancel(paths: RunPaths, names: Sequence[str] | None) -> None:
    from sshjobs.running.cancelling import cancel
    from sshjobs.views.base import Output
    from sshjobs.views.lines import Lines

    lines = Lines(Output(sys.stderr, complain), handle=handle, quiet=True)

    def listen(event: Event) -> None:
        # That jobs are cancelled is what is asked for, not trouble.
        if event.get("outcome") != Outcome.CANCELLED:
            lines(event)

    # Where we do the work ourselves, only trouble is told, and not among what is printed for programs.
    cancel(paths, names, listener=listen)


def _wait(reader: RunReader, names: Sequence[str]) -> None:
    """Return when the jobs (none named: all) are over; say from time to time what that takes."""
    spoke, said = time.monotonic(), ""
    stuck_at = spoke + STUCK_AFTER
    # A look at thousands of named jobs costs something.
    pause = min(2.0, max(INTERVAL, len(names) / 5_000))
    while _any_left(reader, names):
        time.sleep(pause)
        if time.monotonic() - spoke < PATIENCE:
            continue
        spoke = time.monotonic()
        text = _waiting_for(reader, names)
        if text not in ("", said):
            complain(text)
            said = text
        if time.monotonic() >= stuck_at:
            stuck_at = float("inf")
            _tell_stuck(reader, names)
        if reader.summary().state in ("unattended", "interrupted"):
            # The manager that had promised it is gone: then it is up to us.
            _cancel(reader.paths, names or None)


def _what_is_left(reader: RunReader, names: Sequence[str]) -> Receipt:
    """Return what the hosts say is left of the jobs (none named: of the run, once its manager has cleaned up)."""
    from sshjobs.running.receipts import receipt

    deadline = time.monotonic() + PARTING
    while not names and time.monotonic() < deadline:
        summary = reader.summary()
        if summary.manager is None or summary.until is not None or not summary.manager.is_alive():
            break
        time.sleep(INTERVAL)
    return receipt(reader.paths, names or None)


def _tell_stuck(reader: RunReader, names: Sequence[str]) -> None:
    """Say which processes keep jobs from ending."""
    from sshjobs.running.receipts import receipt

    jobs = [job.name for job in _unfinished(reader, names, MAX_NAMES) if job.state == STATE_BUSY]
    for line in receipt(reader.paths, jobs, looks=1).left if jobs else ():
        complain(f"still alive: {line}")


def _any_left(reader: RunReader, names: Sequence[str]) -> bool:
    if names:
        return any(True for _ in _unfinished(reader, names, 1))
    counts = reader.summary().counts
    return any(counts[state] for state in _UNFINISHED)


def _unfinished(reader: RunReader, names: Sequence[str], limit: int) -> Iterator[JobRow]:
    if not names:
        return reader.jobs(_UNFINISHED, limit=limit)
    jobs = (job for job in map(reader.job, names) if job is not None and job.state not in FINAL_STATES)
    return islice(jobs, limit)


def _waiting_for(reader: RunReader, names: Sequence[str]) -> str:
    found = []
    for job in _unfinished(reader, names, MAX_NAMES + 1):
        away = ", which cannot be asked at present" if job.state == STATE_UNKNOWN else ""
        found.append(f"{job.name} on {job.host}{away}" if job.host else job.name)
    more = " and more" if len(found) > MAX_NAMES else ""
    return f"waiting for {'; '.join(found[:MAX_NAMES])}{more}" if found else ""


def _done(reader: RunReader, names: Sequence[str], ended: Sequence[str], before: int) -> dict[str, Any]:
    """Return what came of it: how many jobs were cancelled, how many had another outcome first, by that, and how many
    were over before.

    :param ended: those of the jobs that were over already
    :param before: how many jobs of the run had been cancelled before
    """
    if not names:
        cancelled = reader.summary().outcomes.get("cancelled", 0) - before
        return {"cancelled": cancelled, "ended_first": {}, "ended_before": 0}
    ours = [job for job in map(reader.job, names) if job is not None and job.name not in set(ended)]
    others = Counter(job.outcome for job in ours if job.outcome != "cancelled")
    first = {str(outcome): number for outcome, number in others.items()}
    return {"cancelled": len(ours) - others.total(), "ended_first": first, "ended_before": len(ended)}


def _told(reader: RunReader, names: Sequence[str], done: Mapping[str, Any]) -> str:
    """Return that in a line."""
    text = f"{count(done['cancelled'], 'job')} cancelled"
    if not names:
        return f"{text}; nothing of {reader.paths.name} runs any more"
    for outcome, number in done["ended_first"].items():
        text += f"; {count(number, 'job')} {outcome} first"
    return f"{text}; {count(done['ended_before'], 'job')} had ended before" if done["ended_before"] else text
