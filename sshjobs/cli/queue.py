"""``sshjobs queue``."""

from __future__ import annotations

from pathlib import Path

import click

from sshjobs.cli import candidates
from sshjobs.cli.answers import answer, json_option
from sshjobs.cli.detached import detach_option, hand_over
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import (
    accepts_new_keys,
    hosts_of,
    hosts_option,
    manners_option,
    network_options,
    output_options,
    results_option,
)
from sshjobs.cli.profiles import telling
from sshjobs.cli.words import handle, open_run
from sshjobs.errors import EXIT_OK
from sshjobs.store.rundir import find_run

#: What the run is called, with a number.
STEM = "queue"


@click.group("queue", no_args_is_help=False)
def command() -> None:
    """Keep a run open for jobs that are added to it."""


@command.command("start")
@hosts_option()
@results_option
@click.option("--name", metavar="NAME", help="Name of the run.  [default: queue-<n>]")
@network_options
@manners_option
@detach_option
@output_options
def start(hosts: tuple[str, ...], results: Path, name: str | None, ssh_config: str | None, transport: str | None,
          slots: int | None, detach: bool, quiet: bool, as_json: bool, verbose: int) -> int:
    """Start a run without jobs, which stays open: `sshjobs add` puts jobs into it.

    It ends with the last of its jobs after `sshjobs queue finish`.
    """
    configure(verbose)
    from sshjobs.running.forms import EMBEDDED, options_of
    from sshjobs.running.run import Run

    chosen = hosts_of(hosts) or EMBEDDED
    if detach:
        from sshjobs.running.detach import prepare

        options = options_of(ssh_config=ssh_config, transport=transport, slots=slots, fail_fast=False, stays_open=True,
                             accept_new_host_keys=accepts_new_keys(), telling=telling())
        return hand_over(prepare([], chosen, results=results, name=name, stem=STEM, options=options),
                         quiet=quiet, as_json=as_json)
    from sshjobs.cli.carry import carry

    return carry(lambda view: Run.create([], chosen, results=results, name=name, stem=STEM, ssh_config=ssh_config,
                                         transport=transport, slots=slots, stays_open=True,
                                         accept_new_host_keys=accepts_new_keys(), telling=telling(), listener=view),
                 quiet=quiet, as_json=as_json, verbose=verbose)


@command.command("finish")
@click.argument("run", metavar="[RUN]", shell_complete=candidates.one_run, required=False)
@json_option
@results_option
def finish(run: str | None, as_json: bool, results: Path) -> int:
    """Let RUN end with the last of its jobs; the newest run that is not over if it is left out."""
    from sshjobs.running.unattended import carry_out

    paths = open_run(results) if run is None else find_run(results, run)
    _, live = carry_out(paths, {"do": "finish"})
    later = "" if live else f"; where any is left: sshjobs resume {handle(paths)}"
    answer(f"{paths.name} ends with the last of its jobs{later}", {"run": paths.name, "attended": live},
           as_json=as_json)
    return EXIT_OK
