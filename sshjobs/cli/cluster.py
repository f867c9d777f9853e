"""``sshjobs cluster``, and the same as ``sshjobs-cluster``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from sshjobs.cli.cluster_hosts import COMMANDS
from sshjobs.cli.clustertype import given_before, kind_of
from sshjobs.cli.logsetup import configure
from sshjobs.errors import UsageError

#: Options of the group by what they set: given before the command, they count for it too.
_OPTIONS = {"-t": "kind", "--type": "kind", "-c": "config_file", "-p": "profile", "--name": "name"}


class _Cluster(click.Group):
    """Commands of our own, and all those that the type has."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [command.name or "" for command in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or (None if ctx.resilient_parsing else _engine_command(cmd_name))


def _engine_command(name: str) -> click.Command:
    """Return the command of a type. What stands after its name is for the type to understand."""
    return click.Command(
        name, callback=lambda words: _carry_out(name, list(words)), add_help_option=False,
        params=[click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})


def _carry_out(name: str, words: list[str]) -> int:
    from sshjobs.cluster.plugins import plugin_of

    given = given_before()
    rest = _take(words, given)
    kind = kind_of(given)
    configure(1 if given.get("verbose") else 0)
    options = [word for option, key in (("-c", "config_file"), ("-p", "profile"), ("--name", "name"))
               if (value := given.get(key)) is not None for word in (option, value)]
    return plugin_of(kind).RunMain([*options, *(["-v"] if given.get("verbose") else []), name, *rest])


def _take(words: Sequence[str], given: dict[str, Any]) -> list[str]:
    """Take our options out of the words of a command, and return the others.

    :raises UsageError: a value is missing
    """
    rest, others = list(words), []
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if option in _OPTIONS:
            if not equals and not rest:
                raise UsageError(f"{option} needs a value", hint="see: sshjobs cluster --help")
            given[_OPTIONS[option]] = value if equals else rest.pop(0)
        elif word in ("-v", "--verbose"):
            given["verbose"] = True
        else:
            others.append(word)
    return others


@click.group("cluster", cls=_Cluster, no_args_is_help=False)
@click.option("-t", "--type", "kind", metavar="TYPE",
              help="gearman, ipython, zmq, dask, or one that another package brings.  [default: SSHJOBS_CLUSTER_TYPE, "
                   "GLIMPSE_CLUSTER_TYPE, or that of the last one that is up]")
@click.option("-c", "config_file", metavar="FILE",
              help="How it is reached: an INI file, read after those that SSHJOBS_CLUSTER_CONFIG and "
                   "GLIMPSE_CLUSTER_CONFIG name.")
@click.option("-p", "profile", metavar="PROF", help="Profile of ipython.")
@click.option("--name", metavar="NAME", help="Which of several engine clusters is meant.  [default: the last one]")
@click.option("-v", "--verbose", is_flag=True, help="Say more.")
def command(**options: Any) -> None:
    """Map functions of Python over workers of gearman, ipython, zmq or dask.

    A type has commands of its own: LaunchBroker (dask: LaunchScheduler), LaunchWorker, PingWorkers [SECS],
    RestartWorkers and KillWorkers; zmq also has FlushCluster.
    """


for _command in COMMANDS:
    command.add_command(_command)
