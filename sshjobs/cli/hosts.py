"""``sshjobs hosts``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from sshjobs.cli.hosts_change import COMMANDS
from sshjobs.cli.hosts_install import install
from sshjobs.cli.hosts_shared import usage, who
from sshjobs.cli.logsetup import configure
from sshjobs.cli.options import accepts_new_keys, hosts_of, hosts_option, network_options, setup_of
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_NO_HOST, EXIT_OK, UsageError, printable

if TYPE_CHECKING:
    from sshjobs.cli.checkup import Finding


@click.group("hosts", no_args_is_help=False)
def command() -> None:
    """Look at hosts, and change those of a run."""


for other in (install, who, usage):
    command.add_command(other)
for change in COMMANDS:
    command.add_command(change)


@command.command("check")
@hosts_option(here=False)
@network_options
@click.option("--setup", metavar="JOBFILE", help="Run the setup of a jobfile on each of them, too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per host.")
@click.option("-v", "--verbose", count=True, help="Say more.")
def check(hosts: tuple[str, ...], ssh_config: str | None, transport: str | None, slots: int | None,
          setup: str | None, as_json: bool, verbose: int) -> int:
    """Say of each host whether it can be used and what it has, or why not and what to do about it.

    All are asked at the same time, as a run would ask them; nothing stays on them. Exit codes: 0 all can be used,
    1 some cannot, 3 none can.
    """
    configure(verbose)
    from sshjobs.cli.checkup import examine

    chosen = hosts_of(hosts)
    if not chosen:
        raise UsageError("missing option '--hosts'", hint="name a hosts file, or hosts: --hosts h1,node[01-16]")
    script = [] if setup is None else setup_of(setup)
    width = max(len(host.name) for host in chosen)
    usable = 0
    for finding in examine(chosen, ssh_config=ssh_config, transport=transport, slots=slots,
                           accept_new_host_keys=accepts_new_keys(), setup=script):
        usable += finding.usable
        click.echo(json.dumps(finding.as_dict()) if as_json else _line(finding, width))
    if not as_json:
        click.echo(f"{usable} of {len(chosen)} can be used")
    return EXIT_OK if usable == len(chosen) else EXIT_JOBS_FAILED if usable else EXIT_NO_HOST


def _line(finding: Finding, width: int) -> str:
    mark = "ok" if finding.usable else "NO"
    return printable(f"{finding.host:<{width}}  {mark}  {finding.text()}")
