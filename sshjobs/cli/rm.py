"""``sshjobs rm``."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle, named_runs
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, RunBusyError, SshjobsError, StoreError, UsageError, printable
from sshjobs.model.states import STATE_BUSY, STATE_UNKNOWN
from sshjobs.store.identity import ManagerIdentity
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.store.writer import RunStore


@click.command("rm")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also where jobs may still run, or the store cannot be read.")
@results_option
def command(runs: tuple[str, ...], force: bool, results: Path) -> int:
    """Remove runs from the disk: what they say of their jobs, and all outputs.

    RUN is a name, a path or a pattern: sshjobs rm 'exec-*'.

    A run that has a manager is never removed, and one whose jobs may still run only by force: nothing would be known of
    those then, and nothing ends them.
    """
    code = EXIT_OK
    for paths in named_runs(results, runs):
        try:
            _remove(paths, force=force)
            click.echo(printable(f"removed {paths.root}"))
        except SshjobsError as error:
            complain(str(error))
            code = max(code, error.exit_code, EXIT_JOBS_FAILED)
    return code


def _remove(paths: RunPaths, *, force: bool) -> None:
    """Remove a run.

    :raises SshjobsError: it must not be, or cannot be
    """
    try:
        _take(paths, force=force)
    except RunBusyError as error:
        raise UsageError("a manager works on the run", where=str(paths.root), why=error.why,
                         hint=f"first: sshjobs cancel {handle(paths)} --all") from error
    except StoreError as error:
        if not force or not paths.marker.is_file():
            raise StoreError(error.what, where=error.where, why=error.why,
                             hint=f"to remove it all the same: sshjobs rm --force {handle(paths)}") from error
    aside = paths.root.with_name(f".{paths.name[:200]}.{secrets.token_hex(4)}")
    try:
        # Gone in one step, so that no other command finds half a run.
        os.rename(paths.root, aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise SshjobsError("the run cannot be removed", where=str(error.filename or paths.root),
                           why=error.strerror) from error


def _take(paths: RunPaths, *, force: bool) -> None:
    """Make sure that no manager has the run, and that none takes it from now on.

    :raises RunBusyError: one has
    :raises UsageError: jobs may still run
    """
    store = RunStore.open(paths)
    try:
        # It stays taken: this process lives until the directory is gone.
        store.take_over(ManagerIdentity.this_process())
        with RunReader.open(paths) as reader:
            counts = reader.summary().counts
        live = counts[STATE_BUSY] + counts[STATE_UNKNOWN]
        if live and not force:
            store.close(0.0)
            raise UsageError(f"{live:,} of its jobs may still run", where=str(paths.root),
                             hint=f"end them: sshjobs cancel {handle(paths)} --all; "
                                  f"or: sshjobs rm --force {handle(paths)}")
    finally:
        store.close()
