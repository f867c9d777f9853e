"""Checks of rows as they are read: a damaged store may hold values that its schema does not allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sshjobs.errors import StoreError, UsageError

#: The types behind the letters of :func:`check_row`; a capital letter allows NULL, too.
_KINDS: dict[str, tuple[type, ...]] = {"i": (int,), "s": (str,), "f": (float, int)}
_KINDS |= {letter.upper(): (*types, type(None)) for letter, types in _KINDS.items()}
#: No time, size or count in a store is larger.
_LARGEST = float(1 << 63)
#: Combinations of types that were found right; at most so many are remembered.
_MOST = 1000
_good: set[tuple[object, ...]] = set()


class Damage(Exception):
    """A row holds a value that this package never writes."""


def check_row(row: Sequence[Any], kinds: str) -> None:
    """Check that the values of a row have their types.

    :param kinds: a letter for each column
    :raises Damage: one has not
    """
    # The types alone first, which is fast: a million rows are read at a time.
    types = (kinds, *map(type, row))
    if types in _good and (float not in types or all(-_LARGEST <= one <= _LARGEST for one in row
                                                     if type(one) is float)):
        return
    for value, kind in zip(row, kinds, strict=True):
        if type(value) not in _KINDS[kind] or (type(value) is float and not -_LARGEST <= value <= _LARGEST):
            raise Damage(f"{repr(value)[:40]} stands where it cannot")
    if len(_good) < _MOST:
        _good.add(types)


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Turn any exception while rows are read into one error. The body must do nothing else than read them.

    :raises StoreError: the store is damaged
    """
    try:
        yield
    except (Damage, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError,
            UsageError) as error:
        why = str(error) if isinstance(error, Damage) else f"{type(error).__name__}: {error}"
        raise StoreError(f"the store of {path.parent.name} is damaged", where=str(path), why=why[:200],
                         hint="bring it back from a copy; the outputs under jobs/ are unharmed") from error
