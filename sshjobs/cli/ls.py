"""``sshjobs ls``."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_OK, StoreError, printable
from sshjobs.model.states import STATE_BUSY, STATE_UNKNOWN
from sshjobs.store.ownership import owner_of
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths, list_runs
from sshjobs.views.wording import count, counts, duration, size

#: Jobs of a run that are looked at one by one, as they still write.
MOST_GROWING = 10_000
_HEADINGS = ("RUN", "STATE", "AGE", "SIZE", "HOSTS", "JOBS")


@click.command("ls")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run.")
@results_option
def command(as_json: bool, results: Path) -> int:
    """List the runs, the oldest first.

    SIZE is that of all outputs and of all files that were brought, of jobs that run as far as they have come. A disk
    that is filling up is told of.
    """
    from sshjobs.running.diskwatch import filling_up

    found = [_look(paths) for paths in list_runs(results)]
    if as_json:
        for run in found:
            click.echo(json.dumps(run))
    elif found:
        for line in _table([_HEADINGS, *map(_cells, found)]):
            click.echo(line)
    else:
        click.echo(f"there are no runs in {printable(results)}")
    if (warning := filling_up(results)) is not None:
        complain(warning)
    return EXIT_OK


def _look(paths: RunPaths) -> dict[str, Any]:
    run: dict[str, Any] = {"run": paths.name, "directory": str(paths.root), "owner": owner_of(paths)}
    try:
        with RunReader.open(paths) as reader:
            summary = reader.summary()
            hosts, total = reader.host_count(), reader.size() + _growing(reader)
    except StoreError as error:
        # One that cannot be read is no reason not to show the others.
        return {**run, "state": None, "created": None, "size": None, "hosts": None, "counts": None,
                "reason": str(error)}
    return {**run, "state": summary.state, "created": summary.created, "size": total, "hosts": hosts,
            "counts": summary.counts, "reason": None}


def _growing(reader: RunReader) -> int:
    """Return how many bytes jobs that are not over have written: the store knows of outputs that are whole."""
    size = 0
    for job in islice(reader.jobs((STATE_BUSY, STATE_UNKNOWN)), MOST_GROWING):
        for path in (reader.paths.stdout(job.name), reader.paths.stderr(job.name)):
            with contextlib.suppress(OSError):
                size += path.lstat().st_size
    return size


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    if run["owner"] is not None:
        run = {**run, "run": f"{run['run']} (of {run['owner']})"}
    if run["state"] is None:
        return run["run"], "unreadable", "-", "-", "-", run["reason"]
    total = sum(run["counts"].values())
    return (run["run"], run["state"], duration(time.time() - run["created"]), size(run["size"]), str(run["hosts"]),
            f"{counts(run['counts'])} of {count(total, 'job')}" if total else "no jobs")


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    shown = [tuple(map(printable, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
