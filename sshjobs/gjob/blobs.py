"""Input files that the manager puts here once, for any number of attempts of the run."""

import os

from .wire import WireError, is_sha

MYPY = False
if MYPY:
    from .places import Places


class Blobs:
    """The inputs of one run on one host. A file appears under its name when it is complete and its digest is right."""

    def __init__(self, places: "Places"):
        self._places = places
        self._half: "dict[str, Half]" = {}

    def here(self) -> "list[str]":
        """Return the digests of what is complete."""
        try:
            return sorted(filter(is_sha, os.listdir(self._places.blobs)))
        except OSError:
            return []

    def put(self, sha: str, size: int, offset: int, data: bytes) -> "str | None":
        """Take a piece. A piece at offset 0 begins anew; one of what is here already is dropped.

        :return: why it cannot be kept (disk full), in words, once; ``None`` when all is well
        :raises WireError: a hole, too much, or a wrong digest
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
            if half.finish() != sha:
                raise WireError("put: the digest is another")
        return trouble

    def forget_halves(self) -> None:
        """Delete what is incomplete: its link is gone, the next one begins anew."""
        for half in self._half.values():
            half.drop()
        self._half.clear()


class Half:
    """An input on its way."""

    def __init__(self, path: str):
        self.size = 0
        self._path = path
        self._part = path + ".part"
        import hashlib  # only where there are inputs: it loads all of OpenSSL

        self._digest = hashlib.sha256()
        self._failed = False
        try:
            os.unlink(self._part)
        except OSError:
            pass
        self._fd = -1

    def add(self, data: bytes) -> "str | None":
        """Append; what cannot be written is only counted, so that the link stays in step."""
        self.size += len(data)
        if self._failed:
            return None
        try:
            if self._fd < 0:
                self._fd = os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
            self._digest.update(data)
            while data:
                data = data[os.write(self._fd, data):]
        except OSError as error:
            self._failed = True
            self._discard()
            return "an input file cannot be kept: %s" % error.strerror
        return None

    def finish(self) -> str:
        """Give it its name if its digest is the one in the name. Return the digest, "" ones being never wrong."""
        wanted = os.path.basename(self._path)
        if self._failed:
            return wanted
        found = self._digest.hexdigest()
        if found == wanted:
            os.close(self._fd)
            os.rename(self._part, self._path)
        else:
            self._discard()
        return found

    def drop(self) -> None:
        """Give up."""
        if not self._failed:
            self._discard()

    def _discard(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        try:
            os.unlink(self._part)
        except OSError:
            pass
