"""Finds out how the placeholders in a line of shell are quoted.

This decides only in which form a value is inserted. No value ever becomes part of the line (see
:mod:`sshjobs.inputs.commandline`): if this module is wrong, a value may be split into words, but is never executed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar

from sshjobs.errors import UsageError

# Not compiled here: few lines hold one of them.
_HERE_DOCUMENT = r"""<<(?!<)(-?)[ \t]*((?:'[^'\n]*'|"[^"\n]*"|\\.|[^\s;|&<>()'"\\])+)"""
_ESAC = r"esac(?![\w-])"
# Where the shell recognises reserved words.
_BEGINS_COMMAND = r"(?:^|[;|&(`{\n]|\b(?:then|do|else|elif|if|while|until|!))[ \t]*\Z"


class Quoting(Enum):
    """How the text around a placeholder is quoted."""

    WORD = "not at all"
    DOUBLE = '"…"'
    SINGLE = "'…'"
    ANSI = "$'…'"
    NUMBER = "((…))"
    COMMENT = "# …"
    HERE = "<<EOF …"


class Written(Protocol):
    """A placeholder."""

    @property
    def text(self) -> str:
        """As it was written."""


P = TypeVar("P", bound=Written)
#: Looks for a placeholder at a place of a text with this quoting: returns its length, and the placeholder or the text
#: that it means; ``None`` if there is none.
Finder = Callable[[str, int, Quoting | None], "tuple[int, str | P] | None"]


class Hole(Generic[P]):
    """A placeholder in a line of shell.

    :ivar odd: it is within a construct that has quoting rules of its own: `…`, case, a here-document
    """

    __slots__ = ("odd", "placeholder", "quoting")

    def __init__(self, placeholder: P, quoting: Quoting, odd: bool):
        self.placeholder, self.quoting, self.odd = placeholder, quoting, odd


class Prose(str):
    """Text that holds no commands: a comment, or lines of a here-document."""


class _HereDocument(NamedTuple):
    end: str
    indented: bool
    quoted: bool


# The constructs that may contain others, with the quoting of a placeholder in each; None: none is allowed there.
_INSIDE: dict[str, Quoting | None] = {
    "line": Quoting.WORD, "(": Quoting.WORD, "case": Quoting.WORD, "`": Quoting.WORD, '"': Quoting.DOUBLE,
    "((": Quoting.NUMBER, "((…(": Quoting.NUMBER, "here": Quoting.HERE, "${": None,
}
_ODD = frozenset(("`", "case", "here"))


def holes(text: str, find: Finder[P]) -> list[str | Hole[P]]:
    """Split lines of shell into text and placeholders. Text without commands is :class:`Prose`.

    :param find: finds the placeholders
    :raises UsageError: a placeholder stands where no value is allowed
    """
    return _Scanner(text, find).scan()


class _Scanner(Generic[P]):
    def __init__(self, text: str, find: Finder[P]):
        self.text, self.at, self.find = text, 0, find
        self.inside = ["line"]
        #: Here-documents whose lines have not begun yet; those that are being read.
        self.announced: list[_HereDocument] = []
        self.here: list[_HereDocument] = []
        self.found: list[str | Hole[P]] = []
        self.plain: list[str] = []
        self.prose = False

    def scan(self) -> list[str | Hole[P]]:
        while self.at < len(self.text):
            if not self._placeholder(_INSIDE[self.inside[-1]]):
                self._step(self.text[self.at])
        self._flush()
        return self.found

    def _take(self, length: int, *, prose: bool = False) -> None:
        if prose is not self.prose:
            self._flush()
            self.prose = prose
        self.plain.append(self.text[self.at : self.at + length])
        self.at += length

    def _flush(self) -> None:
        if self.plain:
            text = "".join(self.plain)
            self.found.append(Prose(text) if self.prose else text)
            self.plain = []

    def _next(self, *words: str) -> bool:
        return self.text.startswith(words, self.at)

    def _matches(self, pattern: str) -> re.Match[str] | None:
        return re.compile(pattern).match(self.text, self.at)

    def _placeholder(self, quoting: Quoting | None) -> bool:
        """Read a placeholder, or an escaped one, if it is here."""
        found = self.find(self.text, self.at, quoting)
        if found is None:
            return False
        length, what = found
        if isinstance(what, str):
            self.plain.append(what)
        elif "${" in self.inside:
            raise UsageError(f"{what.text} cannot stand in ${{…}}",
                             hint=f"put it into a variable first: value={what.text}")
        elif quoting is None:
            raise UsageError(f"{what.text} cannot stand in a here-document whose end is quoted",
                             why="nothing is put into it", hint=f"write <<{self.here[0].end} without quotes")
        else:
            self._flush()
            self.found.append(Hole(what, quoting, not _ODD.isdisjoint(self.inside)))
        self.at += length
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
        elif inside == "here":
            self._here_text(char)
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
        """Read what is special only outside quotes."""
        if char == "(":
            self._open("((", 2) if self._next("((") else self._open("(", 1)
        elif char == ")" and self.inside[-1] == "(":
            self._close(1)
        elif self._next("case ", "case\t") and re.search(_BEGINS_COMMAND, self.text[: self.at][-200:]):
            # Until esac, a closing parenthesis ends a pattern.
            self._open("case", 4)
        elif self.inside[-1] == "case" and self._matches(_ESAC) and not self.text[self.at - 1].isalnum():
            self._close(4)
        elif char == "#" and (self.at == 0 or self.text[self.at - 1] in " \t\n;|&()"):
            self._comment()
        elif char == "<" and (found := self._matches(_HERE_DOCUMENT)) and self.text[self.at - 1 : self.at] != "<":
            end = re.sub(r"""['"\\]""", "", found[2])
            self.announced.append(_HereDocument(end, bool(found[1]), end != found[2]))
            self._take(len(found[0]))
        elif char == "\n" and self.announced:
            self.here, self.announced = self.announced, []
            self.inside.append("here")
            self._take(1)
            self._here_line()
        else:
            self._take(1)

    def _here_line(self) -> None:
        """Read the beginning of a line of a here-document: its end, or a whole line without expansion."""
        while self.here and self.at < len(self.text):
            document = self.here[0]
            end = self.text.find("\n", self.at)
            line, newline = (self.text[self.at :], "") if end < 0 else (self.text[self.at : end], "\n")
            if (line.lstrip("\t") if document.indented else line) == document.end:
                self.here.pop(0)
            elif not document.quoted:
                return
            elif"{" in line:
                until = self.at + len(line)
                while self.at < until:
                    if not self._placeholder(None):
                        self._take(1, prose=True)
                line = ""
            self._take(len(line) + len(newline), prose=True)
        if not self.here:
            self.inside.pop()

    def _here_text(self, char: str) -> None:
        self._take(1, prose=True)
        if char == "\n":
            self._here_line()

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
        """Read '…' to its end: nothing in it is special, except backslashes in $'…'."""
        self._take(1)
        while self.at < len(self.text) and not self._next("'"):
            if not self._placeholder(quoting):
                self._take(2 if quoting is Quoting.ANSI and self._next("\\") else 1)
        self._take(1)

    def _comment(self) -> None:
        while self.at < len(self.text) and not self._next("\n"):
            if not self._placeholder(Quoting.COMMENT):
                self._take(1, prose=True)
