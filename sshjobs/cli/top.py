"""``sshjobs top``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from sshjobs.cli.options import results_option
from sshjobs.errors import UsageError


@click.command("top")
@click.argument("run", metavar="[RUN]", required=False)
@results_option
def command(run: str | None, results: Path) -> int:
    """Look at RUN on the whole terminal, and act on it; the newest if it is left out.

    Shows hosts, jobs, failures, outputs and parameters of a run that goes on or is over. Leaving it never ends a job.
    """
    from sshjobs.cli.words import say_owner
    from sshjobs.store.rundir import find_run
    from sshjobs.tui.needs import check_installed

    check_installed()
    paths = find_run(results, run)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal", hint=f"elsewhere see: sshjobs status {paths.name}")
    say_owner(paths)
    from sshjobs.running.cancelling import cancel
    from sshjobs.running.unattended import carry_out
    from sshjobs.store.reader import RunReader
    from sshjobs.tui.app import Top

    with RunReader.open(paths):
        # What cannot be read is told before the screen is taken.
        pass
    for size in ("COLUMNS", "LINES"):
        # The terminal itself knows, also when it changes; exported, these would be its size for good.
        os.environ.pop(size, None)
    app = Top(paths, lambda request: carry_out(paths, request).answer, lambda names: cancel(paths, names))
    return app.run() or 0
