"""``sshjobs unpause``."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.options import results_option
from sshjobs.cli.pause import change, document, later, rest
from sshjobs.cli.words import open_run, run_and_jobs
from sshjobs.errors import EXIT_OK
from sshjobs.views.wording import count


@click.command("unpause")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@json_option
@results_option
def command(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Launch jobs of RUN again, or let jobs of it go on that were paused.

    RUN is the newest run that is not over if it is left out.
    """
    paths, names = run_and_jobs(results, words, newest=open_run)
    done = change(paths, names, "unpause")
    number = len(done.changed)
    gone_on = "goes on" if number == 1 else "go on"
    text = f"{count(number, 'job')} {gone_on}{rest(done)}{later(paths, done)}" if names else (
        f"{paths.name} launches jobs again")
    answer(text, document(paths, names, done), as_json=as_json)
    return EXIT_OK
