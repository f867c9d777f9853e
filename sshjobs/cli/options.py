"""Options that several commands take, and how their values become what the rest of sshjobs takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshjobs.errors import InputError, Problem, UsageError

if TYPE_CHECKING:
    from sshjobs.host import Host

_Function = TypeVar("_Function", bound=Callable[..., Any])

#: What ``--transport`` takes. A test holds it against ``sshjobs.network.transport.TRANSPORTS``, which is slow to load.
TRANSPORTS = ("openssh", "fabric", "local")
#: The most slots that ``--slots`` takes, as in a hosts file.
MAX_SLOTS = 4096


def results_option(function: _Function) -> _Function:
    """Add ``--results``."""
    return click.option(
        "--results", type=click.Path(path_type=Path), default=Path("results"), envvar="SSHJOBS_RESULTS",
        show_default=True, show_envvar=True, metavar="DIR", help="Directory that the runs are in.",
    )(function)


def output_options(function: _Function) -> _Function:
    """Add ``--quiet``, ``--json`` and ``-v``."""
    function = click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")(function)
    function = click.option("--json", "as_json", is_flag=True,
                            help="Print one JSON object per event, and nothing else.")(function)
    return click.option("-q", "--quiet", is_flag=True, help="Print failures and the summary only.")(function)


def network_options(function: _Function) -> _Function:
    """Add what says how hosts are reached."""
    function = click.option("-j", "--slots", type=click.IntRange(1, MAX_SLOTS), metavar="N",
                            help="Jobs at a time on a host whose line says nothing about it.  "
                                 "[default: its cores]")(function)
    function = click.option("--transport", type=click.Choice(TRANSPORTS),
                            help="How to reach hosts; local: all of them are this machine.")(function)
    return click.option("--ssh-config", metavar="FILE",
                        help="Use this ssh configuration instead of your own.")(function)


def hosts_of(values: Sequence[str]) -> list[Host]:
    """Return the hosts of all ``--hosts``: each is a hosts file or a list such as ``h1,node[01-16]``.

    :raises InputError: every mistake in all of them
    :raises UsageError: two of them name the same host
    """
    from sshjobs.inputs.hostfile import load_hosts

    hosts: dict[str, Host] = {}
    problems: list[Problem] = []
    for value in values:
        try:
            for host in load_hosts(value):
                if host.name in hosts:
                    raise UsageError(f"host '{host.name}' is named by two --hosts", hint="name it once")
                hosts[host.name] = host
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    return list(hosts.values())
