"""Seals: how a runner sees at a glance that an input file was not changed since it came, however many jobs use it.

An input's time of last change is set to a value in the past that is made from its digest. Writing to the file changes
that time. Only then is the content read and compared: it may have been a mere ``touch``.
"""

import errno

from . import files, system
from .light import new_sha256

_PIECE = 1 << 20


def seal(sha: str) -> float:
    """Return the time of last change of an input: a whole second, which every file system can keep."""
    return 1e8 + 2 * int(sha[:7], 16)


def put(fd: int, sha: str) -> None:
    """Seal an open file whose content has this digest."""
    system.utime(fd, (system.time(), seal(sha)))


def open_whole(path: str, sha: str) -> int:
    """Open an input for reading, if nobody has changed it.

    :raises FileNotFoundError: it is not there, or was changed; then it is deleted, and can be sent again
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
    digest, offset = new_sha256(), 0
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
    except OSError:  # without its seal it is compared again the next time
        pass

