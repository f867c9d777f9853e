"""What ``-d`` does in every command that has it: hands a run to a manager of its own, and says so."""

from __future__ import annotations

import json
import time

import click

from sshjobs.cli.words import handle
from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.store.rundir import RunPaths

#: ``-d`` of several commands.
detach_option = click.option("-d", "--detach", is_flag=True,
                             help="Return at once; the run goes on, also when the terminal is closed.")


def check_detach(*, output: str = "none", web: bool = False) -> None:
    """Refuse what makes no sense for a run that nobody watches.

    :raises UsageError: outputs would be printed, or pages served for as long as somebody watches
    """
    if web:
        raise UsageError("with -d nobody is there for as long as --web shows the run",
                         hint="leave out --web, and show it by: sshjobs serve")
    if output != "none":
        raise UsageError("-d returns before there is any output to print", hint="leave out --output, or -d")


def hand_over(paths: RunPaths, *, quiet: bool, as_json: bool) -> int:
    """Have a process of its own carry a run on, and say so once it does.

    :raises SshjobsError: it does not
    """
    from sshjobs.running.detach import detach

    pid = detach(paths)
    if as_json:
        click.echo(json.dumps({"time": round(time.time(), 3), "event": "detached", "run": paths.name,
                               "directory": str(paths.root), "pid": pid}))
    elif not quiet:
        click.echo(f"{paths.name} goes on by itself (process {pid}); to watch it: sshjobs attach {handle(paths)}")
    return EXIT_OK
