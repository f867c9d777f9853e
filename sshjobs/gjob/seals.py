"""Seals: how a runner sees at a glance that an input of the run is as it came, however many jobs use it.

Each input has a time of last change that its digest gives, long past. Writing to it moves that to now. Then,
and only then, its content is read and compared; it may have been somebody's ``touch``.
"""

import errno

from . import files, system

MYPY = False
if MYPY:
    from typing import Any

_PIECE = 1 << 20


def seal(sha: str) -> float:
    """Return the time of last change of an input: a whole second, which every file system can keep."""
    return 1e8 + 2 * int(sha[:7], 16)


def put(fd: int, sha: str) -> None:
    """Seal an open file that holds what its name says."""
    system.utime(fd, (system.time(), seal(sha)))


def open_whole(path: str, sha: str) -> int:
    """Open an input for reading that is as it came.

    :raises FileNotFoundError: it is not there, or is another by now; then it is removed, and can be sent again
    :raises OSError: it cannot be read
    """
    fd = files.open_regular(path)
    try:
        if system.fstat(fd).st_mtime != seal(sha):
            _compare(fd, path, sha)
    except OSError:
        files.close_quietly(fd)
        raise
    return fd


def _compare(fd: int, path: str, sha: str) -> None:
    digest, offset = new_digest(), 0
    while True:
        data = system.pread(fd, _PIECE, offset)
        if not data:
            break
        digest.update(data)
        offset += len(data)
    if digest.hexdigest() != sha:
        system.unlink(path)
        raise FileNotFoundError(errno.ENOENT, "somebody has changed it on this host")
    try:
        put(fd, sha)
    except OSError:  # it is compared again, then
        pass


def new_digest() -> "Any":
    """Return a sha256 that takes large files, by OpenSSL where Python has it."""
    import hashlib

    return hashlib.sha256()
