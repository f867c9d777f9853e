"""Loads JSON, or JSON Lines, in the way that :mod:`sshjobs.inputs.yamlevents` loads YAML: plain data in which every key
and item has its line and column, and all mistakes that can be found at once.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from sshjobs.errors import Problem, printable
from sshjobs.inputs.source import check_size, check_text
from sshjobs.inputs.yamlevents import MAX_BYTES, MAX_DEPTH, MAX_NODES, collector_paused
from sshjobs.inputs.yamltree import Document, Map, Seq, unpack

#: White space between two tokens; the tokens.
_SPACE = re.compile(r"[ \t\r\n]*")
_TOKEN = re.compile(r'"(?P<text>[^"\\\n]*(?:\\.[^"\\\n]*)*)"|(?P<number>-?[0-9][-+.0-9eE]*)'
                    r"|(?P<word>[A-Za-z_]\w*)|(?P<sign>[][{},:])")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: A backslash that begins no escape. (Valid escapes are skipped as pairs.)
_BAD_ESCAPE = re.compile(r'(?:^|[^\\])(?:\\\\)*\\(?!["\\/bfnrt]|u[0-9a-fA-F]{4})(.)')
_WORDS = {"true": True, "false": False, "null": None}
#: Numbers of more characters are refused.
_LONGEST_NUMBER = 400


class _Stop(Exception):
    """Nothing more can be read; the problem is recorded."""


def load(data: bytes, file: str) -> Document:
    """Return the JSON document in ``data``.

    :param file: what to call it in messages
    :raises InputError: too large, or not text at all
    """
    check_size(data, file, MAX_BYTES)
    text = check_text(data, file).decode("utf-8")
    document = Document()
    if not text.strip():
        return document
    with collector_paused():
        try:
            document.root, document.source, place = _Reader(text, file, document).whole()
            document.place = unpack(place)
        except _Stop:
            document.broken = True
    return document


def load_lines(data: bytes, file: str) -> Document:
    """Return the jobfile that a file of JSON Lines means, in which each line is one item of the list of jobs. A line
    that cannot be read does not hide the others."""
    check_size(data, file, MAX_BYTES)
    document, jobs, top = Document(), Seq(_pack(1, 1)), Map(_pack(1, 1))
    with collector_paused():
        for number, line in enumerate(check_text(data, file).decode("utf-8").split("\n"), 1):
            if not line.strip():
                continue
            try:
                jobs.put(*_Reader(line, file, document, number).whole())
            except _Stop:
                continue
    if jobs:
        top.put("jobs", jobs, None, jobs.start, jobs.start)
        document.root = top
    # If all lines are wrong, there is nothing to check.
    document.broken = not jobs and bool(document.problems)
    return document


def kind_of(file: str, data: bytes) -> str:
    """Return the kind of a jobfile, ``json``, ``jsonl`` or ``yaml``: by its name, or, for example for standard input,
    by its first line, if nobody would write that in YAML."""
    name = file.lower()
    for kind, endings in (("yaml", (".yaml", ".yml")), ("json", (".json",)), ("jsonl", (".jsonl", ".ndjson"))):
        if name.endswith(endings):
            return kind
    first = data[:MAX_BYTES].lstrip()
    if not first.startswith(b"{"):
        return "yaml"
    try:
        found = json.loads(first.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return "json" if re.match(rb'\{\s*"', first) and _is_json(first) else "yaml"
    return "json" if "jobs" in found else "jsonl"


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def _pack(line: int, column: int) -> int:
    return (line << 32) | column


class _Reader:
    """Reads one JSON value.

    :param line: the number of the first line of the text
    """

    def __init__(self, text: str, file: str, document: Document, line: int = 1):
        self.text, self.file, self.document = text, file, document
        self.at, self.line, self.line_start = 0, line, 0
        self.nodes = 0
        self.words: dict[str, str] = {}

    def whole(self) -> tuple[Any, str | None, int]:
        """Return the value, how it was written if it is no text, and its place.

        :raises _Stop: it is no JSON
        """
        found = self.value(0)
        self.skip()
        if self.at < len(self.text):
            self.stop("something stands behind the end of it; a file is one value")
        return found

    def problem(self, place: int, message: str) -> None:
        self.document.problems.append(Problem(self.file, *unpack(place), message))

    def stop(self, message: str) -> NoReturn:
        """Record a mistake after which nothing can be read.

        :raises _Stop: always
        """
        self.problem(self.place(), f"not valid JSON: {message}")
        raise _Stop

    def place(self) -> int:
        return _pack(self.line, self.at - self.line_start + 1)

    def skip(self) -> None:
        """Go to the next token."""
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        lines = self.text.count("\n", self.at, found.end())
        if lines:
            self.line += lines
            self.line_start = self.text.rindex("\n", self.at, found.end()) + 1
        self.at = found.end()

    def sign(self) -> str:
        """Return the next character, which is the whole token if it is punctuation."""
        self.skip()
        return self.text[self.at:self.at + 1]

    def value(self, depth: int) -> tuple[Any, str | None, int]:
        """Read a value with everything in it."""
        sign, place = self.sign(), self.place()
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.stop(f"more than {MAX_NODES:,} values; use repeat, or several files")
        if sign in ("{", "["):
            if depth >= MAX_DEPTH:
                self.stop(f"nested more than {MAX_DEPTH} deep; make it flatter")
            self.at += 1
            return (self.mapping if sign == "{" else self.sequence)(place, depth + 1), None, place
        token = _TOKEN.match(self.text, self.at)
        if token is None or token.lastgroup == "sign":
            self.wrong("a value")
        text = token[0]
        if token.lastgroup == "text":
            self.at = token.end()
            return self.string(text, place), None, place
        if token.lastgroup == "word":
            if text not in _WORDS:
                self.wrong("a value")
            self.at = token.end()
            return _WORDS[text], text, place
        return self.number(text, place), text, place

    def number(self, text: str, place: int) -> float | int:
        if not _NUMBER.fullmatch(text):
            self.wrong("a number")
        self.at += len(text)
        value = float(text) if len(text) > _LONGEST_NUMBER or not text.lstrip("-").isdigit() else int(text)
        if value - value:
            self.problem(place, f"'{text[:60]}' is more than any number can be; quote it")
        return value

    def string(self, token: str, place: int) -> str:
        if "\\" not in token and "\t" not in token:
            return token[1:-1]
        bad = _BAD_ESCAPE.search(token)
        if bad is not None:
            what = f"a backslash stands before '{printable(bad[1])}'; write two of them for one"
            self.problem(place, f"not valid JSON: {what}")
            return token[1:-1]
        if "\t" in token:
            self.problem(place, "not valid JSON: a tab stands in this text; write \\t")
            return token[1:-1]
        text: str = json.loads(token)
        if "\0" in text:
            self.problem(place, "a NUL byte is not allowed; take \\u0000 out")
        elif any("\ud800" <= letter <= "\udfff" for letter in text):
            self.problem(place, "half a surrogate pair is no character; write the character itself")
        return text

    def sequence(self, start: int, depth: int) -> Seq:
        found = Seq(start)
        if self.sign() != "]":
            while True:
                found.put(*self.value(depth))
                if not self.more("]"):
                    break
        self.at += 1
        return found

    def mapping(self, start: int, depth: int) -> Map:
        found = Map(start)
        if self.sign() != "}":
            while True:
                self.pair(found, depth)
                if not self.more("}"):
                    break
        self.at += 1
        return found

    def pair(self, found: Map, depth: int) -> None:
        if self.sign() != '"':
            self.wrong("a key in double quotes")
        place = self.place()
        token = _TOKEN.match(self.text, self.at)
        if token is None:
            self.wrong("a key in double quotes")
        self.at = token.end()
        key = self.string(token[0], place)
        if self.sign() != ":":
            self.wrong("a colon")
        self.at += 1
        value, source, value_place = self.value(depth)
        if key in found:
            line = found.key_place(key)[0]
            self.problem(place, f"duplicate key '{key[:60]}' (first on line {line}); keep one of them")
        else:
            found.put(self.words.setdefault(key, key), value, source, place, value_place)

    def more(self, end: str) -> bool:
        """Read a comma; return False at the end of the list or mapping."""
        sign = self.sign()
        if sign == end:
            return False
        if sign != ",":
            self.wrong(f"a comma or {end}")
        self.at += 1
        if self.sign() == end:
            self.stop(f"a comma stands before the {end}; take it out")
        return True

    def wrong(self, wanted: str) -> NoReturn:
        """Record that something else was expected here.

        :raises _Stop: always
        """
        text = self.text[self.at:self.at + 12].split("\n")[0]
        word = re.match(r"\w+", text)
        hint = ""
        if text.startswith("'"):
            hint = "text stands in double quotes"
        elif text.startswith(("#", "//", "/*")):
            hint = "JSON has no comments: take it out, or write YAML"
        elif text.startswith('"'):
            hint = "a text that begins here does not end on its line" if text.count('"') == 1 else ""
        elif word is not None:
            hint = "JSON knows null, true, false, numbers, and text in double quotes"
        got = f"'{word[0] if word else text[0]}'" if text else "the end"
        self.stop(f"{wanted} should stand here, got {got}{f'; {hint}' if hint else ''}")
