"""``sshjobs rm``."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.cli.options import seconds_of as _seconds
from sshjobs.cli.words import handle, named_runs
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, RunBusyError, SshjobsError, StoreError, UsageError
from sshjobs.model.states import STATE_BUSY, STATE_UNKNOWN
from sshjobs.store.identity import ManagerIdentity
from sshjobs.store.ownership import owner_of
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths, list_runs
from sshjobs.store.summary import RUN_OVER
from sshjobs.store.writer import RunStore


@click.command("rm")
@click.argument("runs", metavar="RUN...", shell_complete=candidates.runs, nargs=-1)
@click.option("--older", metavar="TIME", callback=_seconds,
              help="Those of them, or of all runs, that were over that long ago, such as 7d.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--force", is_flag=True, help="Also where jobs may still run, or the store cannot be read.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run, and nothing else.")
@results_option
def command(runs: tuple[str, ...], older: float | None, dry_run: bool, force: bool, as_json: bool,
            results: Path) -> int:
    """Remove runs from the disk: what they say of their jobs, and all outputs.

    RUN is a name, a path or a pattern: sshjobs rm 'exec-*'.

    A run that has a manager is never removed, and one whose jobs may still run only by force: nothing would be known of
    those then, and nothing ends them. With --older a run that is not over is left alone.
    """
    if not runs and older is None:
        raise UsageError("no run was named", hint="name runs, or say how old: sshjobs rm --older 7d")
    if older is not None and force:
        raise UsageError("--older takes runs that are over, --force others", hint="leave one of them out")
    code = EXIT_OK
    for paths in named_runs(results, runs) if runs else list_runs(results):
        try:
            if older is not None and not _over_for(paths, older):
                continue
            if dry_run:
                _refuse_live(paths, force=force)
            else:
                _remove(paths, force=force)
            answer(f"{'would remove' if dry_run else 'removed'} {paths.root}",
                   _document(paths, dry_run=dry_run, reason=None), as_json=as_json)
        except SshjobsError as error:
            if as_json:
                answer("", _document(paths, dry_run=dry_run, reason=str(error)), as_json=True)
            else:
                complain(str(error))
            code = max(code, error.exit_code, EXIT_JOBS_FAILED)
    return code


def _document(paths: RunPaths, *, dry_run: bool, reason: str | None) -> dict[str, Any]:
    """Return what became of a run as plain data: whether it was removed or, with ``--dry-run``, would be."""
    return {"run": paths.name, "directory": str(paths.root), "removed": reason is None and not dry_run,
            "would_remove": reason is None and dry_run, "reason": reason}


def _over_for(paths: RunPaths, seconds: float) -> bool:
    """Tell whether a run is yours, and over since so long."""
    if owner_of(paths) is not None:
        return False
    with RunReader.open(paths) as reader:
        summary = reader.summary()
    if summary.state not in RUN_OVER:
        return False
    # A manager that was killed wrote down when it began, and no end.
    ended = summary.until if summary.until is not None else paths.store.stat().st_mtime
    return time.time() - ended >= seconds


def _refuse_live(paths: RunPaths, *, force: bool) -> None:
    """Refuse what would not be removed, and change nothing.

    :raises SshjobsError: it would not be
    """
    try:
        with RunReader.open(paths) as reader:
            summary = reader.summary()
    except StoreError:
        if force:
            return
        raise
    if summary.state == "running":
        raise UsageError("a manager works on the run", where=str(paths.root))
    if summary.counts[STATE_BUSY] + summary.counts[STATE_UNKNOWN] and not force:
        raise UsageError("its jobs may still run", where=str(paths.root))


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
