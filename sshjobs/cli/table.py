"""``sshjobs table``."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from sshjobs.tables.sheet import Sheet

#: What ``--format`` takes. A test compares it with ``sshjobs.views.sheets.FORMS``.
FORMATS = ("text", "csv", "tsv", "json", "md")


@click.command("table")
@click.argument("runs", metavar="[RUN]...", shell_complete=candidates.runs, nargs=-1)
@click.option("--columns", metavar="NAME,…",
              help="Columns, in this order; with * and ? for several.  [default: parameters, how it ended, results]")
@click.option("--where", metavar="CONDITION", help="Only such jobs, as in: loss<0.3 and (lr=0.1 or host='node 1').")
@click.option("--sort", metavar="NAME,…", help="In this order; -NAME begins with the largest.")
@click.option("--group-by", metavar="NAME,…", help="One row for all jobs with equal values in these columns.")
@click.option("--agg", metavar="FIGURE,…",
              help="What to make of the numbers in a group: mean, std, min, max, median, sum, count.  [default: mean]")
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True,
              help="How to print it. Numbers are whole but in text and md.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@results_option
def command(runs: tuple[str, ...], columns: str | None, where: str | None, sort: str | None, group_by: str | None,
            agg: str | None, form: str, as_json: bool, results: Path) -> int:
    """Show the parameters of jobs, how they ended, and what came of it: one row a job.

    Of several RUNs, or patterns of such, all jobs stand in one table; the newest run if none is named.
    """
    from sshjobs.tables import conditions, grouping
    from sshjobs.views.sheets import printed

    sheet = _sheet_of(runs, results)
    if where is not None:
        test = conditions.parse(where, sheet)
        sheet.rows[:] = filter(test, sheet.rows)
    if group_by is not None or agg is not None:
        sheet = grouping.group(sheet, group_by or "", agg or "mean", columns)
        if sort is not None:
            grouping.sort(sheet, sort)
    else:
        if sort is not None:
            grouping.sort(sheet, sort)
        if columns is not None and not columns.strip(" ,"):
            raise UsageError("--columns names no column", hint="name some, or leave it out")
        sheet = sheet.with_columns(sheet.shown if columns is None else sheet.matching(columns, "--columns"))
    for piece in printed(sheet, "json" if as_json else form):
        sys.stdout.write(piece)
    return EXIT_OK


def _sheet_of(words: tuple[str, ...], results: Path) -> Sheet:
    """Return the jobs of the named runs."""
    from sshjobs.cli.failures import complain
    from sshjobs.cli.words import named_runs, say_owner
    from sshjobs.store.reader import RunReader
    from sshjobs.store.rundir import find_run
    from sshjobs.tables.sheet import sheet_of

    chosen = named_runs(results, words) if words else [find_run(results)]
    with ExitStack() as open_ones:
        readers = []
        for paths in chosen:
            say_owner(paths)
            readers.append((paths.name, open_ones.enter_context(RunReader.open(paths))))
        sheet = sheet_of(((name, reader.job_results()) for name, reader in readers), several=len(readers) > 1)
    if sheet.left_out:
        complain(f"{sheet.left_out:,} more names of results have no column: there are {len(sheet.results):,} already")
    return sheet
