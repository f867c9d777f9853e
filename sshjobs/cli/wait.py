"""``sshjobs wait``."""

from __future__ import annotations

import time
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option, seconds_of
from sshjobs.cli.words import handle, named_runs, open_run, say_owner
from sshjobs.errors import EXIT_INTERRUPTED, RunTimeoutError
from sshjobs.store.rundir import RunPaths

#: Seconds between two looks at a run.
INTERVAL = 0.2


@click.command("wait")
@click.argument("runs", metavar="[RUN]...", shell_complete=candidates.runs, nargs=-1)
@click.option("--timeout", metavar="TIME", callback=seconds_of, help="Wait no longer than that, such as 2h.")
@results_option
def command(runs: tuple[str, ...], timeout: float | None, results: Path) -> int:
    """Return when RUN is over, and say nothing; the newest that is not over if it is left out.

    The exit code is that of the run: 0 all jobs are done, 1 some are not. Where nobody manages it any more it is 130
    at once, and a line says so. Of several runs all are waited for, and the highest code counts. Nothing happens to a
    run that is waited for in vain.
    """
    chosen = named_runs(results, runs) if runs else [open_run(results)]
    deadline = None if timeout is None else time.monotonic() + timeout
    return max(_wait(paths, deadline) for paths in chosen)


def _wait(paths: RunPaths, deadline: float | None) -> int:
    from sshjobs.cli.watching import code_of
    from sshjobs.store.reader import RunReader

    say_owner(paths)
    with RunReader.open(paths) as reader:
        while (state := reader.summary().state) == "running":
            if deadline is not None and time.monotonic() >= deadline:
                raise RunTimeoutError(f"{paths.name} is not over yet", hint="it goes on")
            time.sleep(INTERVAL)
    code = code_of(state)
    if code == EXIT_INTERRUPTED:
        complain(f"nobody manages {paths.name}, which is not over; to go on: sshjobs resume {handle(paths)}")
    return code
