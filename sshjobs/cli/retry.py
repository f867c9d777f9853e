"""``sshjobs retry``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import click

from sshjobs.cli import candidates
from sshjobs.cli.detached import detach_option, hand_over
from sshjobs.cli.failures import complain
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import cause_option, output_options, results_option
from sshjobs.cli.words import handle, named_jobs, run_and_jobs
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, UsageError
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.acts import names as listed
from sshjobs.views.wording import count

#: So many jobs are told that cannot be tried again because of others.
MOST_TOLD = 5


@click.command("retry")
@click.argument("words", metavar="[RUN] [JOB...]", shell_complete=candidates.jobs, nargs=-1)
@click.option("--failed", is_flag=True, help="All jobs that ended without success.")
@cause_option("Jobs")
@detach_option
@results_option
@output_options
def command(words: tuple[str, ...], failed: bool, causes: tuple[str, ...], detach: bool, results: Path, quiet: bool,
            as_json: bool, verbose: int) -> int:
    """Try jobs of RUN again that ended without success; of the newest run if it is left out. A JOB is a name, a
    pattern such as 'fit-*', or parameters as in 'train[lr=0.1]'.

    A run that is under way runs them again. One that is over, or that nobody manages, is carried on, as by
    `sshjobs resume`: then the exit code is that of the run. A job that is done never runs again, and one with
    `once: true` that has started neither; where such a job was named, the exit code is 1.
    """
    configure(verbose)
    from sshjobs.running.unattended import carry_out

    paths, names = run_and_jobs(results, words)
    if bool(names or causes) == failed:
        what = "name jobs or causes, or say --failed, not both" if failed else "nothing was named to try again"
        raise UsageError(what, hint=f"for all that failed: sshjobs retry {handle(paths)} --failed")
    with RunReader.open(paths) as reader:
        names = [job.name for job in named_jobs(reader, names)]
    if causes:
        names = _with_cause(paths, causes, names)
    answer, live = carry_out(paths, {"do": "retry", "jobs": names or None})
    again, refused, blocked = answer["jobs"], answer["refused"], answer["blocked"]
    if refused:
        complain(f"not tried again, as once: true forbids it: {listed(refused)}")
    for job, other in list(blocked.items())[:MOST_TOLD]:
        complain(f"{job} is not tried again, as {other} did not succeed; try that again: "
                 f"sshjobs retry {handle(paths)} {quote(other)}")
    others = len(set(names)) - len(again) - len(refused) - len(blocked) if names else 0
    if not quiet and not as_json:
        rest = f"; {count(others, 'job')} had not failed" if others > 0 else ""
        click.echo(f"{count(len(again), 'job')} of {paths.name} to be tried again{rest}")
    # Somebody who names a job wants that one run.
    code = EXIT_JOBS_FAILED if names and (refused or blocked or others > 0) else EXIT_OK
    if live or not again:
        return code
    if detach:
        return hand_over(paths, quiet=quiet, as_json=as_json) or code
    from sshjobs.cli.carry import carry
    from sshjobs.running.run import Run

    return carry(lambda view: Run.resume(paths, listener=view), quiet=quiet, as_json=as_json, verbose=verbose) or code


def _with_cause(paths: RunPaths, causes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of the jobs that ended for one of these causes, of these names if any are given.

    :raises UsageError: there are none
    """
    from sshjobs.diagnosis.groups import names_with
    from sshjobs.model.causes import EndCause
    from sshjobs.store.failed import FailureReader

    with FailureReader.open(paths) as reader:
        found = names_with(reader, map(EndCause, causes))
    wanted = set(names)
    found = [name for name in found if not wanted or name in wanted]
    if not found:
        raise UsageError(f"no job ended for {' or '.join(causes)}", where=paths.name,
                         hint=f"for the causes: sshjobs why {handle(paths)}")
    return found
