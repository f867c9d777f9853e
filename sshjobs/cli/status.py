"""``sshjobs status``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import cause_option, results_option
from sshjobs.errors import EXIT_OK

if TYPE_CHECKING:
    from sshjobs.forecast.ends import Forecast
    from sshjobs.store.reader import RunReader
    from sshjobs.store.rows import JobRow


@click.command("status")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--summary", is_flag=True, help="Only the run, not its jobs.")
@click.option("-a", "--all", "everything", is_flag=True, help="List every job, however many there are.")
@cause_option("Only jobs")
@results_option
def command(words: tuple[str, ...], as_json: bool, summary: bool, everything: bool, causes: tuple[str, ...],
            results: Path) -> int:
    """Show where RUN and its jobs stand; the newest run if it is left out. With JOB these jobs only: a name, a pattern
    such as 'fit-*', or parameters as in 'train[lr=0.1]'.

    Failed jobs come first, then those that are not over, then the others.
    """
    from sshjobs.cli.words import jobs_of_some_run, named_jobs, say_owner
    from sshjobs.store.reader import RunReader

    paths, names = jobs_of_some_run(results, words)
    say_owner(paths)
    with RunReader.open(paths) as reader:
        only = named_jobs(reader, names) if names else None
        if causes:
            only = _with_cause(reader, causes, only)
        if as_json:
            _print_json(reader, summary, only)
        else:
            _print_text(reader, summary, everything, only)
    return EXIT_OK


def _with_cause(reader: RunReader, causes: Sequence[str], only: Sequence[JobRow] | None) -> list[JobRow]:
    """Return the jobs that ended for one of these causes, in order.

    :param only: of these jobs; ``None``: of all
    """
    from sshjobs.diagnosis.groups import names_with
    from sshjobs.model.causes import EndCause
    from sshjobs.store.failed import FailureReader

    with FailureReader.open(reader.paths) as failures:
        names = names_with(failures, map(EndCause, causes))
    if only is None:
        return [row for name in names if (row := reader.job(name)) is not None]
    wanted = set(names)
    return [row for row in only if row.name in wanted]


def _print_json(reader: RunReader, summary: bool, only: Sequence[JobRow] | None) -> None:
    from sshjobs.store.document import iter_status_json, summary_document

    expected = _expected(reader)
    more = {} if expected is None else {"expected": {key: round(value, 3) for key, value in expected._asdict().items()}}
    if summary:
        import json

        click.echo(json.dumps({**summary_document(reader), **more}))
        return
    for piece in iter_status_json(reader, only, more):
        sys.stdout.write(piece)


def _print_text(reader: RunReader, summary: bool, everything: bool, only: Sequence[JobRow] | None) -> None:
    from sshjobs.cli.words import handle
    from sshjobs.views.table import Table

    table, expected = Table(reader, handle(reader.paths), sys.stdout), _expected(reader)
    with reader.snapshot():
        table.head(None if expected is None else (expected.p50, expected.p90))
        if not summary:
            table.jobs(everything=everything, only=only)


def _expected(reader: RunReader) -> Forecast | None:
    """Return when a run that is under way is expected to end, in seconds from now."""
    if reader.summary().state not in ("running", "unattended"):
        return None
    from sshjobs.planning.expected import expected_of

    return expected_of(reader.paths)
