"""Streaming of files that may still grow: stdout and stderr of attempts, from where the manager has them."""

import stat
import zlib

from .. import files, system, wire

MYPY = False
if MYPY:
    from typing import Iterator

    from ..places import Places

#: Bytes of one piece.
PIECE = 1 << 18
#: Seconds between two looks at a file: when there was news, and at most.
SOON, LATE = 0.05, 1.0
_SLOWER = 1.5
#: A file is kept open only if its descriptor is below this, so that descriptors are left for links.
MOST_KEPT = 128
#: So many bytes before the position are compared, to see whether the file was truncated and written anew.
KNOWN = 64


class Stream:
    """One output of one attempt, on its way over one link.

    The manager's offset counts every byte that was ever sent. When a job truncates its own output (as by
    ``> /dev/stderr``), the file starts again at 0: ``lost`` counts bytes that were sent and are gone from the file.

    :ivar emptied: the job has truncated the file; what was in it and not sent yet is lost
    """

    def __init__(self, path: str, uid: str, number: int, offset: int, lost: int = 0):
        self._path, self._uid, self._number = path, uid, number
        self._fd = -1
        # A manager that has lost its copy asks for bytes that are gone from the file: it gets those that are there.
        self.lost = min(lost, offset)
        self._position = offset - self.lost
        self._looked = self.emptied = False
        #: The bytes right before the position, and when the file was last written to.
        self._before = b""
        self._written = 0

    @property
    def sent(self) -> int:
        """The manager's offset."""
        return self.lost + self._position

    def piece(self, limit: "int | None" = None) -> "tuple[bytes, bytes] | None":
        """Return the next piece as (line, bytes), ``None`` when there is nothing new.

        :param limit: size of the file at the job's end; later bytes are not the job's
        :raises OSError: the file is there and cannot be read now
        """
        if self._fd < 0 and limit is not None and limit == self._position and not self._position:
            return None
        fd = self._open()
        if fd < 0:
            return None
        try:
            return self._next(fd, limit)
        finally:
            # Near the limit of open files, each file is open only while it is read.
            if self._fd < 0:
                files.close_quietly(fd)

    def _open(self) -> int:
        """Return the open file, which stays open while descriptors are plenty; -1 if it does not exist any more."""
        if self._fd >= 0:
            return self._fd
        try:
            fd = files.open_regular(self._path)
        except FileNotFoundError:
            return -1
        except PermissionError:  # the job has changed the mode of its own file: change it back
            if not stat.S_ISREG(system.stat(self._path, follow_symlinks=False).st_mode):
                return -1
            system.chmod(self._path, 0o600)
            fd = files.open_regular(self._path)
        if fd < MOST_KEPT:
            self._fd = fd
        return fd

    def _next(self, fd: int, limit: "int | None") -> "tuple[bytes, bytes] | None":
        found = system.fstat(fd)
        self._see_whether_it_began_again(fd, found.st_size, found.st_mtime_ns, limit is not None)
        size = found.st_size if limit is None else min(found.st_size, limit)
        room = min(PIECE, size - self._position)
        if room <= 0:
            return None
        data = system.pread(fd, room, self._position)
        if not data:
            return None
        head = wire.encode({"t": "out", "id": self._uid, "s": self._number, "off": self.sent, "n": len(data),
                            "crc": zlib.crc32(data)})
        self._position += len(data)
        self._before = data[-KNOWN:] if len(data) >= KNOWN else (self._before + data)[-KNOWN:]
        return head, data

    def _see_whether_it_began_again(self, fd: int, size: int, written: int, last: bool) -> None:
        """Notice that the file was truncated, even if it is as long as before by now, with other bytes."""
        known, self._looked = self._looked, True
        again = size < self._position
        if not again and self._before and (last or written != self._written):
            at = self._position - len(self._before)
            again = system.pread(fd, len(self._before), at) != self._before
        self._written = written
        if not again:
            return
        self.emptied = True
        # At the first look there is nothing to compare with: all before the position counts as sent.
        kept = 0 if known else size
        self.lost += self._position - kept
        self._position = kept
        self._before = b""

    def missing(self, size: int) -> int:
        """Return how much of so many bytes at the job's end cannot be sent; less than 0: more was sent."""
        return size - self._position

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            files.close_quietly(self._fd)
            self._fd = -1


class Feed:
    """Both outputs of one attempt over one link, and when to look at them again.

    :ivar next: by the monotonic clock
    """

    def __init__(self, places: "Places", uid: str, sent: "tuple[int, int]", lost: "tuple[int, int]", now: float):
        self.uid = uid
        self._sizes: "tuple[int, int] | None" = None
        self.next = now + SOON
        self._interval = SOON
        self._more = False
        self._streams = tuple(Stream(places.stream(uid, index + 1), uid, index + 1, sent[index], lost[index])
                              for index in (0, 1))

    def begin(self, now: float) -> None:
        """Note that the job was given to a runner just now: the first look comes when there may be output."""
        self.next = now + SOON

    def end(self, sizes: "tuple[int, int]") -> None:
        """Note that the job is over, and how much of stdout and stderr is its own."""
        self._sizes = sizes
        self.next = 0.0

    @property
    def ended(self) -> bool:
        """True when the job is over, so that its files do not grow any more."""
        return self._sizes is not None

    def pieces(self) -> "Iterator[tuple[bytes, bytes]]":
        """Yield one piece at most of each stream."""
        self._more = False
        for index, stream in enumerate(self._streams):
            found = stream.piece(None if self._sizes is None else self._sizes[index])
            if found is not None:
                self._more = self._more or len(found[1]) == PIECE
                yield found

    def looked(self, now: float, news: bool) -> None:
        """Note a look at the files. The next is due at once if there is more, soon after news, else later and later."""
        self._interval = SOON if news else min(LATE, self._interval * _SLOWER)
        self.next = now if self._more else now + self._interval

    def wait(self, now: float) -> None:
        """Note that the files cannot be read now."""
        self.next = now + LATE

    @property
    def lost(self) -> "tuple[int, int]":
        """Bytes of stdout and stderr that were sent and that the job removed from its files; 0 for nearly all jobs."""
        return self._streams[0].lost, self._streams[1].lost

    @property
    def missing(self) -> "tuple[int, int]":
        """Bytes of stdout and stderr of the job's end that cannot be sent any more; valid after the last piece."""
        sizes = self._sizes or (0, 0)
        return self._streams[0].missing(sizes[0]), self._streams[1].missing(sizes[1])

    @property
    def emptied(self) -> bool:
        """True when the job was seen to have removed something from its own stdout or stderr."""
        return any(stream.emptied for stream in self._streams)

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams:
            stream.close()
