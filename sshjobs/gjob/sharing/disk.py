"""The disk that jobs of a run write to, and how much of it there is to be held."""

from .. import system
from .rules import SCRATCH

MYPY = False
if MYPY:
    from typing import Mapping

#: File systems without an end say more than any number has room for.
_NO_LIMIT = 1 << 60


def free(path: str) -> int:
    """Return how many bytes a user without privileges can still write; 0 where that cannot be told."""
    try:
        found = system.statvfs(path)
        return min(found.f_bavail * found.f_frsize, _NO_LIMIT)
    except OSError:
        return 0


class Disk:
    """The disk below a directory.

    :ivar name: what is held of it is counted under this name: homes of several users may be on one disk, or not
    """

    def __init__(self, path: str):
        self._path = path
        self.name = ""
        self._most = 0

    def named(self, amounts: "Mapping[str, int]") -> "dict[str, int]":
        """Return what a job needs, by the name of the disk of which it needs some."""
        if not self.name:
            try:
                self.name = "%s.%d" % (SCRATCH, system.stat(self._path).st_dev)
            except OSError:
                self.name = SCRATCH + ".0"
        return {self.name if what == SCRATCH else what: amounts[what] for what in amounts}

    def figure(self, held: int) -> "int | None":
        """Return how much there is to be held; ``None`` where that cannot be told.

        What jobs hold they may have written or not: so there is no more than what was free at any time, nor than what
        is free beside all that is held.
        """
        now = free(self._path)
        self._most = max(self._most, now)
        return min(self._most, now + held) or None
