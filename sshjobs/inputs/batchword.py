"""``batch:pbs.toml``: a scheduler of the user's own in the place of a host, told by three commands in a file.

The commands are the user's, as those of a jobfile are; what they are given comes as variables, never as text.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from sshjobs.errors import InputError, UsageError
from sshjobs.inputs.hostranges import split_list
from sshjobs.inputs.hostsettings import short
from sshjobs.inputs.slurmword import login_from, time_from
from sshjobs.inputs.source import check_text, read_input

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: How the word begins.
PREFIX = "batch:"
#: The largest file, and the longest command, in bytes.
MAX_BYTES, LONGEST = 1 << 16, 8_000
COMMANDS = ("submit", "ask", "end")
#: Which variable a command cannot do without.
_NEEDS = {"submit": "SSHJOBS_SCRIPT", "end": "SSHJOBS_JOBS"}
_KNOWN = (*COMMANDS, "time")


def read_batch(word: str) -> tuple[tuple[tuple[str, str], ...], list[tuple[int, str]]]:
    """Return what a ``batch:`` word asks for, as hosts have it, and every mistake, each with its offset in the word."""
    items = list(split_list(word[len(PREFIX):])) if word[len(PREFIX):] else []
    at, path = items[0] if items else (0, "")
    found, problems = dict[str, str](), list[tuple[int, str]]()
    for offset, piece in items[1:]:
        key, _, value = piece.partition("=")
        try:
            if key != "login" or "login" in found:
                raise UsageError(f"'{short(piece)}' cannot be said here; write batch:FILE,login=HOST")
            found["login"] = login_from(value)
        except UsageError as error:
            problems.append((len(PREFIX) + offset, str(error)))
    try:
        found.update(_read_file(path))
    except UsageError as error:
        problems.append((len(PREFIX) + at, str(error)))
    order = ("time", "login", "mode", *COMMANDS)
    return tuple((key, found[key]) for key in order if key in found), problems


def _read_file(path: str) -> dict[str, str]:
    """Return what a file of commands says.

    :raises UsageError: the first mistake in it
    """
    if not path or "=" in path:
        raise UsageError("the file with the commands is missing; write batch:pbs.toml")
    try:
        told = _parse(check_text(read_input(path, MAX_BYTES), path).decode("utf-8"), path)
    except InputError as error:
        raise UsageError(str(error.problems[0])) from None
    for key, value in told.items():
        if key not in _KNOWN:
            raise UsageError(f"{short(path)}: '{short(key)}' is nothing that it may say: there are {', '.join(_KNOWN)}")
        if not isinstance(value, str) or not value.strip() or "\0" in value or len(value) > LONGEST:
            raise UsageError(f"{short(path)}: {key} must be text of at most {LONGEST} characters")
    for command in COMMANDS:
        if command not in told:
            raise UsageError(f"{short(path)}: {command} is missing: it takes submit, ask and end")
        if (needed := _NEEDS.get(command)) is not None and not re.search(rf"\$\{{?{needed}\b", told[command]):
            raise UsageError(f"{short(path)}: {command} does not use ${needed}, without which it can do nothing")
    return {**told, "mode": "own", **({"time": time_from(told["time"])} if "time" in told else {})}


def _parse(text: str, path: str) -> dict[str, Any]:
    try:
        return dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"{short(path)}: is no TOML: {error}") from None
