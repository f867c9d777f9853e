"""Names of jobs: which are allowed, names of repeats and of entries without a name, and duplicates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sshjobs.errors import UsageError, hidden_in

#: The longest name in bytes of UTF-8, the number of the repeat included: it becomes a directory's name.
MAX_BYTES = 200

_NUMBERED = re.compile(r"(.+)-([1-9][0-9]*)", re.DOTALL)


def check_name(name: str, what: str = "a name") -> None:
    """Check that a name can be the name of a directory and has no invisible characters.

    Anything else is allowed: spaces, quotes, ``$`` and letters of every language.

    :param what: what is named, for the message
    :raises UsageError: it is not allowed
    """
    if not name.strip():
        raise UsageError(f"{what} cannot be empty", hint="give it at least one letter or digit")
    if bad := hidden_in(name):
        raise UsageError(f"{what} cannot hold U+{ord(bad[0]):04X}, a control or invisible character",
                         hint="take it out")
    if "/" in name:
        raise UsageError(f"{what} cannot hold '/': it names a directory", hint="use '-' or '_' instead")
    if name[0] in "-.":
        raise UsageError(f"{what} cannot begin with '{name[0]}'", hint="begin with a letter or digit")
    if len(name.encode("utf-8")) > MAX_BYTES:
        raise UsageError(f"{what} has more than {MAX_BYTES} bytes", hint="make it shorter")


def repeated(name: str, repeat: int) -> Iterator[tuple[str, int]]:
    """Yield the name and number of each repeat: ``sim`` alone keeps its name, three are ``sim-1 sim-2 sim-3``."""
    if repeat == 1:
        yield name, 1
    else:
        for index in range(1, repeat + 1):
            yield f"{name}-{index}", index


def check_repeated(name: str, repeat: int) -> None:
    """Check that a name is short enough even with the numbers of its repeats.

    :raises UsageError: it is not
    """
    longest = f"{name}-{repeat}" if repeat > 1 else name
    if len(longest.encode("utf-8")) > MAX_BYTES:
        raise UsageError(f"a name has more than {MAX_BYTES} bytes with the number of its repeat",
                         hint="make it shorter")


class Register:
    """The names of all entries of a jobfile. Repeats are compared by ranges of numbers, not one by one."""

    def __init__(self) -> None:
        self._single: dict[str, int] = {}
        self._many: dict[str, tuple[int, int]] = {}
        self._twice: list[tuple[int, int, str]] = []

    def add(self, name: str, repeat: int, place: int) -> None:
        """Add an entry: its name, number of repeats and place in the list."""
        if repeat == 1:
            first = self._single.setdefault(name, place)
        elif repeat:
            first = self._many.setdefault(name, (place, repeat))[0]
        else:
            return
        if first != place:
            self._twice.append((place, first, name if repeat == 1 else f"{name}-1"))

    def clashes(self) -> list[tuple[int, int, str]]:
        """Return each entry with a name that an earlier one has: its place, the earlier one's place, the name."""
        found = list(self._twice)
        for name, place in self._single.items():
            other = self._numbered(name)
            if other is not None:
                found.append((max(place, other), min(place, other), name))
        return found

    def free_name(self, place: int, repeat: int) -> str:
        """Return a name for the entry at ``place`` (from 1) that has none: ``job-3``; ``job-3_2`` if it is taken."""
        name, n = f"job-{place}", 1
        while name in self._many or any(self._has(one) for one, _ in repeated(name, repeat)):
            n += 1
            name = f"job-{place}_{n}"
        return name

    def _has(self, name: str) -> bool:
        return name in self._single or self._numbered(name) is not None

    def _numbered(self, name: str) -> int | None:
        """Return the place of the entry that has a repeat with this name."""
        parts = _NUMBERED.fullmatch(name) if self._many else None
        place, repeat = self._many.get(parts[1], (0, 0)) if parts else (0, 0)
        if parts is None or not repeat or len(parts[2]) > 12 or int(parts[2]) > repeat:
            return None
        return place
