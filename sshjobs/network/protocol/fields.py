"""Kinds of values that a host may send, each with its range: a checked value is safe to compute with, store and show.

Two tables are made of these: one for frames (:mod:`sshjobs.network.protocol.frames`), one for what hosts answer without
an agent (:mod:`sshjobs.network.traces`).
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from sshjobs.errors import printable

#: JSON longer than this is refused if it has many lists and objects: an empty list takes three bytes of text, and
#: seventy of memory.
LONG, MANY_PARTS = 1 << 16, 1000
#: What a result may hold at most: values in all, characters in all, lists and objects in each other, characters of a
#: name, and numbers below this: the far side sends no others.
MANY_VALUES, MANY_LETTERS, DEEPEST, LONGEST_NAME, _NO_INT = 20_000, 1 << 17, 20, 200, 1 << 63


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _short_int(digits: str) -> int:
    """Parse a whole number. Long ones are refused: older Pythons would take very long for them."""
    if len(digits) > 400:
        raise ValueError("a number without end")
    return int(digits)


_LIMITED = getattr(sys, "get_int_max_str_digits", lambda: 0)() > 0
#: Reads JSON, but no NaN and no Infinity.
read_json = json.JSONDecoder(parse_constant=_no_constant, parse_int=None if _LIMITED else _short_int).decode


class Bad(ValueError):
    """A value that a host may not send. ``key`` is the name of its field, where it has one."""

    def __init__(self, key: str = ""):
        self.key = key
        super().__init__(key)


class Field(Protocol):
    """One kind of value."""

    def take(self, value: Any) -> Any:
        """Return the checked value.

        :raises Bad: it is not allowed
        """


class Whole(NamedTuple):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def take(self, value: Any) -> int:
        """See :class:`Field`."""
        # The exact type: bool is an int to Python, not to a protocol.
        if type(value) is not int or not self.low <= value <= self.high:
            raise Bad
        return value


class Real(NamedTuple):
    """A number from ``low`` to ``high``, whole or not."""

    low: float
    high: float

    def take(self, value: Any) -> float:
        """See :class:`Field`."""
        if type(value) not in (int, float) or not self.low <= value <= self.high:
            raise Bad
        return value  # type: ignore[no-any-return]


class Text(NamedTuple):
    """Text for a person. Long text is cut, and control characters are escaped."""

    longest: int

    def take(self, value: Any) -> str:
        """See :class:`Field`."""
        if type(value) is not str:
            raise Bad
        if len(value) <= self.longest and value.isascii() and value.isprintable():
            return value
        # Cut first: escaped text is up to ten times as long.
        text = printable(value[: self.longest])
        return text if len(text) <= self.longest and len(value) <= self.longest else text[: self.longest - 1] + "…"


class Word(NamedTuple):
    """One of a few words."""

    words: frozenset[str]

    def take(self, value: Any) -> str:
        """See :class:`Field`."""
        if type(value) is not str or value not in self.words:
            raise Bad
        return value


class Match(NamedTuple):
    """Text that matches a pattern as a whole; the pattern limits its length."""

    pattern: re.Pattern[str]

    def take(self, value: Any) -> str:
        """See :class:`Field`."""
        if type(value) is not str or not self.pattern.fullmatch(value):
            raise Bad
        return value


class Inner(NamedTuple):
    """A path that stays inside a directory and names something in it. It is not escaped, so it must not be shown as is.

    :ivar longest: how many bytes it may have
    """

    longest: int

    def take(self, value: Any) -> str:
        """See :class:`Field`."""
        if type(value) is not str or "\0" in value or any(name in ("", ".", "..") for name in value.split("/")):
            raise Bad
        try:
            if len(value.encode("utf-8", "surrogateescape")) > self.longest:
                raise Bad
        except UnicodeEncodeError:
            raise Bad from None
        return value


class Flag(NamedTuple):
    """True or false."""

    def take(self, value: Any) -> bool:
        """See :class:`Field`."""
        if type(value) is not bool:
            raise Bad
        return value


class Several(NamedTuple):
    """A list of at most so many of one kind."""

    of: Field
    most: int

    def take(self, value: Any) -> list[Any]:
        """See :class:`Field`."""
        if type(value) is not list or len(value) > self.most:
            raise Bad
        return [self.of.take(one) for one in value]


class Pair(NamedTuple):
    """A list of two."""

    first: Field
    second: Field

    def take(self, value: Any) -> tuple[Any, Any]:
        """See :class:`Field`."""
        if type(value) is not list or len(value) != 2:
            raise Bad
        return self.first.take(value[0]), self.second.take(value[1])


class Maybe(NamedTuple):
    """Null, or another kind. In an object it may also be missing, which is the same."""

    of: Field

    def take(self, value: Any) -> Any:
        """See :class:`Field`."""
        return None if value is None else self.of.take(value)


class Record(NamedTuple):
    """An object with just these fields."""

    fields: Mapping[str, Field]

    def take(self, value: Any) -> dict[str, Any]:
        """See :class:`Field`."""
        if type(value) is not dict or not value.keys() <= self.fields.keys():
            raise Bad
        taken = {}
        for key, field in self.fields.items():
            try:
                taken[key] = field.take(value.get(key))
            except Bad as error:
                raise Bad(error.key or key) from None
        return taken


class Result(NamedTuple):
    """The result of a job: an object with any keys. Text in it is not escaped."""

    def take(self, value: Any) -> dict[str, Any]:
        """See :class:`Field`."""
        if type(value) is not dict:
            raise Bad
        taken: dict[str, Any] = _Budget().checked(value, DEEPEST)
        return taken


class _Budget:
    """How many values and characters one result may still have."""

    def __init__(self) -> None:
        self.parts, self.values, self.room = MANY_PARTS, MANY_VALUES, MANY_LETTERS

    def checked(self, value: Any, depth: int) -> Any:
        """Return the checked value.

        :param depth: how deep lists and objects may be nested from here on
        :raises Bad: there is too much in it, or a number out of range
        """
        self.values -= 1
        kind = type(value)
        if self.values < 0 or (kind is int and not -_NO_INT < value < _NO_INT) or (
                kind is float and not math.isfinite(value)):
            raise Bad
        if kind is str:
            return self._taken(value)
        if kind not in (dict, list):
            return value
        self.parts -= 1
        if self.parts < 0 or not depth:
            raise Bad
        if kind is list:
            return [self.checked(one, depth - 1) for one in value]
        if any(len(name) > LONGEST_NAME for name in value):
            raise Bad
        return {self._taken(name): self.checked(one, depth - 1) for name, one in value.items()}

    def _taken(self, text: str) -> str:
        self.room -= len(text)
        if self.room < 0:
            raise Bad
        return whole_text(text)


def whole_text(text: str) -> str:
    """Return a text without halves of surrogate pairs, which no file can hold."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_heavy(text: bytes, parts: int = MANY_PARTS) -> bool:
    """Return whether long JSON would take many times its length of memory once it is parsed.

    :param parts: lists and objects that may be in it
    """
    return len(text) > LONG and text.count(b"[") + text.count(b"{") > parts


# -- ranges that several fields have ---------------------------------------------------------------------------------

#: Seconds since the epoch: as far as a kernel's clock goes (2^63 nanoseconds).
TIME = Real(0, 9_223_372_036)
#: An attempt's uid: ``<job number>.<attempt number>``.
UID = Match(re.compile(r"[1-9][0-9]{0,8}\.[1-9][0-9]{0,5}"))
#: An exit status; a signal.
STATUS, SIGNAL = Whole(0, 255), Whole(1, 64)
#: A process.
PID = Whole(1, (1 << 31) - 1)
#: Bytes, or any other count: at most what a column of SQLite holds.
SIZE = Whole(0, (1 << 63) - 1)
#: Bytes of memory, which are told in KiB here and there.
MEMORY = Whole(0, 1 << 60)
#: Counts that are shown to a person.
COUNT = Whole(0, 1 << 53)
#: A sentence, the name of something, a path.
SENTENCE, NAME, PATH = Text(1000), Text(255), Text(4096)
