"""Digests of local files, computed once while a file does not change; those of large files are kept for later runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import threading
import time
import zlib
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from sshjobs.errors import SshjobsError

#: The digests of files of at least so many bytes are kept on the disk: smaller files are read faster than looked up.
LARGE = 1 << 20
#: A file whose times are younger than so many seconds may change once more without its times showing it.
RACY = 2.0
#: Digests that are remembered in memory at most, and lines on the disk.
MOST, MOST_LINES = 100_000, 8_192

_SHA = re.compile(r"[0-9a-f]{64}")

#: Device, inode, size, time of the last change of the content and of the inode, in nanoseconds.
Identity = tuple[int, int, int, int, int]
#: sha256 in hex digits, and crc32.
Sums = tuple[str, int]


class Digest(NamedTuple):
    """The content of a local file as it was when its identity was that.

    :ivar sha: its sha256, which is its name
    :ivar crc: its crc32, by which a host checks the transfer
    """

    sha: str
    crc: int
    identity: Identity

    @property
    def size(self) -> int:
        """Bytes of it."""
        return self.identity[2]


def identity_of(info: os.stat_result) -> Identity:
    """Return what changes whenever a file does (but see :data:`RACY`)."""
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def usual_store() -> Path | None:
    """Return the file in which digests are kept for later runs; ``None`` for a user without a home."""
    cache = os.environ.get("XDG_CACHE_HOME") or ""
    if cache.startswith("/"):
        return Path(cache) / "sshjobs" / "digests"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "sshjobs" / "digests" if home.startswith("/") else None


class Digests:
    """Computes digests. May be used by several threads at once: a file that several need is read by one of them.

    :param store: where digests of large files are kept for later runs; what is wrong with it is ignored
    """

    def __init__(self, store: Path | None = None):
        self._store = store
        self._known: dict[Identity, Sums] = {}
        self._loaded = False
        self._reading: dict[Identity, Future[Sums]] = {}
        self._lock = threading.Lock()

    def of(self, path: Path) -> Digest:
        """Return the digest of a file.

        :raises OSError: it cannot be read
        :raises SshjobsError: it is no file, or does not stay the same for as long as it takes to read it
        """
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise SshjobsError("only files and directories can be sent", where=str(path), hint="leave it out of files")
        identity = identity_of(info)
        with self._lock:
            if info.st_size >= LARGE:
                self._load()
            sums = self._known.get(identity)
            if sums is not None:
                return Digest(*sums, identity)
            reading = self._reading.get(identity)
            mine = reading is None
            if reading is None:
                reading = self._reading[identity] = Future()
        if mine:
            self._read(path, identity, reading)
        return Digest(*reading.result(), identity)

    def _read(self, path: Path, identity: Identity, reading: Future[Sums]) -> None:
        """Read a file for all threads that wait for its digest."""
        began = time.time()
        try:
            sums = _sums_of(path, identity)
        except BaseException as error:  # noqa: BLE001  (whatever it is, it belongs to those who wait)
            reading.set_exception(error)
        else:
            reading.set_result(sums)
        with self._lock:
            del self._reading[identity]
            if reading.exception() is None and max(identity[3:]) <= (began - RACY) * 1e9:
                self._remember(identity, sums)

    def _remember(self, identity: Identity, sums: Sums) -> None:
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[identity] = sums
        if self._store is not None and identity[2] >= LARGE:
            self._append(self._store, [(identity, sums)], os.O_APPEND)

    # -- for later runs ------------------------------------------------------------------------------------------

    def _load(self) -> None:
        if self._loaded or self._store is None:
            return
        self._loaded = True
        try:
            lines = self._store.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            # There is none, or it cannot be read: files are read again.
            return
        found = dict(entry for entry in map(_parse, lines[-MOST_LINES:]) if entry is not None)
        self._known.update(found)
        if len(lines) > MOST_LINES:
            fresh = self._store.with_name(f"{self._store.name}.{os.getpid()}")
            with contextlib.suppress(OSError):
                self._append(fresh, list(found.items())[-MOST_LINES // 2:], os.O_TRUNC)
                fresh.replace(self._store)

    @staticmethod
    def _append(store: Path, entries: list[tuple[Identity, Sums]], flag: int) -> None:
        text = "".join(json.dumps([*identity, crc, sha]) + "\n" for identity, (sha, crc) in entries)
        # Without it later runs read the files again; nothing else depends on it.
        with contextlib.suppress(OSError):
            store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(store, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flag, 0o600)
            try:
                os.write(fd, text.encode("ascii"))
            finally:
                os.close(fd)


def _sums_of(path: Path, identity: Identity) -> Sums:
    digest, crc, buffer = hashlib.sha256(), 0, bytearray(1 << 20)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(view[:size])
            crc = zlib.crc32(view[:size], crc)
        if identity_of(os.fstat(file.fileno())) != identity:
            raise SshjobsError("a file of the job changes while it is read", where=str(path),
                               hint="wait until it is complete, then: sshjobs retry --failed")
    return digest.hexdigest(), crc


def _parse(line: str) -> tuple[Identity, Sums] | None:
    try:
        *numbers, sha = json.loads(line)
    except (ValueError, TypeError):
        # Torn, or written by somebody else.
        return None
    if len(numbers) != 6 or not all(type(number) is int for number in numbers):
        return None
    if not isinstance(sha, str) or not _SHA.fullmatch(sha):
        return None
    device, inode, size, modified, changed, crc = numbers
    return (device, inode, size, modified, changed), (sha, crc)
