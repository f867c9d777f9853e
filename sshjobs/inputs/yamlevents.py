"""Loads a YAML document from parser events: plain data in which every key and item knows its line and column.

Refuses what a jobfile never needs and an attacker would like: tags, several documents, aliases that multiply,
recursion, depth without end. Equal to ``yaml.safe_load`` on what it accepts.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from yaml import events

from sshjobs.errors import Problem, printable
from sshjobs.inputs.scalars import describe, resolve
from sshjobs.inputs.source import check_size, check_text
from sshjobs.inputs.yamltree import Document, Map, Seq, pack, unpack

#: The largest document in bytes; a jobfile with 100,000 jobs is about 25 MB.
MAX_BYTES = 64 * 2**20
#: How deep lists and mappings may stand in each other.
MAX_DEPTH = 64
#: How many values one document may hold.
MAX_NODES = 20_000_000
#: How many values may come in through aliases: this many, and some for each value that is written out.
FREE_ALIASED, ALIASED_PER_NODE = 100_000, 20

#: libyaml's parser where PyYAML was built with it: the other takes ten times as long.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OPEN = object()
#: Within ``[ ]`` and ``{ }`` a brace begins a mapping.
_PLACEHOLDER = re.compile(r"\$\{\{[^}\n]*\}\}")


def load(data: bytes, file: str) -> Document:
    """Return the one document in ``data`` with all mistakes that do not hide the rest.

    :param file: what to call it in messages
    :raises InputError: too large, or not text at all
    """
    check_size(data, file, MAX_BYTES)
    body = check_text(data, file)
    with collector_paused():
        return _Loader(body, file).run()


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking a growing tree over and over: 60 % of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Frame:
    """A list or mapping that is being read."""

    __slots__ = ("anchor", "container", "counted", "expects_key", "key", "key_place", "merged")

    def __init__(self, container: Map | Seq, anchor: str | None, counted: int) -> None:
        self.container, self.anchor, self.counted = container, anchor, counted
        self.expects_key = container.__class__ is Map
        self.key: Any = None
        self.key_place = 0
        #: Mappings brought in by ``<<``, the ones that win first; ``None`` while there was no such key.
        self.merged: list[Map] | None = None


class _Stop(Exception):
    """Reading any further makes no sense; the problem is recorded."""


class _Loader:
    def __init__(self, data: bytes, file: str) -> None:
        self.data, self.file = data, file
        self.document = Document()
        self.stack: list[_Frame] = []
        self.frame: _Frame | None = None
        self.anchors: dict[str, tuple[Any, str | None, int]] = {}
        self.words: dict[str, str] = {}
        self.nodes = self.aliased = self.documents = 0

    def run(self) -> Document:
        handlers = {
            events.ScalarEvent: self.scalar, events.AliasEvent: self.alias,
            events.MappingStartEvent: self.mapping, events.SequenceStartEvent: self.sequence,
            events.MappingEndEvent: self.end, events.SequenceEndEvent: self.end,
            events.DocumentStartEvent: self.document_start,
        }
        parser = _Parser(self.data)
        try:
            while True:
                event = parser.get_event()
                handler = handlers.get(event.__class__)
                if handler is not None:
                    handler(event)
                elif event.__class__ is events.StreamEndEvent:
                    break
        except yaml.MarkedYAMLError as error:
            self.syntax_error(error)
        except _Stop:
            self.document.broken = True
        finally:
            parser.dispose()
        return self.document

    def problem(self, place: int, message: str) -> None:
        self.document.problems.append(Problem(self.file, *unpack(place), message))

    def syntax_error(self, error: yaml.MarkedYAMLError) -> None:
        self.document.broken = True
        mark = error.problem_mark or error.context_mark
        text = f"{error.problem or error.context}"
        if error.context and error.problem:
            text = f"{text} {error.context}"
        hint = "check quotes, colons and indentation here"
        if mark and self.line(mark.line)[: mark.column + 1].strip(" ").startswith("\t"):
            hint = "a tab cannot indent; use spaces"
        if mark and (found := _PLACEHOLDER.match(self.line(mark.line), max(0, mark.column - 1))):
            hint = f'put the text with {printable(found[0])[:60]} into quotes: "{printable(found[0])[:60]}"'
        self.problem(pack(mark) if mark else 0, f"not valid YAML: {printable(text)}; {hint}")

    def line(self, number: int) -> str:
        lines = self.data.decode("utf-8").split("\n", number + 1)
        return lines[number] if number < len(lines) else ""

    def document_start(self, event: Any) -> None:
        self.documents += 1
        if self.documents > 1:
            self.problem(pack(event.start_mark), "a second document begins here; keep one in each file")
            raise _Stop

    def scalar(self, event: Any) -> None:
        text, source = event.value, None
        place = pack(event.start_mark)
        value: Any = text
        if event.tag is not None:
            self.refuse_tag(event)
        elif event.implicit[0]:
            frame = self.frame
            if text == "<<" and frame is not None and frame.expects_key:
                self.merge_key(frame, place)
                return
            try:
                value = resolve(text)
            except (ValueError, OverflowError):
                self.problem(place, f"'{text[:60]}' looks like a number or a date and is none; quote it")
            if value is not text:
                source = text
        elif event.style == '"':
            self.check_escapes(text, place)
        self.count(place)
        if event.anchor is not None:
            self.anchors[event.anchor] = (value, source, 1)
        self.add(value, source, place)

    def check_escapes(self, text: str, place: int) -> None:
        if "\0" in text:
            self.problem(place, "a NUL byte is not allowed; take \\0 out")
        elif not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
            self.problem(place, "half a surrogate pair is no character; write the character itself")

    def mapping(self, event: Any) -> None:
        self.begin(event, Map(pack(event.start_mark)))

    def sequence(self, event: Any) -> None:
        self.begin(event, Seq(pack(event.start_mark)))

    def begin(self, event: Any, container: Map | Seq) -> None:
        if event.tag is not None:
            self.refuse_tag(event)
        if len(self.stack) >= MAX_DEPTH:
            self.problem(container.start, f"nested more than {MAX_DEPTH} deep; make it flatter")
            raise _Stop
        if event.anchor is not None:
            self.anchors[event.anchor] = (_OPEN, None, 0)
        frame = _Frame(container, event.anchor, self.nodes + self.aliased)
        self.count(container.start)
        self.stack.append(frame)
        self.frame = frame

    def end(self, event: Any) -> None:
        frame = self.stack.pop()
        self.frame = self.stack[-1] if self.stack else None
        container = frame.container
        if frame.merged is not None and isinstance(container, Map):
            container = _merge(container, frame.merged)
        if frame.anchor is not None:
            self.anchors[frame.anchor] = (container, None, self.nodes + self.aliased - frame.counted)
        self.add(container, None, container.start)

    def alias(self, event: Any) -> None:
        place, name = pack(event.start_mark), event.anchor
        value, source, size = self.anchors.get(name, (None, None, 1))
        if name not in self.anchors:
            self.problem(place, f"alias *{name}: there is no &{name} above it; define it first")
        if value is _OPEN:
            self.problem(place, f"alias *{name} stands inside &{name}: it would never end; take it out")
            value, size = None, 1
        self.aliased += size
        if self.aliased > FREE_ALIASED + ALIASED_PER_NODE * self.nodes:
            self.problem(place, f"aliases bring in more than {FREE_ALIASED:,} values; write them out")
            raise _Stop
        self.add(value, source, place)

    def count(self, place: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self.problem(place, f"more than {MAX_NODES:,} values; use repeat, or several files")
            raise _Stop

    def add(self, value: Any, source: str | None, place: int) -> None:
        """Put a value where it belongs: into the open list or mapping, or at the top."""
        frame = self.frame
        if frame is None:
            self.document.root, self.document.source = value, source
            self.document.place = unpack(place)
            return
        container = frame.container
        if container.__class__ is Seq:
            container.put(value, source, place)
        elif frame.expects_key:
            frame.expects_key = False
            frame.key, frame.key_place = self.key(value, source, place), place
        else:
            frame.expects_key = True
            self.pair(frame, value, source, place)

    def key(self, value: Any, source: str | None, place: int) -> str | None:
        """Return a key as it is to be used, ``None`` for one that cannot be."""
        if isinstance(value, str):
            return self.words.setdefault(value, value)
        hint = "quote it" if source else "give it a name"
        self.problem(place, f"a key must be text, got {describe(value, source)}; {hint}")
        return None

    def merge_key(self, frame: _Frame, place: int) -> None:
        self.count(place)
        if frame.merged is not None:
            self.problem(place, "duplicate key '<<'; write << : [*a, *b] instead")
        frame.merged = frame.merged or []
        frame.expects_key, frame.key, frame.key_place = False, _OPEN, place

    def pair(self, frame: _Frame, value: Any, source: str | None, place: int) -> None:
        key, container = frame.key, frame.container
        assert isinstance(container, Map)
        if key is _OPEN:
            found = list(value) if isinstance(value, Seq) else [value]
            if all(isinstance(one, Map) for one in found) and frame.merged is not None:
                frame.merged += found
            else:
                self.problem(place, f"<< takes a mapping or a list of them, got {describe(value, source)}")
        elif key in container:
            line = container.key_place(key)[0]
            self.problem(frame.key_place, f"duplicate key '{key}' (first on line {line}); keep one of them")
        elif key is not None:
            container.put(key, value, source, frame.key_place, place)

    def refuse_tag(self, event: Any) -> None:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self.problem(pack(event.start_mark), f"tags are not allowed, got {tag[:60]}; take it out")


def _merge(own: Map, merged: Iterable[Map]) -> Map:
    """Return a mapping with its own pairs and those brought in by ``<<`` that it does not have itself."""
    result, used = Map(own.start), set(own)
    for one in merged:
        for item in one.items_with_places():
            if item[0] not in used:
                used.add(item[0])
                result.put(*item)
    for item in own.items_with_places():
        result.put(*item)
    return result
