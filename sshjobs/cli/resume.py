"""``sshjobs resume``."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.detached import detach_option, hand_over
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import output_options, results_option


@click.command("resume")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@results_option
@detach_option
@output_options
def command(run: str | None, results: Path, detach: bool, quiet: bool, as_json: bool, verbose: int) -> int:
    """Take over RUN, whose manager is gone, and finish it; the newest run if it is left out.

    Asks the hosts what became of the jobs that were launched: what runs is adopted, what ended is collected, and
    nothing is started twice. The exit code is that of the run.
    """
    configure(verbose)
    from sshjobs.cli.carry import carry
    from sshjobs.running.run import Run
    from sshjobs.store.rundir import find_run

    paths = find_run(results, run)
    if detach:
        return hand_over(paths, quiet=quiet, as_json=as_json)
    return carry(lambda view: Run.resume(paths, listener=view), quiet=quiet, as_json=as_json, verbose=verbose)
