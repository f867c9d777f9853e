"""A command with placeholders, as a line of shell or as words, and what a job runs for its values.

No shell ever parses a value. Words are passed to the program as they are; for a line, the script of a job first sets
variables, and the line uses those in place of its placeholders::

    sshjobs_1='it'"'"'s; rm -rf ~'
    gzip -9 "${sshjobs_1}"
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Protocol

from sshjobs.errors import UsageError
from sshjobs.inputs.limits import INTEGER
from sshjobs.inputs.placeholders import SLOT, Placeholder, TextTemplate, braces, value_of
from sshjobs.inputs.shelltext import Hole, P, Quoting, holes
from sshjobs.model.spec import JobSpec

#: Beginning of the variables that hold the values; shells know them, programs do not.
VARIABLE = "sshjobs_"

# What only --dry-run needs is not compiled here.
# Shown without quotes only if that means the same: no blank, no special character, no reserved word of the shell.
_PLAIN = r"[A-Za-z0-9_./:@%+-]+"
_PLAIN_SO_FAR = r"[A-Za-z0-9_./:@%+=-]*"
_GRAMMAR = frozenset("case coproc do done elif else esac fi for function if in select then time until while".split())
# Within "…" a value could be joined with these: the name of a variable, or a backslash.
_GLUE = r"(?:\$[A-Za-z0-9_]*|\\)\Z"


class Command(Protocol):
    """What jobs run."""

    def fill(self, spec: JobSpec, values: Sequence[str], number: int) -> None:
        """Set what a spec runs.

        :param values: the job's values, one for each source
        :param number: the job's number, from 1
        :raises UsageError: a value is not allowed in its place
        """

    def shown(self, values: Sequence[str], number: int) -> str:
        """Return a line of shell that does the same as :meth:`fill`, for people."""


class Line:
    """A line of shell.

    :param text: the line
    :param arity: how many values each job has
    :param appends: without any placeholder, the values are appended to the line
    :raises UsageError: a placeholder asks for more values, or stands where no value is allowed
    """

    def __init__(self, text: str, arity: int, *, appends: bool = True):
        pieces = holes(text, braces)
        if arity and appends and not any(isinstance(piece, Hole) for piece in pieces):
            pieces = holes(f"{text.rstrip()} {{}}", braces)
            if not isinstance(pieces[-1], Hole) or pieces[-1].quoting is not Quoting.WORD:
                raise UsageError("the command ends within quotes or a comment, so no value can follow it",
                                 hint="write {} where values go")
        self._pieces, self._arity = pieces, arity
        #: The number of the variable for each value that the line uses.
        self._variables: dict[tuple[int, str], int] = {}
        self._numbers: set[tuple[int, str]] = set()
        numbers = _worked_out(pieces)
        for n, piece in enumerate(pieces):
            if isinstance(piece, Hole):
                piece.placeholder.check(arity)
                if piece.quoting is Quoting.NUMBER or n in numbers:
                    self._numbers.update(piece.placeholder.keys(arity))
        self._body = "".join(piece if isinstance(piece, str) else self._reference(piece) for piece in pieces)

    def _reference(self, hole: Hole[Placeholder]) -> str:
        placeholder = hole.placeholder
        if hole.quoting is Quoting.COMMENT:
            return placeholder.text
        names = [SLOT] if placeholder.part == "%" else [
            f"{VARIABLE}{self._variables.setdefault(key, len(self._variables) + 1)}"
            for key in placeholder.keys(self._arity)]
        return reference(hole, names)

    def fill(self, spec: JobSpec, values: Sequence[str], number: int) -> None:
        """See :meth:`Command.fill`."""
        spec.argv, spec.cmds = None, self._script(values, number)

    def _script(self, values: Sequence[str], number: int) -> list[str]:
        lines = []
        for key, variable in self._variables.items():
            value = value_of(key, values, number)
            if key in self._numbers and not INTEGER.fullmatch(value):
                raise UsageError(f"where the shell does arithmetic only a whole number can stand, not {value[:60]!r}",
                                 why="it would obey anything else",
                                 hint="check the values, or compare texts: [[ {} == 1 ]]")
            lines.append(f"{VARIABLE}{variable}={shlex.quote(value)}")
        return [*lines, self._body]

    def shown(self, values: Sequence[str], number: int) -> str:
        """See :meth:`Command.shown`."""
        if any(isinstance(piece, Hole) and piece.odd for piece in self._pieces):
            return "; ".join(self._script(values, number))
        text = ""
        for n, piece in enumerate(self._pieces):
            if isinstance(piece, str):
                text += piece
                continue
            after = self._pieces[n + 1] if n + 1 < len(self._pieces) else ""
            text += _shown(piece, values, number, text, after[0] if isinstance(after, str) and after else "")
        return text


class Words:
    """A program and its arguments, without a shell.

    :param words: the words
    :param appends: without any placeholder, the values are appended as further words
    :raises UsageError: a placeholder asks for more values than jobs have, or for a slot
    """

    def __init__(self, words: Sequence[str], arity: int, *, appends: bool = True):
        self._words = [TextTemplate(word) for word in words]
        found = [placeholder for word in self._words for placeholder in word.placeholders]
        if arity and appends and not found:
            self._words.append(TextTemplate("{}"))
        for placeholder in found:
            if placeholder.part == "%":
                raise UsageError("{%} is known on the host only, so it needs a shell",
                                 hint="write the whole command as one word, in quotes")
            placeholder.check(arity)

    def _fill(self, values: Sequence[str], number: int) -> list[str]:
        argv: list[str] = []
        for word in self._words:
            if len(word.pieces) == 1 and isinstance(word.pieces[0], Placeholder):
                argv += word.pieces[0].values(values, number)
            else:
                argv.append(word.fill(values, number))
        if not argv[0]:
            raise UsageError("a job would have an empty name of a program to run", where=f"job {number}")
        return argv

    def fill(self, spec: JobSpec, values: Sequence[str], number: int) -> None:
        """See :meth:`Command.fill`."""
        spec.argv, spec.cmds = self._fill(values, number), []

    def shown(self, values: Sequence[str], number: int) -> str:
        """See :meth:`Command.shown`."""
        return shlex.join(self._fill(values, number))


def _worked_out(pieces: Sequence[str | Hole[Placeholder]]) -> set[int]:
    if all(isinstance(piece, str) for piece in pieces):
        return set()
    from sshjobs.inputs.arithmetic import worked_out  # without a value nothing is worked out

    return worked_out(pieces)


def reference(hole: Hole[P], names: Sequence[str]) -> str:
    """Return the text that replaces a placeholder in a line of shell: the variables with its values, quoted so that
    each value is one word."""
    texts = [f"${{{name}}}" for name in names]
    if hole.quoting is Quoting.WORD:
        return " ".join(f'"{text}"' for text in texts)
    text = " ".join(texts)
    return {Quoting.SINGLE: f"""'"{text}"'""", Quoting.ANSI: f"""'"{text}"$'"""}.get(hole.quoting, text)


def _shown(hole: Hole[Placeholder], values: Sequence[str], number: int, before: str, after: str) -> str:
    placeholder, quoting = hole.placeholder, hole.quoting
    if quoting is Quoting.COMMENT:
        return placeholder.text
    if placeholder.part == "%":
        name = f"${{{SLOT}}}"
        return {Quoting.WORD: f'"{name}"', Quoting.SINGLE: f"""'"{name}"'""",
                Quoting.ANSI: f"""'"{name}"$'"""}.get(quoting, name)
    found = placeholder.values(values, number)
    if quoting is Quoting.WORD:
        return " ".join(_shown_word(value, before, after) for value in found)
    text = " ".join(found)
    if quoting is Quoting.SINGLE:
        return text.replace("'", "'\"'\"'")
    if quoting is Quoting.ANSI:
        return text.replace("\\", "\\\\").replace("'", "\\'")
    if quoting is Quoting.DOUBLE and (re.search(_GLUE, before[-200:]) or re.search(r'[$`"\\!]', text)):
        return f'"{_quoted(text)}"'
    return text


def _shown_word(value: str, before: str, after: str) -> str:
    start = max(before.rfind(char) for char in " \t\n;|&(") + 1
    plain = (re.fullmatch(_PLAIN, value) and value not in _GRAMMAR and re.fullmatch(_PLAIN_SO_FAR, before[start:])
             and (not after or after in " \t\n;|&)./:-"))
    return value if plain else _quoted(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"
