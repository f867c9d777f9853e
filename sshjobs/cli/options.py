"""Options that several commands take, and how their values become what the rest of sshjobs takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sshjobs.cli import candidates
from sshjobs.errors import InputError, Problem, UsageError
from sshjobs.inputs.limits import MOST_JOBS
from sshjobs.model.causes import EndCause
from sshjobs.model.given import MAX_SLOTS
from sshjobs.network.transport import TRANSPORTS

if TYPE_CHECKING:
    from sshjobs.model.host import Host

_Function = TypeVar("_Function", bound=Callable[..., Any])

_META = "sshjobs.options."
_USUAL = (click.core.ParameterSource.ENVIRONMENT, click.core.ParameterSource.DEFAULT_MAP)


def results_option(function: _Function) -> _Function:
    """Add ``--results``."""
    return click.option(
        "--results", type=click.Path(path_type=Path), default=Path("results"), envvar="SSHJOBS_RESULTS",
        show_default=True, show_envvar=True, metavar="DIR", help="Directory that the runs are in.",
    )(function)


def cause_option(about: str) -> Callable[[_Function], _Function]:
    """Return what adds ``--cause``; its values are those of :class:`sshjobs.model.causes.EndCause`."""
    return click.option("--cause", "causes", multiple=True, metavar="CAUSE", type=click.Choice([*map(str, EndCause)]),
                        help=f"{about} that ended for this cause, as `sshjobs why` tells it; may be repeated.")


def max_jobs_option(function: _Function) -> _Function:
    """Add ``--max-jobs``."""
    return click.option("--max-jobs", type=click.IntRange(1, MOST_JOBS), default=1_000_000, metavar="N",
                        help="Refuse a JOBFILE that makes more jobs.  [default: 1,000,000]")(function)


def output_options(function: _Function) -> _Function:
    """Add ``--quiet``, ``--json`` and ``-v``."""
    function = click.option("-v", "--verbose", count=True, help="Say more; twice for everything.")(function)
    function = click.option("--json", "as_json", is_flag=True,
                            help="Print one JSON object per event, and nothing else.")(function)
    return click.option("-q", "--quiet", is_flag=True, help="Print failures and the summary only.")(function)


def seconds_of(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Return the seconds that the value of an option means."""
    if value is None:
        return None
    from sshjobs.inputs.timespans import parse_duration

    return parse_duration(value)


def give_up_option(function: _Function) -> _Function:
    """Add how long hosts that are away are waited for."""
    return click.option("--give-up-host", metavar="TIME", callback=seconds_of,
                        help="End the run when it only waits for hosts that were away for so long, such as 2h.  "
                             "[default: wait]")(function)


def new_keys_option(function: _Function) -> _Function:
    """Add ``--accept-new-host-keys``; :func:`accepts_new_keys` tells whether it was given."""
    return click.option("--accept-new-host-keys", is_flag=True, expose_value=False, callback=_keep,
                        help="Accept keys of hosts that ssh has never seen, and note them; never changed or revoked "
                             "ones.")(function)


def accepts_new_keys() -> bool:
    """Tell whether the command accepts keys of hosts that ssh has never seen."""
    return bool(click.get_current_context().meta.get(_META + "accept_new_host_keys"))


def transport_option(about: str) -> Callable[[_Function], _Function]:
    """Return what adds ``--transport``."""
    return click.option("--transport", type=click.Choice(list(TRANSPORTS)), help=about)


def network_options(function: _Function) -> _Function:
    """Add what says how hosts are reached."""
    function = click.option("-j", "--slots", type=click.IntRange(1, MAX_SLOTS), metavar="N",
                            help="Jobs at a time on a host whose line says nothing about it.  "
                                 "[default: its cores]")(function)
    function = transport_option("How to reach hosts; local: all of them are this machine.")(function)
    function = click.option("--ssh-config", metavar="FILE",
                            help="Use this ssh configuration instead of your own.")(function)
    function = new_keys_option(function)
    function = click.option("--direct", is_flag=True, expose_value=False, callback=_keep,
                            help="Contact the workers of --clusters directly.")(function)
    return click.option("--clusters", multiple=True, metavar="FILE,…", expose_value=False, callback=_keep,
                        help="Files whose first line is a management host, through which the hosts on the other "
                             "lines are reached; may be repeated.")(function)


