"""Deletes the files of released attempts, a little at a time."""

from .. import system
from ..light import deque

MYPY = False
if MYPY:
    from typing import Deque, Iterable, Iterator

    from ..places import Places
    from .attempts import Attempt

#: The files of so many attempts are deleted in one turn of the loop.
AT_ONCE = 8
#: An attempt with no more bytes of output than this, and nothing in its directory, is small.
SMALL = 1 << 16
#: At most so many small ones are left for later.
KEPT = 4096


class Rubbish:
    """Deletes large attempts a little at a time, because starting jobs comes first, and small ones when no job runs.

    Deleting files while others are made can make that slow: ext4 without a journal does not reuse an inode within a
    minute after its file was deleted, and tries each of those first. So the files of short jobs are deleted later.
    """

    def __init__(self, places: "Places"):
        self._places = places
        #: Attempts to be deleted, each with the bytes of its outputs.
        self._new: "Deque[tuple[str, int]]" = deque()
        self._small: "Deque[str]" = deque()
        #: The deletion of a large directory that has begun.
        self._going: "Iterator[int] | None" = None

    def add(self, attempts: "Iterable[Attempt]") -> None:
        """Note attempts that nobody needs any more."""
        self._new.extend((attempt.uid, sum(attempt.sizes)) for attempt in attempts)

    def waits(self, busy: bool) -> bool:
        """True when there is something for :meth:`clean_up`.

        :param busy: jobs wait or run
        """
        return bool(self._new or self._going or (self._small and not busy))

    def clean_up(self, busy: bool) -> None:
        """Delete some of it."""
        for _ in range(AT_ONCE):
            if self._going is None:
                uid = self._next(busy)
                if uid is None:
                    return
                self._going = self._places.discarding(uid)
            for _ in self._going:
                return  # it is not finished: go on in the next turn
            self._going = None

    def _next(self, busy: bool) -> "str | None":
        while self._new:
            uid, size = self._new.popleft()
            if not (busy and size <= SMALL and len(self._small) < KEPT and self._has_nothing_in_it(uid)):
                return uid
            self._small.append(uid)
        return self._small.popleft() if self._small and not busy else None

    def _has_nothing_in_it(self, uid: str) -> bool:
        try:
            return not system.listdir(self._places.cwd(uid))
        except OSError:
            return False
