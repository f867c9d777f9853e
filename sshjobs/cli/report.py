"""``sshjobs report``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import results_option
from sshjobs.errors import EXIT_OK


@click.command("report")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@click.option("-o", "--output", "where", metavar="FILE", type=click.Path(path_type=Path),
              help="Where to write it; an older report there is replaced.  [default: RUN.html]")
@click.option("--json", "as_json", is_flag=True, help="Say where it is as a JSON object.")
@results_option
def command(run: str | None, where: Path | None, as_json: bool, results: Path) -> int:
    """Write what came of RUN, the newest if it is left out, into one HTML file that can be passed on.

    It holds what jobs wrote last and the jobfile: everybody who gets it can read them. A run that goes on is reported
    as it stands; nothing of it is touched.
    """
    from sshjobs.cli.words import say_owner
    from sshjobs.report.writing import write_report
    from sshjobs.store.rundir import find_run
    from sshjobs.views import wording

    paths = find_run(results, run)
    say_owner(paths)
    file = Path(f"{paths.name}.html") if where is None else where
    size = write_report(paths, file)
    if as_json:
        click.echo(json.dumps({"version": 1, "run": paths.name, "report": str(file.absolute()), "bytes": size}))
    else:
        from sshjobs.errors import printable

        click.echo(printable(f"{file}: the report of {paths.name}, {wording.size(size)}"))
    return EXIT_OK
