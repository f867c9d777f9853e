"""Conditions on rows, such as ``loss < 0.3 and (lr = 0.1 or host = 'node 1')``: read here, never evaluated as code.

| | |
|---|---|
| comparison | a column, one of ``= == != < <= > >=``, a value |
| value | a word without blanks and without ``( ) < > = !``, or any text in single or double quotes |
| not, and, or | in this order of strength, in small or capital letters; parentheses |

Two values are equal by number where both are numbers, else by text. ``<`` and its like compare numbers with numbers
and texts with texts; between a number and a text that is none they are false. What a job does not have is the empty
text.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import NamedTuple

from sshjobs.errors import UsageError
from sshjobs.tables.sheet import Row, Sheet, key_of, number_of, text_of

#: Longest condition, in characters, and how deep parentheses may stand in each other.
LONGEST, DEEPEST = 10_000, 50

_TOKEN = re.compile(
    r"""\s*(?:(?P<operator><=|>=|!=|==|[=<>()])|(?P<quoted>'[^']*'|"[^"]*")|(?P<word>[^\s()<>=!'"]+))""")
_EQUAL = {"=": True, "==": True, "!=": False}
_ORDER: dict[str, Callable[[object, object], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}  # type: ignore[dict-item]
_JOINS = ("and", "or", "not")

Test = Callable[[Row], bool]


class _Token(NamedTuple):
    """A piece of a condition. ``kind``: operator, quoted, word, or end; ``at``: its first character, from 1."""

    kind: str
    text: str
    at: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.lower() == word

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f"'{self.text[:40]}'"


def parse(text: str, sheet: Sheet, where: str = "--where") -> Test:
    """Return what tells whether a row of a sheet fulfils a condition.

    :param where: what it was given as, for the message
    :raises UsageError: it is none, or names a column that there is not; the first mistake, with its place
    """
    if len(text) > LONGEST:
        raise UsageError(f"a condition of {len(text):,} characters", where=where, hint=f"the limit is {LONGEST:,}")
    return _Parser(_tokens(text, where), sheet, where).condition()


def _place(where: str, at: int) -> str:
    return f"{where}, character {at}"


def _tokens(text: str, where: str) -> list[_Token]:
    found, position = list[_Token](), 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            at = len(text) - len(text[position:].lstrip())
            what = "a quote that is not closed" if text[at] in "'\"" else f"'{text[at]}' cannot stand here"
            raise UsageError(what, where=_place(where, at + 1),
                             hint="write a condition such as: loss<0.3 and host='node 1'")
        kind = match.lastgroup or ""
        piece = match[kind]
        found.append(_Token(kind, piece[1:-1] if kind == "quoted" else piece, match.start(kind) + 1))
        position = match.end()
    return [*found, _Token("end", "", len(text) + 1)]


class _Parser:
    def __init__(self, tokens: list[_Token], sheet: Sheet, where: str):
        self._tokens, self._sheet, self._where = tokens, sheet, where
        self._next = 0
        self._depth = 0

    def condition(self) -> Test:
        """Return the whole of it."""
        test = self._either()
        if self._peek().kind != "end":
            raise self._wrong("and, or, or the end")
        return test

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        self._next += 1
        return self._tokens[self._next - 1]

    def _wrong(self, wanted: str) -> UsageError:
        token = self._peek()
        return UsageError(f"{wanted} should stand here, got {token}", where=_place(self._where, token.at))

    def _either(self) -> Test:
        tests = [self._all()]
        while self._peek().is_word("or"):
            self._take()
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._peek().is_word("and"):
            self._take()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        token = self._peek()
        if not token.is_word("not") and not (token.kind == "operator" and token.text == "("):
            return self._comparison()
        self._take()
        self._depth += 1
        if self._depth > DEEPEST:
            raise UsageError(f"more than {DEEPEST} deep", where=_place(self._where, token.at),
                             hint="take parentheses out")
        if token.text == "(":
            test = self._either()
            if self._peek().text != ")" or self._peek().kind != "operator":
                raise self._wrong(")")
            self._take()
            self._depth -= 1
            return test
        inner = self._one()
        self._depth -= 1
        return lambda row: not inner(row)

    def _comparison(self) -> Test:
        name = self._peek()
        if name.kind not in ("word", "quoted") or (name.kind == "word" and name.text.lower() in _JOINS):
            raise self._wrong("a column")
        self._take()
        column = self._sheet.place(name.text, _place(self._where, name.at))
        sign = self._peek()
        if sign.kind != "operator" or sign.text in "()":
            raise self._wrong("=, !=, <, <=, > or >=")
        self._take()
        value = self._peek()
        if value.kind not in ("word", "quoted") or (value.kind == "word" and value.text.lower() in _JOINS):
            raise self._wrong("a value (in quotes if it is such a word, or empty)")
        self._take()
        return _comparison(column, sign.text, value.text)


def _comparison(column: int, sign: str, text: str) -> Test:
    key, wanted = key_of(text), number_of(text)
    if sign in _EQUAL:
        equal = _EQUAL[sign]
        return lambda row: (key_of(row[column]) == key) == equal
    compare = _ORDER[sign]
    if wanted is not None:
        def by_number(row: Row) -> bool:
            found = number_of(row[column])
            return found is not None and compare(found, wanted)
        return by_number

    def by_text(row: Row) -> bool:
        return row[column] is not None and number_of(row[column]) is None and compare(text_of(row[column]), text)
    return by_text
