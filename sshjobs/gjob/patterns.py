"""Patterns of paths below a directory: which files they name, and into which directories a search for them leads.

``*``, ``?`` and ``[…]`` stand for characters of one name, leading dots included; ``**`` for any number of directories.
A pattern that names a directory names all that is in it; one that ends in ``/`` names directories only.
"""

import fnmatch
import re

MYPY = False
if MYPY:
    from typing import Callable, FrozenSet, Iterable, Sequence, Tuple

    #: How far a path matches some patterns: of each its number and how many of its parts are matched.
    State = FrozenSet[Tuple[int, int]]

#: Any number of directories.
DEEP = "**"


def _fits(part: str) -> "Callable[[str], object]":
    """Return a function that tells whether a name matches a part of a pattern."""
    if not any(sign in part for sign in "*?["):
        return part.__eq__
    return re.compile(fnmatch.translate(part)).match


class Patterns:
    """Some patterns, matched name by name on the way down a tree.

    :ivar start: the state before the first name
    """

    def __init__(self, patterns: "Sequence[str]"):
        self._parts = [[part for part in pattern.split("/") if part] for pattern in patterns]
        self._fits = [[None if part == DEEP else _fits(part) for part in parts] for parts in self._parts]
        self._directories_only = [pattern.endswith("/") for pattern in patterns]
        self.start = self._closed((number, 0) for number in range(len(patterns)))

    def _closed(self, found: "Iterable[Tuple[int, int]]") -> "State":
        states = set()
        for number, used in found:
            states.add((number, used))
            # ``**`` may stand for no directory.
            while used < len(self._parts[number]) and self._parts[number][used] == DEEP:
                used += 1
                states.add((number, used))
        return frozenset(states)

    def enter(self, state: "State", name: str) -> "State":
        """Return the state after one more name; empty where no pattern leads there."""
        found = set()
        for number, used in state:
            if used == len(self._parts[number]):
                found.add((number, used))  # in a directory that is named as a whole
                continue
            fits = self._fits[number][used]
            if fits is None:
                found.add((number, used))
            elif fits(name):
                found.add((number, used + 1))
        return self._closed(found)

    def named(self, state: "State", directory: "State") -> "list[int]":
        """Return the numbers of the patterns that name a file.

        :param state: after the file's name
        :param directory: the state of the directory that it is in
        """
        return sorted({number for number, used in state if used == len(self._parts[number])
                       and not (self._directories_only[number] and (number, used) not in directory)})

    def of(self, path: str) -> "list[int]":
        """Return the numbers of the patterns that name the file of a path."""
        above = state = self.start
        for name in path.split("/"):
            above, state = state, self.enter(state, name)
        return self.named(state, above)
