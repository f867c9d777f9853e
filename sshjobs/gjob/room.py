"""What keeps a host from starting jobs for a while, whichever: a full disk, a full table of processes."""

import errno

from . import system

#: Errors that pass when somebody makes room.
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO,
           errno.EINTR, errno.ESTALE, errno.ENOBUFS)
#: Exit status of a runner that finds no room for itself.
SHORT = 75
_MIB = 1 << 20


def passes(error: OSError) -> bool:
    """True when the same may well succeed later."""
    return error.errno in PASSING


def words(error: OSError, directory: str) -> str:
    """Say what there is no room for.

    :param directory: ours on this host
    """
    if error.errno == errno.ENOSPC:
        return _no_room(directory)
    if error.errno == errno.EDQUOT:
        return "no room in %s: the quota there is used up" % directory
    if error.errno == errno.EROFS:
        return "%s is read-only" % directory
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "no further file can be opened there: %s" % error.strerror
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return "no further process can be made there: %s" % error.strerror
    return "%s: %s" % (directory, error.strerror)


def _no_room(directory: str) -> str:
    try:
        found = system.statvfs(directory)
    except OSError:
        return "no room in %s" % directory
    if found.f_files and not found.f_favail:
        return "no room in %s (0 of %d files free)" % (directory, found.f_files)
    return "no room in %s (%d of %d MiB free)" % (
        directory, found.f_bavail * found.f_frsize // _MIB, found.f_blocks * found.f_frsize // _MIB)
