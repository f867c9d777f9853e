"""The lines that are typed behind ``:`` and ``/``: what they mean. Pure: nothing is carried out here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.model.similar import similar
from sshjobs.model.states import STATES

#: Views by the words that lead to them; the first letters are enough where they are of one only.
VIEWS = ("jobs", "hosts", "failures", "parameters", "logs")
#: Commands: what they take, and what they do.
COMMANDS = {
    **{view: ("", f"show the {view}") for view in VIEWS[:-1]},
    "logs": ("[JOB]", "show what a job writes"),
    "sort": ("[-]COLUMN", "sort by a column, with - the largest first"),
    "cancel": ("[JOB...]", "cancel jobs, after a question"),
    "retry": ("[JOB...]", "try jobs again that ended without success"),
    "pause": ("", "launch nothing more"),
    "unpause": ("", "launch again"),
    "drain": ("[HOST...]", "launch nothing more on hosts"),
    "undrain": ("[HOST...]", "use hosts again"),
    "slots": ("HOST N", "so many jobs at a time on a host"),
    "help": ("", "show keys and commands"),
    "quit": ("", "leave; the run goes on"),
}


class Command(NamedTuple):
    """A command with its words."""

    name: str
    words: tuple[str, ...]


class Filter(NamedTuple):
    """What a line behind ``/`` keeps.

    :ivar text: a part of the name, in any case
    :ivar states: any of these; none means all
    :ivar host: the host of the newest attempt
    :ivar params: values of parameters, as ``lr=0.1, seed=3``
    """

    text: str = ""
    states: tuple[str, ...] = ()
    host: str | None = None
    params: str = ""


def command_of(line: str) -> Command:
    """Return the command that a line is.

    :raises UsageError: it is none
    """
    words = line.split()
    if not words:
        raise UsageError("no command", hint=f"they are {', '.join(COMMANDS)}")
    name = words[0].lower()
    fitting = [one for one in COMMANDS if one.startswith(name)]
    if name not in COMMANDS and len(fitting) != 1:
        near = fitting or similar(name, COMMANDS, 3, 0.5)
        raise UsageError(f"no command is called '{name[:40]}'",
                         hint=f"did you mean {' or '.join(near)}?" if near else f"they are {', '.join(COMMANDS)}")
    return Command(name if name in COMMANDS else fitting[0], tuple(words[1:]))


def filter_of(line: str) -> Filter:
    """Return what a line keeps: words of it that are ``state=error``, ``host=gpu1`` or ``lr=0.1`` say more than a part
    of the name.

    :raises UsageError: there is no such state
    """
    text: list[str] = []
    params: list[str] = []
    states: list[str] = []
    host = None
    for word in line.split():
        name, equals, value = word.partition("=")
        if not equals or not name:
            text.append(word)
        elif name == "state":
            states += [_state(one) for one in value.split(",") if one]
        elif name == "host":
            host = value
        else:
            params.append(word.rstrip(","))
    return Filter(" ".join(text), tuple(states), host, ", ".join(params))


def _state(word: str) -> str:
    if word not in STATES:
        raise UsageError(f"no state is called '{word[:40]}'", hint=f"they are {', '.join(STATES)}")
    return word


def sort_of(word: str, columns: Sequence[str]) -> tuple[str, bool]:
    """Return the column to sort by, and whether the largest is first.

    :raises UsageError: there is no such column
    """
    descending, name = word.startswith("-"), word.lstrip("+-").lower()
    fitting = [column for column in columns if column.startswith(name)] if name else []
    if not fitting:
        raise UsageError(f"no column is called '{name[:40]}'", hint=f"they are {', '.join(columns)}")
    return fitting[0], descending
