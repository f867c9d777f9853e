"""Where output lands on this machine: files that grow while the job runs, written at exact offsets."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from sshjobs.errors import LocalError
from sshjobs.network import failpoints
from sshjobs.network.session.arrivals import FETCHED, FILES, PART, Arrivals, ArrivingFiles
from sshjobs.network.trouble import NearlyFull

#: At most so many files are kept open, over all hosts: those that were written to last.
MAX_OPEN = 256
_TOO_MANY = (errno.EMFILE, errno.ENFILE)

#: Large output leaves so many bytes of the disk free, or this share of a small disk. A stream is large when it has more
#: than so many bytes.
RESERVE, RESERVED_SHARE, SMALL = 1 << 30, 20, 1 << 20
#: Bytes that may be written between two looks at the free room.
LOOK_EVERY = 1 << 26

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutputFiles:
    """Writes ranges of streams into files. Belongs to the thread of the network's loop, unless a method says otherwise.

    It makes directories of jobs, but not their parent: if that is missing, the run's directory was moved or removed.

    :ivar arrivals: where other files of jobs arrive
    """

    def __init__(self) -> None:
        self.arrivals: Arrivals = ArrivingFiles(self)
        self._open: OrderedDict[tuple[str, int], int] = OrderedDict()
        self._held: _Held | None = None
        #: Bytes that may be written before the next look at how much room the disk has.
        self._room = 0

    def hold(self, jobs: Path) -> None:
        """Hold the parent of all jobs' directories open. From then on nothing is written elsewhere, whatever somebody
        puts in its place, or in the place of a directory in it.

        :raises LocalError: it is not there
        """
        try:
            self._held = _Held(str(jobs))
        except OSError as error:
            raise LocalError.of(error, "the run's directory cannot be used", where=str(jobs)) from error

    def create(self, directory: str | Path) -> None:
        """Make the directory of a job and its two files, so that they are there even when they stay empty.

        :raises OSError: the disk is full, or somebody put something else in their place
        """
        # Plain calls and strings: this is done for every job, and Path would take as long as the disk.
        inside = self._made(str(directory))
        try:
            for name in ("stdout", "stderr"):
                os.close(self.opened(name, inside))
        finally:
            os.close(inside)

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        """Write ``data`` at ``offset`` of the file at ``path``, all of it.

        :raises NearlyFull: nothing was written, so that this disk keeps some room
        :raises OSError: it could not be written; writing it again later is harmless
        """
        key = (uid, stream)
        descriptor = self._open.get(key)
        if descriptor is None:
            descriptor = self._within(str(path))
            self._open[key] = descriptor
            if len(self._open) > MAX_OPEN:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(key)
        self.see_room(descriptor, offset, len(data))
        done = 0
        while done < len(data):
            done += os.pwrite(descriptor, data[done:] if done else data, offset + done)
        failpoints.reach("output")

    def see_room(self, descriptor: int, offset: int, size: int) -> None:
        """Make sure that large output leaves room on the disk for small files, the store and other programs.

        :param offset: where in its file the next bytes are to be written, ``size`` how many
        :raises NearlyFull: it would not
        """
        if offset < SMALL:
            return
        self._room -= size
        if self._room >= 0:
            return
        disk = os.fstatvfs(descriptor)
        spare = disk.f_bavail * disk.f_frsize - min(RESERVE, disk.f_blocks * disk.f_frsize // RESERVED_SHARE)
        # Some file systems do not tell their size.
        if disk.f_blocks and spare < size:
            self._room = 0
            raise NearlyFull
        self._room = LOOK_EVERY if not disk.f_blocks else min(LOOK_EVERY, spare // 2)

    def directory(self, path: str) -> int:
        """Open a directory below the held one, without following links."""
        held = self._held
        return held.open(path) if held is not None and held.holds(path) else os.open(path, _DIRECTORY)

    def _made(self, path: str) -> int:
        """Make a directory where it is missing, and open it."""
        parent, _, name = path.rpartition("/")
        above = self.directory(parent)
        try:
            try:
                os.mkdir(name, 0o700, dir_fd=above)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                    raise
            return os.open(name, _DIRECTORY, dir_fd=above)
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(above)

    def _within(self, path: str) -> int:
        """Open a file in the directory of a job."""
        parent, _, name = path.rpartition("/")
        inside = self.directory(parent)
        try:
            return self.opened(name, inside)
        except OSError as error:
            error.filename = path
            raise
        finally:
            os.close(inside)

    def opened(self, name: str | bytes, inside: int, flags: int = _FLAGS) -> int:
        """Open a file. If this process has too many open files, close others of ours first."""
        while True:
            try:
                return os.open(name, flags, 0o600, dir_fd=inside)
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
        # An attempt that was never launched has no directory; its parent exists as long as the run does.
        with contextlib.ExitStack() as stack:
            source = self._made(str(directory))
            stack.callback(os.close, source)
            target = self._made(str(aside))
            stack.callback(os.close, target)
            for name in (PART, FETCHED, FILES):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            for name in ("stderr", "stdout"):
                try:
                    os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
                except FileNotFoundError:
                    os.close(os.open(name, _FLAGS, 0o600, dir_fd=target))

    def is_aside(self, aside: Path) -> bool:
        """See :class:`sshjobs.network.session.records.Files`. From any thread."""
        return (aside / "stdout").exists()

    def sync(self, top: Path, places: Iterable[tuple[Path, Path]] | None = None) -> None:
        """Return once everything below a directory is on the disk, or the given attempts (see :func:`sync_attempts`).
        Blocks. From any thread.

        :raises OSError: the disk refused
        """
        if places is None:
            sync_tree(top)
        else:
            sync_attempts(top, places)

    def close(self) -> None:
        """Close every file."""
        self.arrivals.close()
        while self._open:
            os.close(self._open.popitem()[1])
        if self._held is not None:
            self._held.close()
            self._held = None


class _Held:
    """The parent of all jobs' directories, held open."""

    def __init__(self, path: str):
        self._path = path
        self._fd = os.open(path, _DIRECTORY)
        found = os.fstat(self._fd)
        self._identity = found.st_dev, found.st_ino

    def holds(self, path: str) -> bool:
        """Return whether a path is its own or below it."""
        return path == self._path or path.startswith(self._path + "/")

    def open(self, path: str) -> int:
        """Open it, or a directory below it.

        :raises FileNotFoundError: it is gone, or another directory has its name now
        """
        found = os.stat(self._path)
        if (found.st_dev, found.st_ino) != self._identity:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._path)
        if path == self._path:
            return os.dup(self._fd)
        at = self._fd
        try:
            for name in path[len(self._path) + 1:].split("/"):
                below = os.open(name, _DIRECTORY, dir_fd=at)
                if at != self._fd:
                    os.close(at)
                at = below
        except OSError as error:
            if at != self._fd:
                os.close(at)
            error.filename = path
            raise
        return at

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)


def sync_attempts(top: Path, places: Iterable[tuple[Path, Path]]) -> None:
    """Return once the outputs of some attempts are on the disk. Blocks.

    Unlike :func:`sync_tree` it does not wait for what other programs have written to the same file system.

    :param top: a directory above all of them
    :param places: of each attempt its directory, and the one to which its output is moved when the next attempt starts
    :raises OSError: the disk refused, or the output is being moved just now
    """
    with contextlib.ExitStack() as stack:
        names = {top}
        opened = []
        for directory, aside in places:
            opened += [_opened(stack, directory / name) for name in ("stdout", "stderr")]
            names.update(path for path in (directory, *directory.parents) if top in path.parents)
            # Checked last: if that exists now, the files opened above may be the next attempt's.
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
