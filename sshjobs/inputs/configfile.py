"""The user's file of settings, ``~/.config/sshjobs/config.toml``: defaults for the command line.

It has settings for all commands (:data:`GENERAL`), options of single commands below ``commands``, and named profiles
with settings for one purpose::

    profile = "lab"                     # the default profile
    results = "/data/results"

    [commands.run]
    output = "line"

    [profiles.lab]
    hosts = "~/lab/hosts.txt"

    [profiles.lab.commands."hosts check"]
    slots = 4
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sshjobs.errors import InputError, Problem, UsageError
from sshjobs.inputs.source import check_text, read_input
from sshjobs.model.similar import similar
from sshjobs.model.telling import KEYS, telling_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: The largest file, in bytes.
MAX_BYTES = 2**18
#: The longest line, in characters: the TOML parser takes long for keys of thousands of parts.
LONGEST = 2000
#: Settings for all commands, with their types.
GENERAL: dict[str, type] = {"hosts": str, "results": str, "accessible": bool, **dict.fromkeys(KEYS, object)}
_KINDS: dict[type, str] = {str: "a text", bool: "true or false"}
_AT = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


@dataclass(frozen=True)
class Setting:
    """One value of the file.

    :ivar command: the words of the command whose option it is; empty for a setting of all commands
    :ivar name: of the setting or, without dashes, of the option
    :ivar profile: the profile that it is in; ``None``: none
    """

    command: str
    name: str
    value: Any
    line: int
    profile: str | None


class ConfigFile:
    """A file of settings that was read and checked, as far as that is possible without the commands.

    :ivar profiles: the names of its profiles
    """

    def __init__(self, path: str, data: bytes, commands: Sequence[str]):
        self.path, self._commands = path, commands
        self._text = check_text(data, path).decode("utf-8")
        for number, line in enumerate(self._text.splitlines(), 1):
            if len(line) > LONGEST:
                raise InputError([Problem(path, number, 1, f"a line has at most {LONGEST:,} characters")])
        try:
            self._tree: dict[str, Any] = tomllib.loads(self._text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            at = _AT.search(str(error))
            place = (int(at[1]), int(at[2])) if at and at[1] else (len(self._text.splitlines()), 1)
            raise InputError([Problem(path, *place, f"is no TOML: {_AT.sub('', str(error))}")]) from None
        self._lines = _lines_of(self._text)
        problems = list(self._problems())
        if problems:
            raise InputError(sorted(problems, key=lambda problem: problem.line))
        self.profiles: list[str] = list(self._tree.get("profiles", {}))

    def problem(self, keys: Sequence[str], message: str) -> Problem:
        """Return a mistake at a key."""
        return Problem(self.path, self.line(keys), 1, message)

    def line(self, keys: Sequence[str]) -> int:
        """Return the line of a key, or of the value that contains it."""
        for n in range(len(keys), 0, -1):
            if (found := self._lines.get(tuple(keys[:n]))) is not None:
                return found
        return 1

    def chosen(self, profile: str | None) -> str | None:
        """Return the profile to use: the one that is named, or the default of the file.

        :raises InputError: there is no such profile
        """
        name = self._tree.get("profile") if profile is None else profile
        if name is not None and name not in self.profiles:
            message = f"there is no profile '{name}'; {_near(name, self.profiles, 'there are')}"
            line, column = (self.line(["profile"]), 1) if profile is None else (0, 0)
            raise InputError([Problem(self.path, line, column, message)])
        return name

    def settings(self, profile: str | None) -> list[Setting]:
        """Return all settings of the file; those of the profile take precedence."""
        found: dict[tuple[str, str], Setting] = {}
        for prefix, name in (((), None), *([(("profiles", profile), profile)] if profile is not None else [])):
            for command, key, value, line in self._said(prefix):
                found[command, key] = Setting(command, key, value, line, name)
        return list(found.values())

    def keys(self, setting: Setting) -> list[str]:
        """Return the path of a setting in the file."""
        before = ["profiles", setting.profile] if setting.profile is not None else []
        return [*before, *(["commands", setting.command] if setting.command else []), setting.name]

    def _said(self, prefix: Sequence[str]) -> Iterator[tuple[str, str, Any, int]]:
        table = self._table(prefix)
        for key in GENERAL:
            if key in table:
                yield "", key, table[key], self.line([*prefix, key])
        for command, options in table.get("commands", {}).items():
            for key, value in options.items():
                yield command, key, value, self.line([*prefix, "commands", command, key])

    def _table(self, prefix: Sequence[str]) -> dict[str, Any]:
        table = self._tree
        for key in prefix:
            table = table[key]
        return table

    def _problems(self) -> Iterator[Problem]:
        yield from self._wrong_in((), ("profile", "profiles"))
        if not isinstance(self._tree.get("profile", ""), str):
            yield self.problem(["profile"], "profile must be a text: the name of one")
        profiles = self._tree.get("profiles", {})
        if not isinstance(profiles, dict):
            yield self.problem(["profiles"], "profiles must be tables; write [profiles.NAME]")
            return
        for name, table in profiles.items():
            if isinstance(table, dict):
                yield from self._wrong_in(("profiles", name), ())
            else:
                yield self.problem(["profiles", name], f"a profile must be a table; write [profiles.{name}]")

    def _wrong_in(self, prefix: Sequence[str], more: Sequence[str]) -> Iterator[Problem]:
        known = [*GENERAL, "commands", *more]
        for key, value in self._table(prefix).items():
            kind = GENERAL.get(key)
            if key not in known:
                yield self.problem([*prefix, key], f"unknown key '{key:.60}'; {_near(key, known, 'there are')}")
            elif kind is not None and not isinstance(value, kind):
                yield self.problem([*prefix, key], f"{key} must be {_KINDS[kind]}")
            elif key in KEYS:
                try:
                    telling_of({key: value})
                except UsageError as error:
                    yield self.problem([*prefix, key], str(error))
        commands = self._table(prefix).get("commands", {})
        if not isinstance(commands, dict):
            yield self.problem([*prefix, "commands"], "commands must be tables; write [commands.run]")
            return
        for name, options in commands.items():
            if name not in self._commands:
                yield self.problem([*prefix, "commands", name],
                                   f"no command is called '{name:.60}'; {_near(name, self._commands, 'they are')}")
            elif not isinstance(options, dict):
                yield self.problem([*prefix, "commands", name],
                                   f'options of a command must be a table; write [commands."{name}"]')


def load_config(path: str, commands: Sequence[str]) -> ConfigFile:
    """Read a file of settings.

    :param commands: the words of all commands
    :raises InputError: every mistake in it
    """
    return ConfigFile(path, read_input(path, MAX_BYTES), commands)


def _near(word: str, known: Sequence[str], otherwise: str) -> str:
    near = similar(str(word), known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"{otherwise} {', '.join(known)}" if known else "there are none"


def _lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Return the lines of keys. A key within an inline value has the line of that value."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.strip()
        if words.startswith("["):
            table = _path(words.partition("#")[0] if words.count('"') < 2 else words) or table
            found.setdefault(table, number)
        elif "=" in words and not words.startswith("#"):
            inner = _path(words[:_equals(words)] + "= 0")
            for n in range(1, len(inner) + 1):
                found.setdefault((*table, *inner[:n]), number)
    return found


def _equals(words: str) -> int:
    """Return the position of the first equals sign outside quotes."""
    quote = ""
    for n, letter in enumerate(words):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "=":
            return n
    return len(words)


def _path(line: str) -> tuple[str, ...]:
    """Return the parts of the name in a header, or in a key with a value; none for other lines."""
    try:
        tree: Any = tomllib.loads(line)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ()
    path: list[str] = []
    while isinstance(tree, Mapping) and len(tree) == 1:
        ((key, tree),) = tree.items()
        path.append(key)
    return tuple(path)
