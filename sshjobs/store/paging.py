"""Many rows at a time, without what makes many slow."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def no_collections() -> Iterator[None]:
    """Keep the garbage collector from walking through more and more new objects again and again: a million take 4 x."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def pages(rows: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield rows in lists of so many, the last of as many as there are."""
    page: list[T] = []
    for row in rows:
        page.append(row)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def ranges(numbers: Sequence[int], gap: int = 50) -> Iterator[tuple[int, int]]:
    """Yield ranges that hold all the numbers, which ascend, and few others."""
    if not numbers:
        return
    first = last = numbers[0]
    for number in numbers[1:]:
        if number > last + gap:
            yield first, last
            first = number
        last = number
    yield first, last
