"""``sshjobs pause``, and what it shares with ``sshjobs unpause``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle, need_job, open_run, run_and_jobs
from sshjobs.errors import EXIT_OK
from sshjobs.model.states import FINAL_STATES
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import count


@click.command("pause")
@click.argument("words", metavar="[RUN] [JOB...]", nargs=-1)
@results_option
def command(words: tuple[str, ...], results: Path) -> int:
    """Launch nothing more in RUN, or stop jobs of it where they are.

    Without a JOB what runs goes on, and nothing new is started. A JOB that runs is stopped with all of its processes,
    one that waits is not launched. RUN is the newest run that is not over if it is left out.
    """
    paths, names = run_and_jobs(results, words, newest=open_run)
    changed, ended, live = change(paths, names, "pause")
    if names:
        click.echo(f"{count(changed, 'job')} paused{rest(len(names) - changed, ended)}{later(paths, changed, live)}")
    else:
        click.echo(f"{paths.name} launches nothing more; what runs goes on; to launch again: "
                   f"sshjobs unpause {handle(paths)}")
    return EXIT_OK


def change(paths: RunPaths, names: Sequence[str], verb: str) -> tuple[int, int, bool]:
    """Pause or unpause jobs; return how many were changed, how many had ended before, and whether a manager did it.

    :param names: of jobs; none for launching itself
    :param verb: ``pause`` or ``unpause``
    """
    from sshjobs.running.unattended import carry_out

    with RunReader.open(paths) as reader:
        ended = sum(need_job(reader, name).state in FINAL_STATES for name in dict.fromkeys(names))
    answer, live = carry_out(paths, {"do": verb, "jobs": list(names) or None})
    return len(answer["jobs"] or ()), ended, live


def later(paths: RunPaths, changed: int, live: bool) -> str:
    """Return what is to be said where nobody manages the run."""
    return "" if live or not changed else f"; nobody manages it at present; to go on: sshjobs resume {handle(paths)}"


def rest(others: int, ended: int) -> str:
    """Return what is to be said of named jobs that were not changed, some of which had ended."""
    text = f"; {count(ended, 'job')} had ended" if ended else ""
    return f"{text}; {count(others - ended, 'job')} had been so before" if others > ended else text
