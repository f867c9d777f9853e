"""Helpers for reading many rows quickly."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def no_collections() -> Iterator[None]:
    """Switch the garbage collector off for a while: it would scan the growing objects again and again (4 times slower
    for a million)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def pages(rows: Iterator[T], size: int) -> Iterator[list[T]]:
    """Yield rows in lists of ``size``; the last may be shorter."""
    page: list[T] = []
    for row in rows:
        page.append(row)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def ranges(numbers: Sequence[int], gap: int = 50) -> Iterator[tuple[int, int]]:
    """Yield ranges that hold all of the ascending numbers, and few others."""
    if not numbers:
        return
    first = last = numbers[0]
    for number in numbers[1:]:
        if number > last + gap:
            yield first, last
            first = number
        last = number
    yield first, last
