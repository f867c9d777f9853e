"""Outputs of a job that opens them anew (``> /dev/stderr``): pipes, because a file would be emptied by that.

The job holds each pipe open for reading and writing itself. So it never waits for a reader to come, and it goes on
when its runner and the agent die: what it says waits in the pipe, and then so does it, until an agent goes on. What
comes through a pipe goes into the file that other jobs write to directly, so nobody else needs to know.
"""

import os

from . import files, system
from .places import NEW

MYPY = False
if MYPY:
    from typing import Any, Iterator, Union

    from .headtail import Kept
    from .places import Places

#: Bytes that are moved in one go, and how often in a row.
_MOST, _AT_ONCE = 1 << 20, 64


class _Whole:
    """A file that takes all that comes."""

    def __init__(self, path: str):
        self._path, self.fd = path, -1

    def open(self, flags: int) -> None:
        # At the end of what is there: moved to, it is not opened for appending, which the kernel does not move to.
        self.fd = system.open(self._path, flags, 0o600)
        system.seek_end(self.fd)

    def room(self) -> int:
        return _MOST

    def took(self, count: int) -> None:
        pass


class Pipes:
    """Moves what comes through the pipes of one attempt into its files. Only one process at a time may do that.

    :param limit: most bytes that are kept of each output, see :mod:`gjob.headtail`; ``None`` for all
    :ivar fds: the ends to read from, as long as something may come
    """

    def __init__(self, places: "Places", uid: str, limit: "int | None" = None):
        self._places, self._uid, self.limit = places, uid, limit
        self._paths = [places.stream(uid, number) + ".pipe" for number in (1, 2)]
        self._targets: "dict[int, Union[_Whole, Kept]]" = {}

    @property
    def fds(self) -> "list[int]":
        """The ends to read from, as long as something may come."""
        return list(self._targets)

    def make(self) -> "list[int]":
        """Make pipes and files; return the two ends that the job is to have, which the caller closes.

        :raises OSError: there is no room for them; nothing stays open
        """
        given: "list[int]" = []
        try:
            for path, output in zip(self._paths, self._files()):
                system.mkfifo(path, 0o600)
                given.append(system.open(path, os.O_RDWR | os.O_NOFOLLOW))
                system.widen(given[-1])
                self._open(path, output, NEW)
        except OSError:
            for fd in given:
                files.close_quietly(fd)
            self.close()
            raise
        return given

    def find(self) -> bool:
        """Go on with pipes whose runner is dead; False where there are none.

        :raises OSError: they cannot be opened now
        """
        for path, output in zip(self._paths, self._files()):
            try:
                self._open(path, output, os.O_WRONLY | os.O_NOFOLLOW | os.O_CREAT)
            except FileNotFoundError:
                continue
        return bool(self._targets)

    def _files(self) -> "Iterator[Union[_Whole, Kept]]":
        """Yield what takes stdout, and what takes stderr."""
        if self.limit is None:
            for number in (1, 2):
                yield _Whole(self._places.stream(self._uid, number))
            return
        from . import headtail  # only where there is a limit

        for kept in headtail.both(self._places, self._uid, self.limit):
            yield kept

    def _open(self, path: str, output: "Union[_Whole, Kept]", flags: int) -> None:
        reading = system.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            output.open(flags)
        except OSError:
            files.close_quietly(reading)
            raise
        self._targets[reading] = output

    def move(self) -> bool:
        """Move what waits; True where there may be more: a job that never stops writing is not to keep who moves it
        from all else.

        :raises OSError: there is no room for it; it waits on
        """
        more = False
        for reading, output in list(self._targets.items()):
            try:
                for _ in range(_AT_ONCE):
                    room = min(_MOST, output.room())  # before its descriptor is looked at: it may go on to another file
                    moved = system.splice(reading, output.fd, room)
                    output.took(moved)
                    if not moved:
                        break
                else:
                    more = True
                    continue
            except BlockingIOError:
                continue
            # Nobody can write to it any more.
            del self._targets[reading]
            files.close_quietly(reading)
            files.close_quietly(output.fd)
        return more

    @property
    def record(self) -> str:
        """What a claim says of it."""
        return ',"pipes":true' if self.limit is None else ',"pipes":true,"limit":%d' % self.limit

    def settle(self) -> bool:
        """Put the last bytes of outputs with a limit in their place, once the pipes are closed; False: that is all.

        :raises OSError: there is no room for it
        """
        if self.limit is not None:
            from . import headtail  # only where there is a limit

            headtail.settle(self._places, self._uid, self.limit)
        return False

    def told(self) -> "dict[str, Any]":
        """Return what the end says of what was left out.

        :raises OSError: that cannot be seen now
        """
        if self.limit is None:
            return {}
        from . import headtail  # only where there is a limit

        return headtail.told(self._places, self._uid, self.limit)

    def forget(self) -> None:
        """Delete what was kept apart of outputs with a limit: the end is written down."""
        if self.limit is not None:
            from . import headtail  # only where there is a limit

            headtail.forget(self._places, self._uid)

    def close(self) -> None:
        """Close all descriptors and remove the pipes; the files stay."""
        for reading, output in self._targets.items():
            files.close_quietly(reading)
            files.close_quietly(output.fd)
        self._targets.clear()
        for path in self._paths:
            files.unlink_quietly(path)
