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
        try:
            disk = os.statvfs(self._place)
        except OSError:
            # Whoever writes there says it better.
            return
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        kept = min(RESERVE, whole // RESERVED_SHARE)
        # Some file systems do not tell what they have.
        if whole and free < TIMES * kept and not self._told:
            self._told = True
            self._tell(f"the disk of the results is filling up: {size(free)} left; below {size(kept)} large outputs "
                       "wait on their hosts; make room")
        elif free > TIMES * kept * 3 // 2:
            self._told = False
