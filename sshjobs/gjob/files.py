"""Reading and writing files safely: regular ones only, and whole."""

import errno
import os
import stat

from . import system

MYPY = False
if MYPY:
    from typing import AnyStr

#: Errors that prove that something is not there. Any other only says that we cannot see it.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESRCH)


def close_quietly(fd: int) -> None:
    """Close a descriptor for reading. It is gone even if the kernel reports an error."""
    try:
        system.close(fd)
    except OSError:
        pass


def unlink_quietly(path: str) -> None:
    """Delete a file if that is possible."""
    try:
        system.unlink(path)
    except OSError:
        pass


def contents(path: str, follow: bool = False) -> bytes:
    """Return what is in a regular file, or in one of /proc or /sys.

    :raises OSError: it cannot be read, or is not regular (opening a pipe could wait for ever)
    """
    fd = open_regular(path, follow)
    try:
        return read_all(fd)
    finally:
        close_quietly(fd)


def read_all(fd: int) -> bytes:
    """Return all that follows in an open file."""
    parts: "list[bytes]" = []
    while not parts or parts[-1]:
        parts.append(system.read(fd, 1 << 16))
    return b"".join(parts)


def open_regular(path: str, follow: bool = False) -> int:
    """Open a file for reading that must be regular. Never waits.

    :param follow: a link at the end of the path is fine
    :raises FileNotFoundError: it is not there; something else in its place is the same
    """
    try:
        fd = system.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENOTDIR):
            raise FileNotFoundError(errno.ENOENT, "something else is in its place", path)
        raise
    try:
        if not stat.S_ISREG(system.fstat(fd).st_mode):
            raise FileNotFoundError(errno.ENOENT, "something else is in its place", path)
    except OSError:
        close_quietly(fd)
        raise
    return fd


def exists(path: str) -> bool:
    """True when something is there, a link that leads nowhere included.

    :raises OSError: that cannot be seen
    """
    try:
        system.stat(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in GONE:
            return False
        raise
    return True


DIRECTORY, FILE, LINK, OTHER = "directory", "file", "link", "something else"


def kind(path: "AnyStr", follow: bool = True) -> "str | None":
    """Return what is under a path, for words; None where nothing can be seen there."""
    try:
        mode = system.stat(path, follow_symlinks=follow).st_mode
    except OSError:
        return None
    return DIRECTORY if stat.S_ISDIR(mode) else FILE if stat.S_ISREG(mode) else LINK if stat.S_ISLNK(mode) else OTHER


def write_all(fd: int, data: bytes) -> None:
    """Write everything."""
    while data:
        data = data[system.write(fd, data):]


def close_all_but(keep: "list[int]") -> None:
    """Close every file descriptor above 2 that is not to be kept."""
    try:
        fds = [int(name) for name in system.listdir("/proc/self/fd")]
    except OSError:  # no descriptor is left for reading the directory
        fds = list(range(system.open_limit()))
    for fd in fds:
        if fd > 2 and fd not in keep:
            close_quietly(fd)  # the one that listed the directory is closed already