def manners_option(function: _Function) -> _Function:
    """Add ``--manners``, which :func:`hosts_of` heeds."""
    return click.option("--manners", metavar="WORDS", expose_value=False, callback=_manners,
                        help="How hosts whose lines say nothing about it want to be treated, such as "
                             "'max_load=8 only=20:00-08:00'.")(function)


def _manners(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    from sshjobs.inputs.manners import read_manners

    try:
        context.meta[_META + "manners"] = {} if value is None else read_manners(value)
    except ValueError as error:
        raise UsageError(f"--manners{error}") from None


class _Hosts(click.types.StringParamType):
    """A hosts file or a list of hosts. In the environment there is one of them, whatever blanks it holds."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        return [rv]


def hosts_option(*, required: bool = False, here: bool = True,
                 groups: bool = False) -> Callable[[_Function], _Function]:
    """Return what adds ``--hosts``.

    :param required: without it, and without ``SSHJOBS_HOSTS``, nothing can be done
    :param here: without it this machine is meant
    :param groups: ``@GROUP`` can be named
    """
    text = f"A hosts file, or a list such as h1,node[01-16]{',@GROUP' if groups else ''}; may be repeated."
    if here and not required:
        text += "  [default: this machine]"
    return click.option("--hosts", multiple=True, metavar="HOSTS", required=required, type=_Hosts(),
                        shell_complete=candidates.hosts, envvar="SSHJOBS_HOSTS", help=text)


def hosts_of(values: Sequence[str]) -> list[Host]:
    """Return the hosts of all ``--hosts``, each a hosts file or a list such as ``h1,node[01-16],@gpu``, and of all
    ``--clusters`` of the command.

    :raises InputError: every mistake in all of them
    :raises UsageError: two of them name the same host
    """
    from sshjobs.inputs.hostchoice import choose_hosts

    context = click.get_current_context()
    if context.meta.get(_META + "clusters") and context.get_parameter_source("hosts") in _USUAL:
        # Who names clusters means these, not the usual hosts.
        values = ()
    elif values and all(value.startswith("@") for value in values) and (usual := os.environ.get("SSHJOBS_HOSTS")) and (
            not context.meta.get(_META + "clusters")):
        # @GROUP alone chooses from the usual hosts.
        values = (usual, *values)
    hosts = choose_hosts(values, _hosts_of_clusters)
    if manners := context.meta.get(_META + "manners"):
        from sshjobs.inputs.hostfile import load_hosts
        from sshjobs.inputs.manners import with_manners

        return with_manners(hosts or load_hosts("localhost"), manners)
    return hosts


def _hosts_of_clusters() -> list[Host]:
    """Return the workers of all ``--clusters``."""
    meta = click.get_current_context().meta
    files = [file for value in meta.get(_META + "clusters", ()) for file in value.split(",")]
    direct = bool(meta.get(_META + "direct"))
    if not files:
        if direct:
            raise UsageError("--direct is about --clusters, and there are none", hint="leave it out")
        return []
    from sshjobs.inputs.clusterfile import hosts_of_clusters, load_clusterfile

    clusters, problems = [], list[Problem]()
    for file in files:
        try:
            clusters.append(load_clusterfile(file))
        except InputError as error:
            problems.extend(error.problems)
    if problems:
        raise InputError(problems)
    return hosts_of_clusters(clusters, direct=direct)


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a value for :func:`hosts_of`: commands need not hand it on."""
    context.meta[f"{_META}{parameter.name}"] = value


def setup_of(jobfile: str) -> list[str]:
    """Return the setup of a jobfile.

    :raises InputError: the jobfile has mistakes
    :raises UsageError: it has no setup
    """
    from sshjobs.inputs.jobfile import load_jobfile

    script: list[str] | None = load_jobfile(jobfile).run.get("setup")
    if script is None:
        raise UsageError("the jobfile has no setup", where=jobfile, hint="write setup: and a script beside jobs")
    return script
