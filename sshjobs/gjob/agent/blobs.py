"""Input files that the manager puts here once, for any number of attempts of the run."""

import os
import zlib

from .. import files, seals, system
from ..light import deque
from ..wire import WireError

MYPY = False
if MYPY:
    from typing import Callable, Deque, Iterator

    from ..places import Places
    from ..wire import Body
    from .cache import Cache


class Blobs:
    """The inputs of one run on one host. A file appears under its name only when it is complete and its crc32 is right.

    :param kept: large ones outlive the run
    """

    def __init__(self, places: "Places", kept: bool = True):
        self._places, self._kept = places, kept
        self._half: "dict[str, Half]" = {}
        self._asked: "Deque[tuple[Iterator[list[str] | None], Callable[[list[str]], None]]]" = deque()
        self._opened: "Cache | None" = None

    def _cache(self) -> "Cache":
        if self._opened is None:
            from .cache import Cache  # only where there are inputs

            self._opened = Cache(self._places.root)
        return self._opened

    def _lasts(self, size: int) -> bool:
        from .cache import LEAST

        return self._kept and size >= LEAST

    def ask(self, wanted: "list[list[object]]", answer: "Callable[[list[str]], None]") -> None:
        """Find out which of (digest, size) have to be sent. What the cache has is compared first, by :meth:`work`.

        :param answer: called with the digests of those
        """
        self._asked.append((self._lacking(wanted), answer))
        self.work()

    @property
    def busy(self) -> bool:
        """True when there is something for :meth:`work`."""
        return bool(self._asked)

    def work(self) -> None:
        """Go on with what was asked, for a moment."""
        if self._asked:
            lacking, answer = self._asked[0]
            found = next(lacking)
            if found is not None:
                self._asked.popleft()
                answer(found)

    def _lacking(self, wanted: "list[list[object]]") -> "Iterator[list[str] | None]":
        """Yield None as long as it takes, then the answer."""
        lacking = []
        for sha, size in wanted:
            path = self._places.blob(str(sha))
            there = _is_there(path)
            if there:
                continue
            if self._lasts(int(str(size))):
                for there in self._cache().fetching(str(sha), int(str(size)), path):
                    if not there:
                        yield None
            if not there:
                lacking.append(str(sha))
        yield lacking

    def put(self, sha: str, size: int, crc: int, offset: int, data: "Body") -> "str | None":
        """Take a piece of an input. A piece at offset 0 begins anew; pieces of an input that is here are ignored.

        :param crc: crc32 of the whole content
        :return: why it cannot be kept (disk full), in words, once; ``None`` when all is well
        :raises WireError: a hole, too much, or other bytes than were named
        """
        if offset + len(data) > size:
            raise WireError("put: more than the size")
        half = self._half.get(sha)
        if offset == 0:
            if half is not None:
                half.drop()
                half = None
            if files.exists(self._places.blob(sha)):
                return None
            half = self._half[sha] = Half(self._places.blob(sha))
        elif half is None:
            if files.exists(self._places.blob(sha)):
                return None
            raise WireError("put: does not begin at 0")
        if half.size != offset:
            raise WireError("put: at %d, expected %d" % (offset, half.size))
        trouble = half.add(data)
        if half.size == size:
            del self._half[sha]
            if not half.finish(crc, sha):
                raise WireError("put: the crc32 is another")
            if self._lasts(size) and not half.failed:
                self._cache().keep(self._places.blob(sha), sha, size)
        return trouble

    def keep_output(self, path: bytes, fd: int, sha: str) -> None:
        """Put a large output of a job into the cache, so that later jobs here get it without a transfer.

        :param fd: the same file, open; it was just read to its end
        """
        try:
            lasts = self._lasts(system.fstat(fd).st_size)
        except OSError:  # not cached: the manager sends it when a job needs it
            return
        if lasts:
            self._cache().keep_output(path, fd, sha)

    def forget_all(self) -> None:
        """Delete inputs from before the host's last boot: after a power failure a file may have its name and seal
        without its content.

        :raises OSError: it is there, and cannot be deleted
        """
        for name in system.listdir(self._places.blobs):
            system.unlink(self._places.blob(name))

    def forget_halves(self) -> None:
        """Delete incomplete inputs: their link is gone, and the next one sends them from the start."""
        for half in self._half.values():
            half.drop()
        self._half.clear()
        self._asked.clear()

    def close(self) -> None:
        """End with the run, and trim the cache to its bounds."""
        self.forget_halves()
        if self._opened is not None:
            self._opened.trim()


def _is_there(path: str) -> bool:
    try:
        return files.exists(path)
    except OSError:  # then it is sent again, at worst for nothing
        return False


class Half:
    """An input on its way.

    :ivar failed: it could not be written
    """

    def __init__(self, path: str):
        self.size = 0
        self.failed = False
        self._path = path
        self._part = path + ".part"
        self._crc = 0
        files.unlink_quietly(self._part)
        self._fd = -1

    def add(self, data: "Body") -> "str | None":
        """Append a piece. After a failed write pieces are only counted, so that their offsets stay right."""
        self.size += len(data)
        if self.failed:
            return None
        try:
            if self._fd < 0:
                self._fd = system.open(self._part, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
            self._crc = zlib.crc32(data, self._crc)
            while data:
                data = data[system.write(self._fd, data):]
        except OSError as error:
            self.failed = True
            self._discard()
            return "an input file cannot be kept: %s" % error.strerror
        return None

    def finish(self, crc: int, sha: str) -> bool:
        """Make it read-only and give it its name; False if its crc32 is wrong. An input that could not be written is
        dropped, which is no error of the link: True.

        :param crc: the manager computed it from the same bytes as the sha256
        """
        if self.failed:
            return True
        if self._crc != crc:
            self._discard()
            return False
        try:
            system.fchmod(self._fd, 0o400)
            seals.put(self._fd, sha)
            fd, self._fd = self._fd, -1
            system.close(fd)
            system.rename(self._part, self._path)
        except OSError:  # it is not here, then, and will be sent again
            self.failed = True
            self._discard()
        return True

    def drop(self) -> None:
        """Delete what has come so far."""
        if not self.failed:
            self._discard()

    def _discard(self) -> None:
        if self._fd >= 0:
            files.close_quietly(self._fd)
            self._fd = -1
        files.unlink_quietly(self._part)
