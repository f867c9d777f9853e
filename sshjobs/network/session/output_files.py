"""Where output lands on this machine: files that grow while the job runs, written at exact offsets."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from sshjobs.network import failpoints

#: Open files kept, over all hosts: two for each of the attempts that last had news.
MAX_OPEN = 256
_TOO_MANY = (errno.EMFILE, errno.ENFILE)

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputFiles:
    """Writes ranges of streams into files. Belongs to the thread of the network's loop, where nothing else is said.

    It makes no directory that a job's is in: where that vanished, the run's directory was moved or removed.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, int], int] = OrderedDict()

    def create(self, directory: str | Path) -> None:
        """Make the directory of a job and its two files, so that they are there even when they stay empty.

        :raises OSError: the disk is full, or somebody put something else in their place
        """
        # Plain calls and strings: this is done for every job, and Path would take as long as the disk.
        path = str(directory)
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        for name in ("/stdout", "/stderr"):
            os.close(self._opened(path + name))

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset`` of the file at ``path``, all of it.

        :raises OSError: it could not be written; writing it again later is harmless
        """
        key = (uid, stream)
        descriptor = self._open.get(key)
        if descriptor is None:
            descriptor = self._opened(path)
            self._open[key] = descriptor
            if len(self._open) > MAX_OPEN:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(key)
        done = 0
        while done < len(data):
            done += os.pwrite(descriptor, data[done:] if done else data, offset + done)
        failpoints.reach("output")

    def _opened(self, path: str | Path) -> int:
        """Open a file; where this process may have no more, others of ours are closed for it."""
        while True:
            try:
                return os.open(path, _FLAGS, 0o600)
            except OSError as error:
                if error.errno not in _TOO_MANY or not self._open:
                    raise
                os.close(self._open.popitem(last=False)[1])

    def forget(self, uid: str) -> None:
        """Close the files of an attempt."""
        for stream in (1, 2):
            descriptor = self._open.pop((uid, stream), None)
            if descriptor is not None:
                os.close(descriptor)

    def size(self, path: Path) -> int:
        """Return how long a file is; 0 where there is none. From any thread."""
        return path.stat().st_size if path.exists() else 0

    def put_aside(self, directory: Path, aside: Path) -> None:
        """See :class:`sshjobs.network.session.records.Files`. From any thread.

        :raises OSError: the disk refused
        """
        # One that was never launched has no directory; what that would be in is there as long as the run is.
        directory.mkdir(mode=0o700, exist_ok=True)
        aside.mkdir(mode=0o700, exist_ok=True)
        for name in ("stderr", "stdout"):
            try:
                os.rename(directory / name, aside / name)
            except FileNotFoundError:
                os.close(os.open(aside / name, _FLAGS, 0o600))

    def is_aside(self, aside: Path) -> bool:
        """See :class:`sshjobs.network.session.records.Files`. From any thread."""
        return (aside / "stdout").exists()

    def sync(self, top: Path, places: Iterable[tuple[Path, Path]] | None = None) -> None:
        """Return once everything below a directory is on the disk; or some attempts, see :func:`sync_attempts`. Blocks.
        From any thread.

        :raises OSError: the disk refused
        """
        if places is None:
            sync_tree(top)
        else:
            sync_attempts(top, places)

    def close(self) -> None:
        """Close every file."""
        while self._open:
            os.close(self._open.popitem()[1])


def sync_attempts(top: Path, places: Iterable[tuple[Path, Path]]) -> None:
    """Return once the outputs of some attempts are on the disk. Blocks.

    Unlike :func:`sync_tree` it does not wait for what others have written to the same file system.

    :param top: everything is somewhere below it
    :param places: directory of each attempt, and the one that its output is put aside into when another is to start
    :raises OSError: the disk refused, or the output is on its way from the one to the other
    """
    with contextlib.ExitStack() as stack:
        names = {top}
        opened = []
        for directory, aside in places:
            opened += [_opened(stack, directory / name) for name in ("stdout", "stderr")]
            names.update(path for path in (directory, *directory.parents) if top in path.parents)
            # Looked at last: where it is, what was opened may be the next attempt's.
            if (aside / "stdout").exists():
                opened += [_opened(stack, aside / name) for name in ("stdout", "stderr")]
                names.add(aside)
        for descriptor in (*opened, *(_opened(stack, path) for path in names)):
            os.fsync(descriptor)


def _opened(stack: contextlib.ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def sync_tree(directory: Path) -> None:
    """Return once everything written below ``directory`` is on the disk. Blocks; for a thread of its own.

    :raises OSError: the disk refused
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.syncfs(descriptor) != 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(directory))
        else:
            os.sync()
    finally:
        os.close(descriptor)
