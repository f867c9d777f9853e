"""What a YAML document becomes: plain lists and mappings that know where everything in them was written."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

from sshjobs.errors import Problem

#: A line and a column, both from 1.
Place = tuple[int, int]


class Map(dict[str, Any]):
    """A mapping with the places of its keys and values.

    :ivar sources: how values that are not text were written, by key; ``None`` where there are none
    """

    __slots__ = ("_places", "sources", "start")

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.start = start
        self._places = array("Q")
        self.sources: dict[Any, str] | None = None

    @property
    def place(self) -> Place:
        """Where it begins."""
        return unpack(self.start)

    def key_place(self, key: str) -> Place:
        """Return where a key stands; where the mapping begins if it has no such key."""
        return self._find(key, 0)

    def value_place(self, key: str) -> Place:
        """Return where the value of a key stands; where the mapping begins if it has no such key."""
        return self._find(key, 1)

    def _find(self, key: str, offset: int) -> Place:
        for n, known in enumerate(self):
            if known == key:
                return unpack(self._places[2 * n + offset])
        return self.place

    def put(self, key: str, value: Any, source: str | None, key_place: int, value_place: int) -> None:
        """Add a pair that is not there yet, with its places as :func:`pack` makes them."""
        self[key] = value
        self._places.append(key_place)
        self._places.append(value_place)
        if source is not None:
            self.sources = self.sources or {}
            self.sources[key] = source

    def items_with_places(self) -> Iterator[tuple[str, Any, str | None, int, int]]:
        """Yield what :meth:`put` was given."""
        sources = self.sources or {}
        for n, (key, value) in enumerate(self.items()):
            yield key, value, sources.get(key), self._places[2 * n], self._places[2 * n + 1]


class Seq(list[Any]):
    """A list with the places of its items.

    :ivar sources: how items that are not text were written, by index; ``None`` where there are none
    """

    __slots__ = ("_places", "sources", "start")

    def __init__(self, start: int = 0) -> None:
        super().__init__()
        self.start = start
        self._places = array("Q")
        self.sources: dict[Any, str] | None = None

    @property
    def place(self) -> Place:
        """Where it begins."""
        return unpack(self.start)

    def value_place(self, index: int) -> Place:
        """Return where an item stands; where the list begins if it is not that long."""
        return unpack(self._places[index]) if 0 <= index < len(self) else self.place

    def put(self, value: Any, source: str | None, place: int) -> None:
        """Add an item, with its place as :func:`pack` makes it."""
        if source is not None:
            self.sources = self.sources or {}
            self.sources[len(self)] = source
        self.append(value)
        self._places.append(place)


class Document:
    """What was read.

    :ivar root: the data; ``None`` also where the file is empty
    :ivar place: where the data begins
    :ivar source: how the root was written, where it is a scalar and not text
    :ivar problems: every mistake found, in the order in which they were met
    :ivar broken: reading stopped before the end of the document: ``root`` says nothing
    """

    def __init__(self) -> None:
        self.root: Any = None
        self.place: Place = (1, 1)
        self.source: str | None = None
        self.problems: list[Problem] = []
        self.broken = False


def pack(mark: Any) -> int:
    """One number for a place: a file may have millions of them."""
    line: int = mark.line
    column: int = mark.column
    return ((line + 1) << 32) | (column + 1)


def unpack(place: int) -> Place:
    """The line and column in one number."""
    return place >> 32, place & 0xFFFFFFFF
