"""DiskWatch: says that the disk of the results is filling up, before anything has to wait for that."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sshjobs.network.session.output_files import RESERVE, RESERVED_SHARE
from sshjobs.views.wording import size

#: Seconds between two looks.
EVERY_S = 30.0
#: It is said when there is less room than so many times what is kept free; again only after there was half as much
#: again.
TIMES = 3


class DiskWatch:
    """Looks at a disk now and then.

    :param tell: hears of it, in a line
    """

    def __init__(self, place: Path, tell: Callable[[str], None]):
        self._place, self._tell = place, tell
        self._next, self._told = 0.0, False

    def look(self, now: float) -> None:
        """Look, where it is time for that.

        :param now: seconds of a clock that never goes back
        """
        if now < self._next:
            return
        self._next = now + EVERY_S
        found = _room(self._place)
        if found is None:
            # The code that writes there gives the better message.
            return
        free, kept = found
        if free < TIMES * kept and not self._told:
            self._told = True
            self._tell(_words(free, kept))
        elif free > TIMES * kept * 3 // 2:
            self._told = False


def filling_up(place: Path) -> str | None:
    """Return what is to be said of the disk of the results, ``None`` while there is room in plenty."""
    found = _room(place)
    return _words(*found) if found is not None and found[0] < TIMES * found[1] else None


def _room(place: Path) -> tuple[int, int] | None:
    """Return how many bytes are left, and how many are kept free; ``None`` where that cannot be seen."""
    try:
        disk = os.statvfs(place)
    except OSError:
        return None
    # Some file systems do not tell what they have: nothing is kept free there.
    return disk.f_bavail * disk.f_frsize, min(RESERVE, disk.f_blocks * disk.f_frsize // RESERVED_SHARE)


def _words(free: int, kept: int) -> str:
    return (f"the disk of the results is filling up: {size(free)} left; below {size(kept)} large outputs wait on their "
            "hosts; make room")
