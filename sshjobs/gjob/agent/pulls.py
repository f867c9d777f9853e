"""Sends the files that a job leaves in its directory to the manager: a list, page by page, and then their contents.

A file is read only if it is the very file that was listed, and unchanged since.
"""

import os
import stat

from .. import files, light, system, wire
from ..patterns import Patterns
from . import walk
from .walk import Top, Walk

MYPY = False
if MYPY:
    from typing import Any, Callable

    #: Takes the path of a file that was read whole, its open descriptor, and its sha256.
    Keep = Callable[[bytes, int, str], None]

#: Bytes of one piece, and bytes that are digested in one step where they need not be sent.
PIECE, DIGESTED = 1 << 18, 1 << 20
#: At most so many bytes of a hole are skipped between two frames: the manager has to digest them.
GAP = 1 << 24

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
#: Bytes of a block in ``st_blocks``.
_BLOCK = 512
_ZEROS = bytes(DIGESTED)


class Pull:
    """The transfer of one attempt's files over one link. The manager names patterns and gets a page of matching files;
    it answers with those that it wants, each with an offset, and gets their contents and the next page.

    :param frame: of the type ``pull``
    :param home: the attempt's own directory
    :param keep: puts files into the cache for later jobs, once they were read; None: no later job needs them
    """

    def __init__(self, frame: "dict[str, Any]", home: str, keep: "Keep | None" = None):
        self.uid = frame["id"]
        self._seq = frame["seq"]
        self._top, self._keep = Top(home, frame["cwd"]), keep
        self._walk = Walk(self._top, Patterns(frame["patterns"]), frame["after"])
        #: The files of the last page; those of them that are to be read, with offsets.
        self._page: "list[tuple[list[str], os.stat_result]]" = []
        self._wanted: "list[tuple[int, int]]" = []
        self._reading: "_Reading | None" = None
        self._looks = True

    @property
    def busy(self) -> bool:
        """True when :meth:`step` has something to do before the manager's next frame."""
        return self._looks or self._reading is not None or bool(self._wanted)

    def get(self, wanted: "list[list[int]]", more: bool) -> None:
        """Note which files of the last page the manager wants.

        :param wanted: (number in the page, offset) of each
        :param more: that is all of this page, so the next page is to follow
        :raises wire.WireError: no page was sent, or it has fewer files
        """
        if self.busy or any(number >= len(self._page) for number, _ in wanted):
            raise wire.WireError("get: %s has told no such files" % self.uid)
        self._wanted = [(number, offset) for number, offset in reversed(wanted)]
        self._looks = more and not self._walk.is_over

    def step(self) -> "tuple[bytes, ...]":
        """Do a little; return a frame and its bytes, or nothing."""
        if self._reading is None and self._wanted:
            number, offset = self._wanted.pop()
            path, listed = self._page[number]
            self._reading = _Reading(self.uid, number, self._top, path, listed, offset, self._keep)
        if self._reading is not None:
            frame = self._reading.step()
            if self._reading.is_over:
                self._reading = None
            return frame
        self._walk.look()
        return self._tell() if self._walk.has_page else ()

    def _tell(self) -> "tuple[bytes, ...]":
        page, odd, self._looks = self._walk.found, self._walk.odd, False
        self._page = page
        self._walk.turn()
        return (wire.encode({
            "t": "found", "id": self.uid, "seq": self._seq, "last": self._walk.is_over,
            "paths": [walk.travelling(path) for path, _ in page], "sizes": [found.st_size for _, found in page],
            "times": [found.st_mtime_ns for _, found in page],
            "programs": [bool(found.st_mode & stat.S_IXUSR) for _, found in page],
            "odd": [path for path, _ in odd], "why": [reason for _, reason in odd]}),)

    def close(self) -> None:
        """Close what is open."""
        if self._reading is not None:
            self._reading.close()


class _Reading:
    """Reads one file: sends it from an offset on, and digests all of it."""

    def __init__(self, uid: str, number: int, top: Top, path: "list[str]", listed: "os.stat_result", offset: int,
                 keep: "Keep | None"):
        self._keys, self._keep = {"id": uid, "i": number}, keep
        self._top, self._path, self._listed, self._offset = top, path, listed, offset
        self._fd = -1
        self._position = self._told = 0
        self._digest = light.new_sha256()
        self.is_over = False

    def step(self) -> "tuple[bytes, ...]":
        """Read a little; return a frame and its bytes, or nothing."""
        try:
            if self._fd < 0:
                self._open()
            if self._position < self._offset:
                self._read(min(DIGESTED, self._offset - self._position))
                self._told = self._position
                return ()
            if self._position < self._listed.st_size:
                return self._piece()
            self._check()
        except OSError as error:
            return self._end(walk.why(error))
        return self._end(None)

    def _open(self) -> None:
        directory = self._top.open(self._path[:-1])
        try:
            self._fd = system.open(self._path[-1], _READ, dir_fd=directory)
        finally:
            files.close_quietly(directory)
        self._check()
        if self._offset > self._listed.st_size:
            raise walk.ReplacedError("more was sent of it than there is")

    def _check(self) -> None:
        """Check that the open file is the one that was listed, and unchanged.

        :raises OSError: it is not
        """
        found, listed = system.fstat(self._fd), self._listed
        if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) != (
                listed.st_dev, listed.st_ino, listed.st_size, listed.st_mtime_ns):
            raise walk.ReplacedError("it has changed")

    def _read(self, size: int) -> bytes:
        data = system.pread(self._fd, size, self._position)
        if not data:
            raise walk.ReplacedError("it is shorter than it was")
        self._digest.update(data)
        self._position += len(data)
        return data

    def _piece(self) -> "tuple[bytes, ...]":
        if self._listed.st_blocks * _BLOCK < self._listed.st_size:
            # Holes are not sent: the next piece begins after the hole.
            begins = min(system.seek_data(self._fd, self._position), self._listed.st_size)
            if begins > self._position:
                size = min(DIGESTED, begins - self._position)
                self._digest.update(_ZEROS[:size])
                self._position += size
                if self._position - self._told < GAP:
                    return ()
                self._told = self._position
                return (wire.encode(dict(self._keys, t="part", off=self._position, n=0)),)
        offset = self._position
        data = self._read(min(PIECE, self._listed.st_size - offset))
        self._told = self._position
        return wire.encode(dict(self._keys, t="part", off=offset, n=len(data))), data

    def _end(self, why: "str | None") -> "tuple[bytes, ...]":
        sha = None if why is not None else self._digest.hexdigest()
        if sha is not None and self._keep is not None:
            path = self._top.path(self._path)
            if path is not None:
                self._keep(path, self._fd, sha)
        self.close()
        self.is_over = True
        return (wire.encode(dict(self._keys, t="whole", sha=sha, why=why)),)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            files.close_quietly(self._fd)
            self._fd = -1
