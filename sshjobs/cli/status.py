"""``sshjobs status``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_OK

if TYPE_CHECKING:
    from sshjobs.store.reader import RunReader


@click.command("status")
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--summary", is_flag=True, help="Only the run, not its jobs.")
@click.option("-a", "--all", "everything", is_flag=True, help="List every job, however many there are.")
@results_option
def command(run: str | None, as_json: bool, summary: bool, everything: bool, results: Path) -> int:
    """Show where RUN and its jobs stand; the newest run if it is left out.

    Failed jobs come first, then those that are not over, then the others.
    """
    from sshjobs.cli.words import say_owner
    from sshjobs.store.reader import RunReader
    from sshjobs.store.rundir import find_run

    paths = find_run(results, run)
    say_owner(paths)
    with RunReader.open(paths) as reader:
        if as_json:
            _print_json(reader, summary)
        else:
            _print_text(reader, summary, everything)
    return EXIT_OK


def _print_json(reader: RunReader, summary: bool) -> None:
    from sshjobs.store.document import iter_status_json, summary_document

    if summary:
        import json

        click.echo(json.dumps(summary_document(reader)))
        return
    for piece in iter_status_json(reader):
        sys.stdout.write(piece)


def _print_text(reader: RunReader, summary: bool, everything: bool) -> None:
    from sshjobs.cli.words import handle
    from sshjobs.views.table import Table

    table = Table(reader, handle(reader.paths), sys.stdout)
    with reader.snapshot():
        table.head()
        if not summary:
            table.jobs(everything=everything)
