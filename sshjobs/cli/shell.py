"""``sshjobs shell``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.failures import complain
from sshjobs.cli.options import results_option
from sshjobs.cli.words import handle, named_jobs, run_and_jobs
from sshjobs.errors import UsageError, printable
from sshjobs.store.ownership import check_own
from sshjobs.store.reader import RunReader
from sshjobs.views.wording import count


@click.command("shell")
@click.argument("words", metavar="[RUN] JOB", shell_complete=candidates.jobs, nargs=-1, required=True)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="In the directory of its attempt N.  "
              "[default: the newest]")
@results_option
def command(words: tuple[str, ...], attempt: int | None, results: Path) -> int:
    """Open a shell on the host of JOB of RUN, in the directory that it runs in, or that was kept of it; of the newest
    run if it is left out.

    It is your login shell there, with the variables of the job. Where that directory is gone (a job keeps it with
    `keep_directory`) it begins as a login does, which is said. Commands can come on standard input, too. The exit code
    is that of the shell.
    """
    from sshjobs.network.session.attempts import launch_spec
    from sshjobs.network.session.bringing import directory_of
    from sshjobs.network.shells import fits, open_shell

    paths, names = run_and_jobs(results, words)
    check_own(paths)
    with RunReader.open(paths) as reader:
        rows = named_jobs(reader, names)
        if len(rows) != 1:
            raise UsageError("a shell is opened for one job", why=f"{count(len(rows), 'job')} were named",
                             hint=f"write: sshjobs shell {handle(paths)} JOB")
        [job] = reader.load([rows[0].name])
        summary, hosts = reader.summary(), {row.host.name: row.host for row in reader.hosts()}
    found = [one for one in job.attempts if attempt in (None, one.n)]
    if not found:
        why = "it has not started" if not job.attempts else f"it has {count(len(job.attempts), 'attempt')}"
        raise UsageError("there is no such attempt" if attempt else "it has no directory", where=job.name, why=why,
                         hint=f"see: sshjobs status {handle(paths)} --all")
    one = found[-1]
    if one.host not in hosts or one.origin is not None:
        raise UsageError("it did not run on a host of this run", where=job.name,
                         why=f"it ran in {one.origin}" if one.origin is not None else f"on {one.host}")
    env = {**launch_spec(job.spec, hosts[one.host]).get("env", {}), "SSHJOBS_JOB": job.name,
           "SSHJOBS_ATTEMPT": str(one.n), "SSHJOBS_INDEX": str(job.spec.index), "SSHJOBS_RUN": summary.run}
    if not fits(env):
        complain(f"{job.name}: its variables are too long for a shell, which is opened without them")
        env = {}
    gone = printable(f"sshjobs: the directory of {job.name} is gone from {one.host}: this is a plain login")
    return open_shell(hosts[one.host], summary.uid, one.uid, directory_of(job.spec), env, gone,
                      transport=summary.options.get("transport"), ssh_config=summary.options.get("ssh_config"),
                      accept_new_host_keys=bool(summary.options.get("accept_new_host_keys")),
                      terminal=sys.stdin.isatty() and sys.stdout.isatty())
