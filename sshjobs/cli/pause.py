"""``sshjobs pause``, and what it shares with ``sshjobs unpause``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle, named_jobs, open_run, run_and_jobs
from sshjobs.errors import EXIT_OK
from sshjobs.model.states import FINAL_STATES
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import count


@click.command("pause")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@json_option
@results_option
def command(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Launch nothing more in RUN, or stop jobs of it where they are.

    Without a JOB what runs goes on, and nothing new is started. A JOB that runs is stopped with all of its processes,
    one that waits is not launched. RUN is the newest run that is not over if it is left out.
    """
    paths, names = run_and_jobs(results, words, newest=open_run)
    done = change(paths, names, "pause")
    number = len(done.changed)
    text = f"{count(number, 'job')} paused{rest(done)}{later(paths, done)}" if names else (
        f"{paths.name} launches nothing more; what runs goes on; to launch again: sshjobs unpause {handle(paths)}")
    answer(text, document(paths, names, done), as_json=as_json)
    return EXIT_OK


class Change(NamedTuple):
    """What came of a pause or its end.

    :ivar changed: jobs that were changed, of so many ``named`` ones, of which ``ended`` had ended before
    :ivar live: a manager did it
    """

    changed: Sequence[str]
    named: int
    ended: int
    live: bool


def change(paths: RunPaths, names: Sequence[str], verb: str) -> Change:
    """Pause or unpause jobs.

    :param names: names and patterns of jobs; none for launching itself
    :param verb: ``pause`` or ``unpause``
    """
    from sshjobs.running.unattended import carry_out

    with RunReader.open(paths) as reader:
        jobs = named_jobs(reader, names)
    ended = sum(job.state in FINAL_STATES for job in jobs)
    told, live = carry_out(paths, {"do": verb, "jobs": [job.name for job in jobs] or None})
    if "unwritten" in told:
        fate = (f"; should the manager end before, what was stopped stands until: sshjobs unpause {handle(paths)} JOB"
                if names and verb == "pause" else ", and is forgotten if the manager ends before")
        complain(f"{paths.name}: this cannot be written down yet{fate}: {told['unwritten']}")
    return Change(told["jobs"] or (), len(jobs), ended, live)


def document(paths: RunPaths, names: Sequence[str], done: Change) -> dict[str, Any]:
    """Return what came of it as plain data: ``jobs`` are those that were changed, ``None`` where launching was."""
    return {"run": paths.name, "attended": done.live, "jobs": list(done.changed) if names else None,
            "named": done.named, "ended_before": done.ended}


def later(paths: RunPaths, done: Change) -> str:
    """Return what is to be said where nobody manages the run."""
    if done.live or not done.changed:
        return ""
    return f"; nobody manages it at present; to go on: sshjobs resume {handle(paths)}"


def rest(done: Change) -> str:
    """Return what is to be said of named jobs that were not changed, some of which had ended."""
    others, ended = done.named - len(done.changed), done.ended
    text = f"; {count(ended, 'job')} had ended" if ended else ""
    return f"{text}; {count(others - ended, 'job')} had been so before" if others > ended else text
