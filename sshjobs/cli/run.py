"""``sshjobs run``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.detached import check_detach, detach_option, hand_over
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import (
    accepts_new_keys,
    give_up_option,
    hosts_of,
    hosts_option,
    manners_option,
    max_jobs_option,
    network_options,
    output_options,
    results_option,
)
from sshjobs.cli.printing import Tags, check_printing, printing_options
from sshjobs.cli.profiles import telling
from sshjobs.errors import EXIT_OK, InputError, Problem

if TYPE_CHECKING:
    from sshjobs.running.forms import GivenJobs
    from sshjobs.running.run import Run
    from sshjobs.views.base import View


def _limit(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        from sshjobs.running.forms import limit_of

        limit_of(value, "--max-failures")
    return value


@click.command("run")
@click.argument("jobfile", metavar="JOBFILE")
@hosts_option()
@results_option
@click.option("--name", metavar="NAME", help="Name of the run.  [default: <jobfile's name>-<n>]")
@network_options
@manners_option
@give_up_option
@click.option("--fail-fast", is_flag=True, help="When a job fails, cancel the others.")
@click.option("--continue", "earlier", multiple=True, metavar="RUN", shell_complete=candidates.runs,
              help="What is done in RUN, an earlier run, counts as done here and is not run; may be repeated, the "
                   "newest counts first. See sshjobs plan.")
@max_jobs_option
@click.option("--max-failures", metavar="N[%]", callback=_limit,
              help="End the run when more jobs than that have failed: nothing new starts, what runs goes on.")
@click.option("--dry-run", is_flag=True, help="Check everything, print what would run where (with -v whole scripts), "
                                              "and start nothing.")
@click.option("--web", is_flag=True, help="Show the run in a browser too, while it goes on: see sshjobs serve.")
@detach_option
@printing_options("none")
@output_options
def command(jobfile: str, hosts: tuple[str, ...], results: Path, name: str | None, ssh_config: str | None,
            transport: str | None, slots: int | None, give_up_host: float | None, fail_fast: bool,
            max_failures: str | None, max_jobs: int, earlier: tuple[str, ...], dry_run: bool, web: bool, detach: bool,
            output: str | None, tag: bool, raw: bool, quiet: bool, as_json: bool, verbose: int) -> int:
    """Run the jobs of JOBFILE on hosts, or on this machine where none are named.

    A JOBFILE of - is read from standard input. Ctrl-C launches nothing more and waits for what runs; a second
    Ctrl-C cancels that.
    """
    configure(verbose)
    output = output or "none"
    check_printing(output, tag=tag, as_json=as_json)
    if web:
        from sshjobs.web.needs import check_installed

        check_installed()
    from sshjobs.running.forms import EMBEDDED, options_of, runs_from

    data, given, chosen = read(jobfile, hosts, max_jobs)
    specs, runs = given.specs, runs_from(results, earlier)
    max_failures = given.run_keys.get("max_failures") if max_failures is None else max_failures
    settings: dict[str, Any] = {"results": results, "name": name, "ssh_config": ssh_config, "transport": transport}
    if dry_run:
        from sshjobs.cli.dryrun import check, show

        check(**settings)
        show(specs, chosen or EMBEDDED, earlier=runs, as_json=as_json, verbose=bool(verbose), slots=slots)
        return EXIT_OK
    stem = "stdin" if jobfile == "-" else Path(jobfile).stem
    if detach:
        from sshjobs.running.detach import prepare

        check_detach(output=output, web=web)
        options = options_of(ssh_config=ssh_config, transport=transport, slots=slots, fail_fast=fail_fast,
                             stays_open=False, give_up_host=give_up_host, accept_new_host_keys=accepts_new_keys(),
                             max_failures=max_failures, setup=given.run_keys.get("setup"),
                             telling=telling(given.run_keys))
        return hand_over(prepare(specs, chosen or EMBEDDED, results=results, name=name, stem=stem, jobfile=data,
                                 options=options, earlier=runs), quiet=quiet, as_json=as_json)
    from sshjobs.network.transport.early import connecting

    with connecting(chosen, transport, ssh_config, accept_new=accepts_new_keys()):
        # To load these takes as long as a quick login.
        from sshjobs.cli.carry import carry
        from sshjobs.running.run import Run

        def start(view: View) -> Run:
            return Run.create(specs, chosen or EMBEDDED, stem=stem, jobfile=data, slots=slots, fail_fast=fail_fast,
                              give_up_host=give_up_host, accept_new_host_keys=accepts_new_keys(), continue_from=runs,
                              max_failures=max_failures, setup=given.run_keys.get("setup"),
                              telling=telling(given.run_keys), listener=view, **settings)

        return carry(start, web=_serve_options(hosts) if web else None, quiet=quiet, as_json=as_json, verbose=verbose,
                     output=output, tags=Tags(str) if tag else None, raw=raw)


def read(jobfile: str, hosts: tuple[str, ...], max_jobs: int) -> tuple[bytes, GivenJobs, list[Any]]:
    """Return the jobfile, its jobs and the hosts.

    :raises InputError: the mistakes of both, all at once
    """
    from sshjobs.inputs.source import read_input
    from sshjobs.inputs.yamlevents import MAX_BYTES
    from sshjobs.running.forms import GivenJobs, jobs_of_file

    problems: list[Problem] = []
    data, given, chosen = b"", GivenJobs([]), []
    try:
        data = sys.stdin.buffer.read(MAX_BYTES + 1) if jobfile == "-" else read_input(jobfile, MAX_BYTES)
        given = jobs_of_file(jobfile, data, max_jobs=max_jobs)
    except InputError as error:
        problems.extend(error.problems)
    try:
        chosen = hosts_of(hosts)
    except InputError as error:
        problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    if given.run_keys.get("manners") is not None:
        from sshjobs.running.forms import EMBEDDED, with_manners_of

        chosen = with_manners_of(chosen or EMBEDDED, given.run_keys)
    return data, given, chosen


def _serve_options(hosts: tuple[str, ...]) -> list[str]:
    """Return what the server of the run's pages is to be told: the hosts file that names of more hosts are found in."""
    return [word for spec in hosts[:1] if os.path.isfile(spec) for word in ("--hosts", spec)]
