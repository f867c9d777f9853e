"""Keeps the first and the last bytes of an output of any length (``output_limit``), and says how many it left out.

The first half of the limit goes into the output's file, as with any job. What follows goes into pieces of one size in
a directory beside it, of which those are kept that the last half of the limit may be in. At the end of the job that
half is put behind the first. How much has come is told by the number of the last piece and by its size, and by nothing
else: what goes on after a kill counts on from the right byte.
"""

import os

from . import files, system
from .places import make_directories
from .trees import remove_tree

MYPY = False
if MYPY:
    from typing import Iterator

    from .places import Places

#: Bytes of a piece at least: a small limit makes no file for every line. More than is read for a result.
SMALLEST_PIECE = 1 << 20
#: Pieces that the last half of a large limit is kept in.
_PIECES = 8
_STEP = 1 << 20
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW


def halves(limit: int) -> "tuple[int, int]":
    """Return how many bytes of an output's beginning are kept, and how many of its end."""
    return (limit + 1) // 2, limit // 2


class Kept:
    """One output while it comes: says where the next bytes go, and how many of them may go there.

    :ivar fd: the open file that they go to
    """

    def __init__(self, places: "Places", uid: str, number: int, limit: int):
        self._path = places.stream(uid, number)
        self._directory, self._number = places.rest(uid), number
        self._head, self._tail = halves(limit)
        self._size = max(SMALLEST_PIECE, -(-self._tail // _PIECES))
        #: In how many pieces before the one that is written to the last half may begin.
        self._before = -(-self._tail // self._size)
        #: The piece that is written to; -1: the output's own file. How much is in it.
        self._piece, self._filled = -1, 0
        self.fd = -1

    def open(self, flags: int) -> None:
        """Open the file that the next bytes go to.

        :param flags: for the output's own file, where nothing was left out yet
        :raises OSError: it cannot be opened now
        """
        self._piece = max(self._pieces(), default=-1)
        self.fd = (system.open(self._path, flags, 0o600) if self._piece < 0
                   else system.open(self._name(self._piece), _WRITE, 0o600))
        system.seek_end(self.fd)
        self._filled = system.fstat(self.fd).st_size

    def room(self) -> int:
        """Return how many of the next bytes may be written to :attr:`fd`: one at least.

        :raises OSError: there is no room for a further piece; this may be called again
        """
        while self._filled >= (self._head if self._piece < 0 else self._size):
            try:
                fd = system.open(self._name(self._piece + 1), _WRITE, 0o600)
            except FileNotFoundError:  # somebody has deleted what it was to be in
                make_directories(self._directory)
                fd = system.open(self._name(self._piece + 1), _WRITE, 0o600)
            files.close_quietly(self.fd)
            self.fd, self._piece, self._filled = fd, self._piece + 1, 0
            if self._piece > self._before:
                files.unlink_quietly(self._name(self._piece - 1 - self._before))
        return (self._head if self._piece < 0 else self._size) - self._filled

    def took(self, count: int) -> None:
        """Note that so many bytes were written to :attr:`fd`."""
        self._filled += count

    def _name(self, piece: int) -> str:
        return "%s/%d.%d" % (self._directory, self._number, piece)

    def _pieces(self) -> "list[int]":
        """Return the numbers of the pieces that are there."""
        try:
            names = system.listdir(self._directory)
        except OSError as error:
            if error.errno in files.GONE:
                return []
            raise
        parts = [name.partition(".") for name in names]
        return sorted(int(piece) for number, _, piece in parts if number == str(self._number) and piece.isdigit())

    # -- at the end ------------------------------------------------------------------------------------------------

    def _beyond(self) -> int:
        """Return how many bytes came behind the first half."""
        last = max(self._pieces(), default=-1)
        return 0 if last < 0 else last * self._size + _size(self._name(last))

    def _read(self, begin: int) -> "Iterator[bytes]":
        """Yield what came behind the first half, from an offset in that on."""
        for piece in self._pieces():
            at = max(0, begin - piece * self._size)
            if at >= self._size:
                continue
            fd = files.open_regular(self._name(piece))
            try:
                while True:
                    data = system.pread(fd, _STEP, at)
                    if not data:
                        break
                    at += len(data)
                    yield data
            finally:
                files.close_quietly(fd)

    def settle(self) -> None:
        """Put the last half behind the first. Doing it again, also after a kill, comes to the same: nobody can write to
        the output any more.

        :raises OSError: there is no room for it
        """
        beyond = self._beyond()
        if not beyond:
            return
        try:
            fd, at = system.open(self._path, _WRITE, 0o600), self._head
            try:
                for data in self._read(beyond - min(beyond, self._tail)):
                    while data:
                        count = system.pwrite(fd, data, at)
                        data, at = data[count:], at + count
            finally:
                system.close(fd)
        except FileNotFoundError:  # somebody has deleted it: what is there now is all
            return

    def left_out(self) -> int:
        """Return how many bytes are missing between the first half and the last, as they are in the output's file.

        :raises OSError: that cannot be seen now
        """
        beyond = self._beyond()
        return beyond and beyond - max(0, _size(self._path) - self._head)

    def last(self, most: int) -> "tuple[bytes, bool]":
        """Return the last bytes of all that came, left out or not; and whether that is all of it.

        :raises OSError: they cannot be read
        """
        beyond, data = self._beyond(), b""
        fd = files.open_regular(self._path)
        try:
            size = system.fstat(fd).st_size if not beyond else self._head
            want = min(size, max(0, most - beyond))
            while len(data) < want:
                piece = system.pread(fd, want - len(data), size - want + len(data))
                if not piece:
                    break
                data += piece
        finally:
            files.close_quietly(fd)
        return data + b"".join(self._read(max(0, beyond - most))), size + beyond <= most


def _size(path: str) -> int:
    """Return how long a file is; 0 where somebody has deleted it."""
    try:
        return int(system.stat(path, follow_symlinks=False).st_size)
    except OSError as error:
        if error.errno in files.GONE:
            return 0
        raise


def both(places: "Places", uid: str, limit: int) -> "list[Kept]":
    """Return stdout and stderr of an attempt."""
    return [Kept(places, uid, number, limit) for number in (1, 2)]


def settle(places: "Places", uid: str, limit: int) -> None:
    """Put the last bytes of both outputs in their place, see :meth:`Kept.settle`.

    :raises OSError: there is no room for it
    """
    for kept in both(places, uid, limit):
        kept.settle()


def told(places: "Places", uid: str, limit: int) -> "dict[str, dict[str, int]]":
    """Return what the end of an attempt says of what was left out: nothing where that is nothing.

    :raises OSError: that cannot be seen now
    """
    out, err = [kept.left_out() for kept in both(places, uid, limit)]
    return {"left_out": {"at": halves(limit)[0], "out": out, "err": err}} if out or err else {}


def forget(places: "Places", uid: str) -> None:
    """Delete what was kept apart: the end is written down."""
    remove_tree(places.rest(uid))
