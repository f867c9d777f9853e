"""What a command that acts says at its end: a sentence, or with ``--json`` the same as an object."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from sshjobs.cli.words import handle
from sshjobs.errors import printable
from sshjobs.store.rundir import RunPaths

_Function = TypeVar("_Function", bound=Callable[..., Any])


def json_option(function: _Function) -> _Function:
    """Add ``--json`` to a command that acts."""
    return click.option("--json", "as_json", is_flag=True,
                        help="Say what came of it as one JSON object, and nothing else.")(function)


def answer(text: str, document: dict[str, Any], *, as_json: bool) -> None:
    """Print what came of it."""
    click.echo(json.dumps(document) if as_json else printable(text))


def answer_of_run(paths: RunPaths, text: str, *, live: bool, as_json: bool, **more: Any) -> None:
    """Print what came of a request to a run; where nobody manages that, what to do so that it is carried out.

    :param live: a manager does it
    :param more: what else an object says
    """
    later = "" if live else f"; nobody manages it at present; to go on: sshjobs resume {handle(paths)}"
    answer(text + later, {"run": paths.name, "attended": live, **more}, as_json=as_json)
