"""Finds out how the placeholders in a line of shell are quoted.

Only for the form in which a value is put there. No value ever becomes part of the line (see
:mod:`sshjobs.inputs.commandline`), so that where this is mistaken, a value may be split, and never obeyed.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.inputs.placeholders import Placeholder, placeholder_at

_HERE_DOCUMENT = re.compile(r"<<(?!<)")
_CASE = re.compile(r"case(?=[ \t])")
_ESAC = re.compile(r"esac(?![\w-])")
# Where the shell takes a word for one of its grammar.
_BEGINS_COMMAND = re.compile(r"(?:^|[;|&(`{\n]|\b(?:then|do|else|elif|if|while|until|!))[ \t]*\Z")


class Quoting(Enum):
    """How the text around a placeholder is quoted."""

    WORD = "not at all"
    DOUBLE = '"…"'
    SINGLE = "'…'"
    ANSI = "$'…'"
    NUMBER = "((…))"
    COMMENT = "# …"


class Hole(NamedTuple):
    """A placeholder in a line of shell.

    :ivar odd: within what has rules of its own for quoting: `…`, case
    """

    placeholder: Placeholder
    quoting: Quoting
    odd: bool


# What a part of the line that may hold others is: how a placeholder in it is quoted; None where none can stand.
_INSIDE: dict[str, Quoting | None] = {
    "line": Quoting.WORD, "(": Quoting.WORD, "case": Quoting.WORD, "`": Quoting.WORD, '"': Quoting.DOUBLE,
    "((": Quoting.NUMBER, "((…(": Quoting.NUMBER, "${": None,
}
_ODD = frozenset(("`", "case"))


def holes(text: str) -> list[str | Hole]:
    """Return a line of shell as text and the placeholders between.

    :raises UsageError: a placeholder stands where no value can
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str):
        self.text, self.at = text, 0
        self.inside = ["line"]
        self.here_document = False
        self.found: list[str | Hole] = []
        self.plain: list[str] = []

    def scan(self) -> list[str | Hole]:
        while self.at < len(self.text):
            if not self._placeholder(_INSIDE[self.inside[-1]]):
                self._step(self.text[self.at])
        self._flush()
        return self.found

    def _take(self, length: int) -> None:
        self.plain.append(self.text[self.at : self.at + length])
        self.at += length

    def _flush(self) -> None:
        if self.plain:
            self.found.append("".join(self.plain))
            self.plain = []

    def _next(self, *words: str) -> bool:
        return self.text.startswith(words, self.at)

    def _placeholder(self, quoting: Quoting | None) -> bool:
        """Take a placeholder, or one made plain text by a backslash, if it stands here."""
        escaped = self._next("\\{")
        found = placeholder_at(self.text, self.at + escaped)
        if found is None:
            return False
        if escaped:
            # Between no quotes the shell itself takes the backslash away.
            self.plain.append(("\\" if quoting is Quoting.WORD else "") + found.text)
        elif "${" in self.inside or self.here_document:
            where = "a here-document" if self.here_document else "${…}"
            raise UsageError(f"{found.text} cannot stand in {where}",
                             hint=f"put it into a variable first: value={found.text}")
        else:
            assert quoting is not None
            self._flush()
            self.found.append(Hole(found, quoting, not _ODD.isdisjoint(self.inside)))
        self.at += escaped + len(found.text)
        return True

    def _step(self, char: str) -> None:
        inside = self.inside[-1]
        words = _INSIDE[inside] is Quoting.WORD
        if char == "\\":
            self._take(2)
        elif char == "`":
            self._tick()
        elif self._next("$$"):
            self._take(2)
        elif self._next("$(("):
            self._open("((", 3)
        elif self._next("$(", "${"):
            self._open("(" if self._next("$(") else "${", 2)
        elif inside in ("((", "((…("):
            self._arithmetic(char)
        elif char == "}" and inside == "${":
            self._close(1)
        elif char == '"':
            if inside == '"':
                self._close(1)
            else:
                self._open('"', 1)
        elif char == "'" and inside != '"':
            self._single(Quoting.ANSI if self.plain and self.plain[-1] == "$" else Quoting.SINGLE)
        elif words:
            self._word(char)
        else:
            self._take(1)

    def _word(self, char: str) -> None:
        """Take what means something only between no quotes."""
        if char == "(":
            self._open("((", 2) if self._next("((") else self._open("(", 1)
        elif char == ")" and self.inside[-1] == "(":
            self._close(1)
        elif _CASE.match(self.text, self.at) and _BEGINS_COMMAND.search(self.text[: self.at][-200:]):
            # Up to its esac a closing parenthesis ends a pattern.
            self._open("case", 4)
        elif self.inside[-1] == "case" and _ESAC.match(self.text, self.at) and not self.text[self.at - 1].isalnum():
            self._close(4)
        elif char == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\n;|&()"):
            self._comment()
        elif _HERE_DOCUMENT.match(self.text, self.at) and self.text[self.at - 1 : self.at] != "<":
            self.here_document = True
            self._take(2)
        else:
            self._take(1)

    def _open(self, kind: str, length: int) -> None:
        self.inside.append(kind)
        self._take(length)

    def _close(self, length: int) -> None:
        self.inside.pop()
        self._take(length)

    def _tick(self) -> None:
        if "`" in self.inside:
            while self.inside[-1] != "`":
                self.inside.pop()
            self._close(1)
        else:
            self._open("`", 1)

    def _arithmetic(self, char: str) -> None:
        if char == "(":
            self._open("((…(", 1)
        elif char == ")":
            self._close(2 if self.inside[-1] == "((" and self._next("))") else 1)
        else:
            self._take(1)

    def _single(self, quoting: Quoting) -> None:
        """Take '…' to its end: nothing in it means anything, but for backslashes in $'…'."""
        self._take(1)
        while self.at < len(self.text) and not self._next("'"):
            if not self._placeholder(quoting):
                self._take(2 if quoting is Quoting.ANSI and self._next("\\") else 1)
        self._take(1)

    def _comment(self) -> None:
        while self.at < len(self.text) and not self._next("\n"):
            if not self._placeholder(Quoting.COMMENT):
                self._take(1)
