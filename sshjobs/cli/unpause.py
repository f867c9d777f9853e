"""``sshjobs unpause``."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import results_option
from sshjobs.cli.pause import change, later, rest
from sshjobs.cli.words import open_run, run_and_jobs
from sshjobs.errors import EXIT_OK
from sshjobs.views.wording import count


@click.command("unpause")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@results_option
def command(words: tuple[str, ...], results: Path) -> int:
    """Launch jobs of RUN again, or let jobs of it go on that were paused.

    RUN is the newest run that is not over if it is left out.
    """
    paths, names = run_and_jobs(results, words, newest=open_run)
    changed, named, ended, live = change(paths, names, "unpause")
    if names:
        gone_on = "goes on" if changed == 1 else "go on"
        click.echo(f"{count(changed, 'job')} {gone_on}{rest(named - changed, ended)}{later(paths, changed, live)}")
    else:
        click.echo(f"{paths.name} launches jobs again")
    return EXIT_OK
