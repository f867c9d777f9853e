"""Finds the placeholders of a line of shell whose values bash would evaluate as arithmetic.

There a value such as ``a[$(touch x)]`` is executed, however it is quoted: between ``((`` and ``))``, but also as an
operand of ``-eq`` in ``[[ … ]]``, for ``let`` and ``declare -i``, as a subscript, where the name of a variable is
expected (``unset``, ``read``, ``printf -v``), and through a variable that one of these mentions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sshjobs.inputs.shelltext import Hole, P, Prose, Quoting

_HOLE = re.compile("\0([0-9]+)\0")
_HERE_STRING = re.compile("<<<([^\0\n]*)\0([0-9]+)\0")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[([^]]*)\])?\+?=(.*)", re.DOTALL)
_ELEMENT = re.compile(r"\[([^]]*)\]\+?=")
_USED = re.compile(r"\$\{?[!#]?([A-Za-z_][A-Za-z0-9_]*|[0-9@*])")
#: What is evaluated, in a line without its quotes.
_SPANS = (re.compile(r"\(\((.*?)\)\)", re.DOTALL), re.compile(r"\$\[(.*?)\]", re.DOTALL),
          re.compile(r"\$\{[A-Za-z_]\w*\[([^]]*)\]"), re.compile(r"\$\{[\w@*]+(?:\[[^]]*\])?:(?![-=?+])([^}]*)\}"),
          re.compile(r"\$\{!([A-Za-z_]\w*)\}"), re.compile(r"\$\{([A-Za-z_]\w*)@P\}"))
_COMPARES = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))
_BEFORE_COMMAND = frozenset("if then else elif do while until ! { time builtin command".split())
_DECLARES = frozenset("declare typeset local readonly export".split())
_NAMES = frozenset("unset getopts mapfile readarray read".split())
#: Options of ``read`` and its like whose next word is no name.
_TAKES_TEXT = frozenset(("-p", "-t", "-n", "-N", "-d", "-u", "-i", "-O", "-s", "-C", "-c", "<<<", "<", ">", ">>"))

_Command = list[str]


def worked_out(pieces: Sequence[str | Hole[P]]) -> set[int]:
    """Return the indexes in ``pieces`` of the placeholders whose values bash would evaluate."""
    quotings = {n: piece.quoting for n, piece in enumerate(pieces) if isinstance(piece, Hole)}
    if all(quoting is Quoting.COMMENT for quoting in quotings.values()):
        return set()
    in_commands = {n for n, quoting in quotings.items() if quoting not in (Quoting.COMMENT, Quoting.HERE)}
    text = "".join(f"\0{n}\0" if n in in_commands else "" if isinstance(piece, (Prose, Hole)) else piece
                   for n, piece in enumerate(pieces))
    return _Flow(text, [n for n, quoting in quotings.items() if quoting is Quoting.HERE]).found()


class _Flow:
    """Follows which parts of a line are evaluated, and which values get there through variables.

    :param read: placeholders in here-documents, which any command may read
    """

    def __init__(self, text: str, read: Sequence[int] = ()):
        self._read = [f"\0{n}\0" for n in (*read, *(hole for _, hole in _HERE_STRING.findall(text)))]
        self._holes: set[int] = set()
        #: Variables whose values are evaluated. A digit, ``@`` or ``*`` stands for the arguments of a function.
        self._mentioned: set[str] = set()
        self._assigned: list[tuple[str, str]] = []
        self._keyed: set[str] = set()
        self._all = {*read, *map(int, _HOLE.findall(text))}
        for span in _SPANS:
            for match in span.finditer(text):
                self._work_out(match[1])
        for command in _commands(text):
            self._command(command)

    def found(self) -> set[int]:
        """Follow the variables, and return the placeholders."""
        before = -1
        while before != len(self._mentioned):
            before = len(self._mentioned)
            for name, value in self._assigned:
                if name in self._mentioned:
                    self._work_out(value, names=False)
        if any(not name[0].isalpha() and name[0] != "_" for name in self._mentioned):
            return self._all
        return self._holes

    def _work_out(self, text: str, *, names: bool = True) -> None:
        """Note that a text is evaluated; ``names``: a bare name in it is a variable."""
        self._holes.update(int(number) for number in _HOLE.findall(text))
        self._mentioned.update(_USED.findall(text))
        if names:
            self._mentioned.update(_NAME.findall(text))

    def _command(self, words: _Command) -> None:
        words = list(words)
        while words and (words[0] in _BEFORE_COMMAND or _ASSIGNED.fullmatch(words[0]) or _ELEMENT.match(words[0])):
            self._assignment(words.pop(0))
        if not words:
            return
        first, rest = words[0], words[1:]
        if first == "let":
            for word in rest:
                self._work_out(word)
        elif first in _DECLARES:
            self._declaration(rest)
        elif first in _NAMES:
            self._given_names(rest, reads=first == "read")
        elif first in ("for", "select") and len(rest) > 1:
            self._assigned += [(rest[0], word) for word in rest[1:]]
        elif first == "printf" and rest[:1] == ["-v"]:
            self._work_out("".join(rest[1:2]), names=False)
            self._assigned += [(rest[1], word) for word in rest[2:]]
        elif first in ("test", "[", "[["):
            self._condition(rest, compares=first == "[[")

    def _assignment(self, word: str) -> None:
        if element := _ELEMENT.match(word):
            self._work_out(element[1])
        elif found := _ASSIGNED.fullmatch(word):
            name, subscript, value = found.groups()
            if subscript is not None and name not in self._keyed:
                self._work_out(subscript)
            self._assigned.append((name, value))

    def _declaration(self, words: _Command) -> None:
        options = "".join(word for word in words if word[:1] in "-+")
        for word in (word for word in words if word[:1] not in "-+"):
            name, _, value = word.partition("=")
            self._work_out(name, names=False)
            if "A" in options:
                self._keyed.add(name)
            if "i" in options or "n" in options:
                # From here on every value that it gets is evaluated.
                self._mentioned.add(name)
            self._assignment(word)
            self._assigned.append((name, value))

    def _given_names(self, words: _Command, *, reads: bool) -> None:
        skip = False
        texts = [*self._read, *(word for word in words if _HOLE.search(word))]
        for word in words:
            if skip or word[:1] in "-<>":
                skip = not skip and word in _TAKES_TEXT
                continue
            self._work_out(word, names=False)
            if reads:
                self._assigned += [(word, text) for text in texts]

    def _condition(self, words: _Command, *, compares: bool) -> None:
        for n, word in enumerate(words):
            if compares and word in _COMPARES:
                for operand in (*words[max(0, n - 1) : n], *words[n + 1 : n + 2]):
                    self._work_out(operand)
            elif word in ("-v", "-R"):
                self._work_out("".join(words[n + 1 : n + 2]), names=False)


def _commands(text: str) -> Iterator[_Command]:
    """Yield the words of each command, without their quotes. Roughly: nested commands count as following ones."""
    words: _Command = []
    word: str | None = None
    quotes: list[str] = []
    outside: list[tuple[_Command, str]] = []
    at = 0
    while at < len(text):
        char, quote = text[at], quotes[-1] if quotes else ""
        at += 1
        if char == "\\" and quote != "'" and at < len(text):
            word = (word or "") + ("" if text[at] == "\n" else text[at])
            at += 1
        elif char == quote or (char == '"' and quote != "'") or (char == "'" and quote != '"'):
            word = word or ""
            quotes[len(quotes) - (char == quote):] = [] if char == quote else [char]
        elif quote == "'":
            word = (word or "") + char
        elif text.startswith("$(", at - 1) and not text.startswith("$((", at - 1):
            # A substitution is a word of its command, and contains commands of its own.
            outside.append((words, word or ""))
            words, word, at = [], None, at + 1
            quotes.append("(")
        elif char == ")" and quote == "(":
            quotes.pop()
            yield words if word is None else [*words, word]
            words, word = outside.pop()
        elif quote == '"':
            word = (word or "") + char
        elif char in " \t":
            words, word = (words if word is None else [*words, word]), None
        elif char in ";\n&|(){}`" and not (char in "{}" and word):
            words, word = (words if word is None else [*words, word]), None
            yield words
            # A condition goes on behind && and ||.
            words = ["[["] if "[[" in words and "]]" not in words and char in "&|()" else []
        else:
            word = (word or "") + char
    yield words if word is None else [*words, word]
