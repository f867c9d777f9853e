"""``sshjobs fetch``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import results_option
from sshjobs.cli.words import named_jobs, run_and_jobs
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, printable
from sshjobs.store.reader import RunReader
from sshjobs.views.wording import count, size

if TYPE_CHECKING:
    from sshjobs.running.fetching import FetchedJob

#: Of so many jobs it is told why something cannot be had, where none was named.
MOST_TOLD = 20


@click.command("fetch")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@click.option("--to", metavar="DIR", type=click.Path(path_type=Path),
              help="Put them into DIR/JOB/…, and not into the run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each job, and nothing else.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@results_option
def command(words: tuple[str, ...], to: Path | None, as_json: bool, verbose: int, results: Path) -> int:
    """Fetch files of jobs of RUN that their `outputs` name and that are not here; of the newest run if it is left out.

    Without a JOB those of all jobs that lack some: of jobs that failed, or whose files were cut on their way, also
    where the run is over or its manager is gone. A JOB is a name, a pattern such as 'fit-*', or parameters as in
    'train[lr=0.1]'. They go to RESULTS/RUN/jobs/JOB/files. What is here is not fetched again, and what was cut goes on
    where it was.

    Exit codes: 0 all is here, 1 something cannot be had.
    """
    configure(verbose)
    from sshjobs.running.fetching import fetch_files

    paths, names = run_and_jobs(results, words)
    if names:
        with RunReader.open(paths) as reader:
            names = [job.name for job in named_jobs(reader, names)]
    jobs = files = troubled = 0
    for job in fetch_files(paths, names or None, to, say=complain):
        jobs, files, troubled = jobs + (job.files > 0), files + job.files, troubled + (job.trouble is not None)
        if as_json:
            click.echo(json.dumps(job.as_dict()))
        else:
            _tell(job, lacking=bool(names) or troubled <= MOST_TOLD)
    if not as_json:
        if not names and troubled > MOST_TOLD:
            complain(f"of {count(troubled - MOST_TOLD, 'job')} more something cannot be had: name them to see why")
        lacking = f"; of {count(troubled, 'job')} something cannot be had" if troubled else ""
        click.echo(f"{paths.name}: {count(files, 'file')} of {count(jobs, 'job')}{lacking}")
    return EXIT_JOBS_FAILED if troubled else EXIT_OK


def _tell(job: FetchedJob, *, lacking: bool) -> None:
    """Say what came of a job, and what cannot be had.

    :param lacking: that, too
    """
    if job.files:
        origin = "all here" if job.host is None else f"from {job.host}"
        click.echo(printable(f"{job.job}: {count(job.files, 'file')}, {size(job.size)}, {origin}: {job.directory}"))
    if lacking and job.trouble is not None:
        complain(f"{job.job}: {job.trouble}")
