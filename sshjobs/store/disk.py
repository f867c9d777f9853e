"""What kind of file system a path is on: WAL needs shared memory, which network file systems lack."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from sshjobs.errors import StoreError

#: Magic numbers (from statfs(2) and headers) of file systems that other machines may write to.
NETWORK_FILE_SYSTEMS = {
    0x6969: "nfs", 0x517B: "smb", 0xFF534D42: "cifs", 0xFE534D42: "smb2", 0x65735546: "fuse",
    0x0BD00BD0: "lustre", 0x47504653: "gpfs", 0x19830326: "beegfs", 0x00C36400: "ceph", 0x5346414F: "afs",
    0x01021997: "9p", 0xAAD7AAEA: "panfs", 0x786F4256: "vboxsf", 0x7461636F: "ocfs2", 0x01161970: "gfs2",
}


class _Statfs(ctypes.Structure):
    # f_type is the first field on every Linux; the rest is room for the other fields.
    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_char * 248))


def network_file_system(path: Path) -> str | None:
    """Return the name of the network file system that a path is on; ``None`` for a local one.

    Only Linux can tell; elsewhere the answer is ``None``.

    :raises StoreError: the path cannot be examined
    """
    if not sys.platform.startswith("linux"):
        return None
    buffer = _Statfs()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.statfs(os.fsencode(path), ctypes.byref(buffer)) != 0:
        raise StoreError("the file system cannot be examined", where=str(path),
                         why=os.strerror(ctypes.get_errno()))
    return NETWORK_FILE_SYSTEMS.get(buffer.f_type & 0xFFFFFFFF)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable.

    :raises OSError: it could not be done
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
