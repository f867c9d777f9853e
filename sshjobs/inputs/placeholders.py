"""Placeholders of ``exec``: they stand for values in a command.

- ``{}``: the value, or all values of the job, as words; ``{2}``: the value from the second source
- of a path such as ``a/b.txt``: ``{.}`` is ``a/b``, ``{/}`` is ``b.txt``, ``{//}`` is ``a``, ``{/.}`` is ``b``;
  ``{2.}`` and so on of the second source
- ``{#}``: the number of the job, from 1; ``{%}``: the number of its slot on its host, from 1
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.inputs.shelltext import Quoting

#: The variable that tells a job its slot.
SLOT = "SSHJOBS_SLOT"

_PLACEHOLDER = re.compile(r"\{(?:([0-9]{0,6})(//|/\.|\.|/)?|([#%]))\}")
#: The part of a placeholder that only GNU parallel has.
_FOREIGN = "foreign"
_EXTENSION = r"\.[^/.]*\Z"


def _last_name(value: str) -> str:
    return value.rpartition("/")[2]


def _directory(value: str) -> str:
    """Return the same as dirname(1)."""
    path = value.rstrip("/")
    if not path:
        return "/" if value else "."
    return path.rpartition("/")[0].rstrip("/") or ("/" if path.startswith("/") else ".")


def _without_extension(value: str) -> str:
    return re.sub(_EXTENSION, "", value)


_PARTS: dict[str, Callable[[str], str]] = {
    "": lambda value: value,
    ".": _without_extension,
    "/": _last_name,
    "//": _directory,
    "/.": lambda value: _without_extension(_last_name(value)),
}


class Placeholder(NamedTuple):
    """One placeholder.

    :ivar text: as it was written
    :ivar source: the number of its source, from 1; 0 for all sources
    :ivar part: which part of the value it means; ``#``: the number of the job; ``%``: its slot; ``foreign``: only GNU
        parallel knows it, so :meth:`check` refuses it
    """

    text: str
    source: int
    part: str

    def check(self, arity: int) -> None:
        """Check that a job has the value that this asks for.

        :param arity: how many values a job has
        :raises UsageError: it has not, or there is no such placeholder here
        """
        if self.part == _FOREIGN:
            from sshjobs.inputs.foreign import advice, foreign_at

            if (found := foreign_at(self.text, 0)) is not None:
                raise UsageError(f"{self.text} is a placeholder of GNU parallel ({found[0].meaning}), and none here",
                                 hint=advice(found[0], self.text))
        if self.source > arity:
            have = f"a job has {arity} value{'' if arity == 1 else 's'}" if arity else "there are no values"
            raise UsageError(f"{self.text} asks for value {self.source}, and {have}",
                             hint=f"add a source, or write \\{self.text} for the text itself")

    def keys(self, arity: int) -> list[tuple[int, str]]:
        """Return source and part of each value that it means, in order."""
        if self.source or self.part in "#%" and self.part:
            return [(self.source, self.part)]
        return [(source, self.part) for source in range(1, arity + 1)]

    def values(self, values: Sequence[str], number: int) -> list[str]:
        """Return its values in one job.

        :param number: of the job, from 1
        """
        return [value_of(key, values, number) for key in self.keys(len(values))]


def value_of(key: tuple[int, str], values: Sequence[str], number: int) -> str:
    """Return the value that one of :meth:`Placeholder.keys` means in one job."""
    source, part = key
    return str(number) if part == "#" else _PARTS[part](values[source - 1])


def placeholder_at(text: str, at: int) -> Placeholder | None:
    """Return the placeholder that begins at a place of a text, if there is one."""
    found = _PLACEHOLDER.match(text, at)
    if found is None:
        if not text.startswith("{", at):
            return None
        # Only few commands hold a brace that begins none of ours.
        from sshjobs.inputs.foreign import foreign_at

        foreign = foreign_at(text, at)
        return None if foreign is None else Placeholder(text[at : at + foreign[1]], 0, _FOREIGN)
    digits, part, word = found.groups()
    if digits and int(digits) == 0:
        raise UsageError(f"{found[0]} asks for value 0", hint="values count from 1")
    return Placeholder(found[0], int(digits or 0), word or part or "")


def braces(text: str, at: int, quoting: Quoting | None) -> tuple[int, str | Placeholder] | None:
    """Find the placeholders in lines of shell (see :data:`sshjobs.inputs.shelltext.Finder`)."""
    escaped = text.startswith("\\{", at)
    found = placeholder_at(text, at + escaped)
    if found is None:
        return None
    # Outside quotes the shell itself removes the backslash.
    plain = ("\\" if quoting is Quoting.WORD else "") + found.text
    return len(found.text) + escaped, plain if escaped else found


class TextTemplate:
    """A text with placeholders, such as a path or one word of a command.

    A backslash before a placeholder makes it plain text, and ``${1}`` is none.

    :raises UsageError: it asks for value 0
    """

    def __init__(self, text: str):
        self.pieces: list[str | Placeholder] = []
        at = start = 0
        while (at := text.find("{", at)) >= 0:
            found = placeholder_at(text, at)
            if found is None or text[at - 1 : at] == "$":
                at += 1
                continue
            escaped = text[at - 1 : at] == "\\"
            self.pieces += [text[start : at - escaped], found.text if escaped else found]
            at = start = at + len(found.text)
        self.pieces = [piece for piece in [*self.pieces, text[start:]] if piece]

    @property
    def placeholders(self) -> list[Placeholder]:
        """Those that are in it."""
        return [piece for piece in self.pieces if isinstance(piece, Placeholder)]

    def fill(self, values: Sequence[str], number: int) -> str:
        """Return the text for one job; several values of ``{}`` with a blank between them."""
        return "".join(piece if isinstance(piece, str) else " ".join(piece.values(values, number))
                       for piece in self.pieces)
