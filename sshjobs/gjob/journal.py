"""Journals: what must be known after a crash of agent or runner. Append only, with one writer each; a line is a crc32
and a JSON object.

Nothing is synced: after a reboot of the host, everything that had begun counts as ended by the reboot.
"""

import errno
import os
import zlib

from . import files, system
from .light import loads

MYPY = False
if MYPY:
    from typing import Any, Iterator

_READ = 1 << 20


def record(text: bytes) -> bytes:
    """Return a JSON object as a line of a journal."""
    return b"%08x %s\n" % (zlib.crc32(text), text)


class Journal:
    """The writing end. What cannot be written at once (disk full) is kept and tried again with the next record.

    :param fd: open for appending; stays with the journal
    """

    def __init__(self, fd: int):
        self.fd = fd
        self._unwritten = b""
        #: The error of the last write that failed.
        self.trouble = OSError(errno.EIO, "nothing was written")

    def append(self, text: bytes) -> bool:
        """Append a JSON object in one write; False where it is only in memory so far."""
        self._unwritten += record(text)
        return self.retry()

    def retry(self) -> bool:
        """Write what is still unwritten; True when nothing is."""
        data = self._unwritten
        if not data:
            return True
        try:
            written = system.write(self.fd, data)
        except OSError as error:
            self.trouble = error
            return False
        if written == len(data):
            self._unwritten = b""
            return True
        # The write ended within a line: start a new line next time, and write the torn record again.
        self.trouble = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._unwritten = b"\n" + data[data.rfind(b"\n", 0, written) + 1:]
        return False


class Reader:
    """Reads a journal that another process may still be writing, from where it stopped the last time."""

    def __init__(self, path: str):
        self.path = path
        self._offset = 0

    def read(self) -> "Iterator[dict[str, Any]]":
        """Yield the records that came since the last call. Torn and damaged lines are passed over.

        :raises OSError: it exists and cannot be read now. That must not be taken for an empty journal: running jobs
            would be taken for dead
        """
        try:
            fd = files.open_regular(self.path)
        except FileNotFoundError:
            return
        try:
            data = piece = system.pread(fd, _READ, self._offset)
            while piece:
                piece = system.pread(fd, _READ, self._offset + len(data))
                data += piece
        finally:
            files.close_quietly(fd)
        end = data.rfind(b"\n") + 1
        self._offset += end
        for line in data[:end].split(b"\n"):
            found = parse(line)
            if found is not None:
                yield found


def parse(line: bytes) -> "dict[str, Any] | None":
    """Return what a line holds, without its newline; ``None`` for a torn or damaged one."""
    if len(line) < 11 or line[8:9] != b" ":
        return None
    try:
        if int(line[:8], 16) != zlib.crc32(line[9:]):
            return None
        found = loads(line[9:].decode("ascii"))
    except ValueError:
        return None
    return found if isinstance(found, dict) and "k" in found else None
