"""``sshjobs withdraw``."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle, named_jobs, run_and_jobs
from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.store.reader import RunReader
from sshjobs.views.wording import count


@click.command("withdraw")
@click.argument("words", metavar="[RUN] JOB...", shell_complete=candidates.jobs, nargs=-1)
@json_option
@results_option
def command(words: tuple[str, ...], as_json: bool, results: Path) -> int:
    """Take jobs out of RUN that never started, as if they had not been added; out of the newest run if it is left out.

    That undoes an `add`. A job that was launched is cancelled first. Where nothing else is left to do, the run is as it
    was before.
    """
    from sshjobs.running.unattended import carry_out

    paths, names = run_and_jobs(results, words)
    if not names:
        raise UsageError("no job was named", hint=f"write: sshjobs withdraw {handle(paths)} JOB")
    with RunReader.open(paths) as reader:
        names = [job.name for job in named_jobs(reader, names)]
    told = carry_out(paths, {"do": "withdraw", "jobs": names})
    with RunReader.open(paths) as reader:
        state = reader.summary().state
    withdrawn = told.answer["jobs"]
    answer(f"{count(len(withdrawn), 'job')} withdrawn; {paths.name} is {state}",
           {"run": paths.name, "attended": told.live, "jobs": withdrawn, "state": state}, as_json=as_json)
    return EXIT_OK
