"""``sshjobs verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli import candidates
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.model.outputs import directories
from sshjobs.store.rundir import find_run
from sshjobs.views.wording import count

if TYPE_CHECKING:
    from sshjobs.audit.checks import Report


@click.command("verify")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@click.option("--hosts/--no-hosts", default=True, help="Ask the hosts too, or compare what is here only.  "
              "[default: ask them]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@results_option
def command(run: str | None, hosts: bool, as_json: bool, verbose: int, results: Path) -> int:
    """Say whether store, files and hosts agree about RUN; the newest run if it is left out.

    Every byte of the outputs is read, and every host is asked. Nothing is changed, here or there; the run may be
    under way. Exit codes: 0 all agree, 1 some do not.
    """
    configure(verbose)
    paths = find_run(results, run)
    from sshjobs.audit.checks import verify

    report = verify(paths, handle(paths), ask_hosts=hosts)
    if as_json:
        click.echo(json.dumps(_document(report)))
    else:
        for one in report.disagreements:
            click.echo(str(one))
        click.echo(_closing(report))
    return EXIT_JOBS_FAILED if report.disagreements else EXIT_OK


def _closing(report: Report) -> str:
    compared = f"{count(report.jobs, 'job')}, {count(report.files, 'file')}, {count(report.hosts, 'host')}"
    number = len(report.disagreements)
    text = f"{report.run}: {compared}: {count(number, 'disagreement') if number else 'all agree'}"
    if report.moving:
        text += f"; in motion, and not compared: {count(report.moving, 'job')}"
    if report.kept:
        text += f"; kept on hosts: {directories(report.kept)} of jobs"
    if report.unsummed:
        text += f"; by size only, for want of a checksum: {count(report.unsummed, 'file')}"
    return text


def _document(report: Report) -> dict[str, object]:
    return {"run": report.run, "agree": not report.disagreements, "attended": report.attended, "jobs": report.jobs,
            "files": report.files, "by_size_only": report.unsummed, "hosts": report.hosts, "in_motion": report.moving,
            "kept": report.kept,
            "disagreements": [one.as_dict() for one in report.disagreements]}
