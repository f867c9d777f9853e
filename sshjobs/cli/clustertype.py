"""Which engine cluster a command is about."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from sshjobs.errors import UsageError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def given_before() -> dict[str, Any]:
    """Return what the options of ``sshjobs cluster`` say that stand before the command."""
    parent = click.get_current_context().parent
    return {} if parent is None else {key: value for key, value in parent.params.items() if value}


def which_options(function: _Function) -> _Function:
    """Add ``-t`` and ``--name``; what stands before the command counts where they are left out."""
    function = click.option("--name", metavar="NAME", callback=_or_before,
                            help="Which of several engine clusters is meant.  [default: the last one]")(function)
    return click.option("-t", "--type", "kind", metavar="TYPE", callback=_or_before,
                        help="gearman, ipython, zmq or dask.")(function)


def _or_before(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    before = {} if context.parent is None else context.parent.params
    return value or before.get(str(parameter.name))


def kind_of(given: Mapping[str, Any]) -> str:
    """Return the type that is meant: the given one, that of the environment, or that of the engine cluster that was
    brought up last.

    :param given: ``kind``, ``config_file`` and ``name``, as far as they were given
    :raises UsageError: there is none of them
    """
    from sshjobs.cluster.plugins import kind_from_environment, kinds
    from sshjobs.pools.config import FILES_FROM, last_recorded

    kind = given.get("kind") or kind_from_environment()
    if kind is not None:
        return str(kind)
    # A configuration that is named is not that of the last one.
    named = given.get("config_file") is not None or (given.get("name") is None and any(map(os.environ.get, FILES_FROM)))
    recorded = None if named else last_recorded(name=given.get("name"))
    if recorded is None:
        raise UsageError("no type of engine cluster is given", hint=f"give -t and one of {', '.join(kinds())}")
    return (recorded / "type").read_text(encoding="utf-8").strip()
