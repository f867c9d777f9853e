"""Input files that the manager puts here once, for any number of attempts of the run."""

import os
import zlib

from ..wire import WireError

MYPY = False
if MYPY:
    from ..places import Places
    from ..wire import Body
    from .cache import Cache


class Blobs:
    """The inputs of one run on one host. A file appears under its name when it is complete and came over whole.

    :param kept: large ones outlive the run
    """

    def __init__(self, places: "Places", kept: bool = True):
        self._places, self._kept = places, kept
        self._half: "dict[str, Half]" = {}
        self._opened: "Cache | None" = None

    def _cache(self) -> "Cache":
        if self._opened is None:
            from .cache import Cache  # only where there are inputs

            self._opened = Cache(self._places.root)
        return self._opened

    def _lasts(self, size: int) -> bool:
        from .cache import LEAST

        return self._kept and size >= LEAST

    def lacking(self, wanted: "list[list[object]]") -> "list[str]":
        """Return the digests of those of (digest, size) that have to be sent."""
        return [str(sha) for sha, size in wanted if not self._has(str(sha), int(str(size)))]

    def _has(self, sha: str, size: int) -> bool:
        path = self._places.blob(sha)
        return os.path.exists(path) or (self._lasts(size) and self._cache().fetch(sha, size, path))

    def put(self, sha: str, size: int, crc: int, offset: int, data: "Body") -> "str | None":
        """Take a piece. A piece at offset 0 begins anew; one of what is here already is dropped.

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
            if os.path.exists(self._places.blob(sha)):
                return None
            half = self._half[sha] = Half(self._places.blob(sha))
        elif half is None:
            if os.path.exists(self._places.blob(sha)):
                return None
            raise WireError("put: does not begin at 0")
        if half.size != offset:
            raise WireError("put: at %d, expected %d" % (offset, half.size))
        trouble = half.add(data)
        if half.size == size:
            del self._half[sha]
            if not half.finish(crc):
                raise WireError("put: the crc32 is another")
            if self._lasts(size) and not half.failed:
                self._cache().keep(self._places.blob(sha), sha, size)
        return trouble

    def forget_halves(self) -> None:
        """Delete what is incomplete: its link is gone, the next one begins anew."""
        for half in self._half.values():
            half.drop()
        self._half.clear()

    def close(self) -> None:
        """The run is over: what outlives it is brought within its bounds."""
        self.forget_halves()
        if self._opened is not None:
            self._opened.trim()


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
        try:
            os.unlink(self._part)
        except OSError:
            pass
        self._fd = -1

    def add(self, data: "Body") -> "str | None":
        """Append; what cannot be written is only counted, so that the link stays in step."""
        self.size += len(data)
        if self.failed:
            return None
        try:
            if self._fd < 0:
                self._fd = os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
            self._crc = zlib.crc32(data, self._crc)
            while data:
                data = data[os.write(self._fd, data):]
        except OSError as error:
            self.failed = True
            self._discard()
            return "an input file cannot be kept: %s" % error.strerror
        return None

    def finish(self, crc: int) -> bool:
        """Give it its name, for nobody to write to any more; False if its crc32 is another. What could not be written
        is never wrong.

        :param crc: taken of the same bytes as the sha256 in its name: what has it came over whole
        """
        if self.failed:
            return True
        if self._crc != crc:
            self._discard()
            return False
        os.fchmod(self._fd, 0o400)
        os.close(self._fd)
        os.rename(self._part, self._path)
        return True

    def drop(self) -> None:
        """Give up."""
        if not self.failed:
            self._discard()

    def _discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        try:
            os.unlink(self._part)
        except OSError:
            pass
