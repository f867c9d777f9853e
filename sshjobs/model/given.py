"""Checks of arguments that a program passes to the API: made at once, before anything is created or started."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sshjobs.errors import UsageError

#: The longest time that can be asked for, in seconds: ten years. More is a mistake, and would overflow some timer.
LONGEST_S = 3650 * 86400.0
#: The most slots of a host.
MAX_SLOTS = 4096
#: The longest path in characters: Linux allows no more.
LONGEST_PATH = 4096

_NOUNS: dict[Any, str] = {str: "text", bytes: "bytes", bool: "True or False", int: "a whole number", dict: "a mapping",
                          os.PathLike: "a path", Mapping: "a mapping", Callable: "a function"}


def wrong(name: str, value: object, wanted: str, *, where: str | None = None, hint: str | None = None) -> UsageError:
    """Return the error for a parameter with a wrong value."""
    shown = f"{value!r:.60}" if isinstance(value, (str, bytes, int, float, list, tuple, dict)) else type(value).__name__
    return UsageError(f"{name} must be {wanted}, got {shown}", where=where, hint=hint)


def check(name: str, value: object, *kinds: Any, none: bool = False, where: str | None = None) -> None:
    """Check that a value has one of these types.

    :param none: ``None`` is allowed, too
    :raises UsageError: it is not
    """
    if type(value) in kinds or (none and value is None):
        return
    if not isinstance(value, kinds) or isinstance(value, bool):
        wanted = " or ".join(dict.fromkeys(_NOUNS.get(kind) or f"a {kind.__name__}" for kind in kinds))
        raise wrong(name, value, wanted + (" or None" if none else ""), where=where)


def check_path(name: str, value: object, *, none: bool = False) -> None:
    """Check that a value can be a path.

    :raises UsageError: it cannot
    """
    check(name, value, str, os.PathLike, none=none)
    if value is not None and not 0 < len(os.fspath(value)) <= LONGEST_PATH:  # type: ignore[call-overload]
        raise wrong(name, value, "a path")
    if value is not None and "\0" in str(value):
        raise UsageError(f"{name} cannot hold a NUL byte", hint="take it out")


def check_number(name: str, value: object, least: float, most: float, *, whole: bool = False, above: bool = False,
                 none: bool = False, where: str | None = None) -> None:
    """Check that a value is a number from ``least`` to ``most``.

    :param whole: only whole numbers
    :param above: ``least`` itself is not allowed
    :param none: ``None`` is allowed, too
    :raises UsageError: it is not
    """
    if none and value is None:
        return
    is_number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most or (above and value == least):  # type: ignore[operator]
        wanted = f"{'a whole number' if whole else 'a number'} {'above' if above else 'from'} {least:,}"
        most_of_all = f"{most:,.0f}" if most == int(most) else f"{most:,}"
        raise wrong(name, value, f"{wanted}{', at most' if above else ' to'} {most_of_all}", where=where)


def check_texts(name: str, value: object, *, where: str | None = None) -> list[str]:
    """Return a list of texts that was passed; a single text is no list.

    :raises UsageError: it is something else
    """
    if type(value) not in (list, tuple) and (isinstance(value, (str, bytes, Mapping))
                                             or not isinstance(value, Iterable)):
        raise wrong(name, value, "a list of texts", where=where)
    texts: list[str] = list(value)  # type: ignore[call-overload]
    for text in texts:
        if type(text) is not str:
            check(f"each of {name}", text, str, where=where)
    return texts


def check_each(name: str, value: object, kind: type) -> list[Any]:
    """Return a list of objects of one type that was passed.

    :raises UsageError: it is something else
    """
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise wrong(name, value, f"a list of {kind.__name__}s")
    found = list(value)
    for one in found:
        if not isinstance(one, kind):
            raise wrong(f"each of {name}", one, f"a {kind.__name__}")
    return found
