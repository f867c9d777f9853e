"""Where files of jobs arrive on this machine: aside until all of an attempt are there, then put in place as a whole.

Files arrive in ``files.part`` in the directory of a job; when all are there it becomes ``files``. No link is followed
below the run's directory, and no file with a second hard link is ever written to.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from sshjobs.network import failpoints

#: Names in the directory of a job: the files that were brought of it, those on their way, those before them, and those
#: on their way that a person fetches.
FILES, PART, OLD, FETCHED = "files", "files.part", "files.old", "files.fetch"
#: Characters of a path, so that other programs can still open it.
_LONGEST = 3500
#: Bytes that are read at a time for a digest.
_PIECE = 1 << 20
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
#: Errors that are the fault of a name, not of this machine.
_NAMES_FAULT = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL, errno.ELOOP)


class UnplaceableError(Exception):
    """No file can be called so here, or something else stands in its place. The message says why."""


class Arrivals(Protocol):
    """The contract of a place where files arrive. A call that raised :class:`OSError` may be repeated.

    :raises UnplaceableError: each method does, for a path that cannot be here
    """

    def prepare(self, directory: str) -> bool:
        """Prepare for the files of the attempt that a directory belongs to; return whether some may be there from an
        earlier time. May be called again."""

    def have(self, directory: str, path: str, size: int, link: bool) -> tuple[int, Any]:
        """Return how many bytes of a file are here, and their digest so far. Reads them; from any thread.

        :param size: of the whole file
        :param link: if it is in its place already, link it among the arriving ones
        """

    def is_here(self, directory: str, path: str, size: int) -> bool:
        """Tell whether a file is in its place with its size. From any thread."""

    def keep(self, directory: str, path: str, size: int) -> bool:
        """Link a file that is in its place among the arriving ones; return whether it is there with its size. From any
        thread."""

    def write(self, directory: str, path: str, offset: int, data: bytes, anew: bool) -> None:
        """Write a piece of a file.

        :param anew: replace what has arrived of it before
        """

    def finish(self, directory: str, path: str, size: int, program: bool, anew: bool) -> None:
        """Note that a file is complete; set its size and whether it is executable."""

    def publish(self, directory: str, any_files: bool, came: Callable[[str], bool] | None = None) -> None:
        """Put everything that came in its place, as a whole.

        :param any_files: there is at least one file
        :param came: returns whether a file came; others that have arrived are dropped. ``None``: there are no others
        """

    def close(self) -> None:
        """Close what is open."""


class Directories(Protocol):
    """Opens files below the run's directory, which is held open."""

    def directory(self, path: str) -> int:
        """Open a directory below it, without following links."""

    def opened(self, name: str | bytes, inside: int, flags: int) -> int:
        """Open a file in an open directory."""

    def see_room(self, descriptor: int, offset: int, size: int) -> None:
        """Make sure that a large file leaves room on the disk."""


class ArrivingFiles:
    """Files on this machine's disk. All but :meth:`have` belong to the thread of the network's loop.

    :param outputs: knows the run's directory
    :cvar files: the name in the directory of a job where they are put; ``part``: where they are until then
    """

    files, part = FILES, PART

    def __init__(self, outputs: Directories):
        self._outputs = outputs
        #: The file that was written to last, and its directory.
        self._last: tuple[str, str] | None = None
        self._fd = -1

    def prepare(self, directory: str) -> bool:
        """See :class:`Arrivals`."""
        self._close()
        with self._opened(directory) as top:
            names = os.listdir(top)
            if OLD in names:
                # A manager died between two steps of publishing.
                if self.files not in names:
                    os.rename(OLD, self.files, src_dir_fd=top, dst_dir_fd=top)
                else:
                    remove(f"{directory}/{OLD}")
            return not made(self.part, top)

    def is_here(self, directory: str, path: str, size: int) -> bool:
        """See :class:`Arrivals`."""
        try:
            with self._inside(directory, self.files, path, make=False) as (parent, name):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def have(self, directory: str, path: str, size: int, link: bool) -> tuple[int, Any]:
        """See :class:`Arrivals`."""
        for where in (self.part, self.files) if link else (self.files,):
            try:
                with self._inside(directory, where, path, make=False) as (parent, name):
                    descriptor = os.open(name, _READ, dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.ENOENT, *_NAMES_FAULT):
                    continue
                raise
            with contextlib.ExitStack() as stack:
                stack.callback(os.close, descriptor)
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode) or found.st_size > size or (
                        found.st_size < size and (where == self.files or found.st_nlink > 1)):
                    continue
                digest = hashlib.sha256()
                while data := os.read(descriptor, _PIECE):
                    digest.update(data)
                if link and found.st_size and where == self.files:
                    self._link(directory, path)
                return found.st_size, digest
        return 0, hashlib.sha256()

    def keep(self, directory: str, path: str, size: int) -> bool:
        """See :class:`Arrivals`."""
        try:
            with self._inside(directory, self.files, path, make=False) as (parent, name):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                return False
            self._link(directory, path)
            with self._inside(directory, self.part, path, make=False) as (parent, name):
                there = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)

    def _link(self, directory: str, path: str) -> None:
        """Link a file that was fetched before among the arriving ones: it may not have changed."""
        with self._inside(directory, self.files, path, make=False) as (source, name), \
                self._inside(directory, self.part, path, make=True) as (target, _), \
                contextlib.suppress(FileExistsError):
            os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def write(self, directory: str, path: str, offset: int, data: bytes, anew: bool) -> None:
        """See :class:`Arrivals`."""
        if self._last != (directory, path) or anew:
            self._open(directory, path, anew=anew)
        self._outputs.see_room(self._fd, offset, len(data))
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:] if done else data, offset + done)
        failpoints.reach("file")

    def finish(self, directory: str, path: str, size: int, program: bool, anew: bool) -> None:
        """See :class:`Arrivals`."""
        if self._last != (directory, path) or anew:
            self._open(directory, path, anew=anew)
        found, mode = os.fstat(self._fd), 0o700 if program else 0o600
        if found.st_size != size:
            os.ftruncate(self._fd, size)
        if stat.S_IMODE(found.st_mode) != mode:
            os.fchmod(self._fd, mode)
        self._close()

    def publish(self, directory: str, any_files: bool, came: Callable[[str], bool] | None = None) -> None:
        """See :class:`Arrivals`."""
        self._close()
        if any_files:
            self._drop_rest(directory, came)
        with self._opened(directory) as top:
            if not any_files:
                remove(f"{directory}/{self.part}")
                return
            try:
                os.rename(self.files, OLD, src_dir_fd=top, dst_dir_fd=top)
            except FileNotFoundError:
                pass
            os.rename(self.part, self.files, src_dir_fd=top, dst_dir_fd=top)
            failpoints.reach("files_here")
            remove(f"{directory}/{OLD}")

    def _drop_rest(self, directory: str, came: Callable[[str], bool] | None) -> None:
        """Remove what has arrived and is not wanted: parts of files that are not on the host any more."""
        if came is None:
            return
        for path in files_in(f"{directory}/{self.part}"):
            if not came(path):
                with self._inside(directory, self.part, path, make=False) as (parent, name):
                    os.unlink(name, dir_fd=parent)

    def _open(self, directory: str, path: str, *, anew: bool) -> None:
        self._close()
        try:
            with self._inside(directory, self.part, path, make=True) as (parent, name):
                if anew:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=parent)
                try:
                    self._fd = self._outputs.opened(name, parent, _WRITE | (os.O_CREAT | os.O_EXCL if anew else 0))
                except FileNotFoundError:
                    self._fd = self._outputs.opened(name, parent, _WRITE | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            if error.errno in _NAMES_FAULT:
                raise UnplaceableError(error.strerror) from error
            error.filename = f"{directory}/{self.part}"
            raise
        self._last = directory, path

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._last = -1, None

    def close(self) -> None:
        """Close what is open."""
        self._close()

    @contextlib.contextmanager
    def _opened(self, directory: str) -> Iterator[int]:
        descriptor = self._outputs.directory(directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _inside(self, directory: str, where: str, path: str, *, make: bool) -> Iterator[tuple[int, bytes]]:
        """Open the directory that a file is in, name by name; yield it with the file's name."""
        *above, name = path.encode("utf-8", "surrogateescape").split(b"/")
        if len(directory) + len(path) > _LONGEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        at = self._outputs.directory(directory)
        try:
            for below in (where.encode(), *above):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(below, 0o700, dir_fd=at)
                inner = os.open(below, _ENTER, dir_fd=at)
                os.close(at)
                at = inner
            yield at, name
        finally:
            os.close(at)


def made(name: str, inside: int) -> bool:
    """Make a directory in an open one if it is missing; return whether it was."""
    try:
        os.mkdir(name, 0o700, dir_fd=inside)
    except FileExistsError:
        return False
    return True


def files_in(top: str) -> Iterator[str]:
    """Yield the paths of the files below a directory, in the form of frames; nothing if it is missing. Follows no
    link."""
    above = len(os.fsencode(top)) + 1
    for root, _, names in os.walk(os.fsencode(top)):
        for name in names:
            yield os.path.join(root[above:], name).decode("utf-8", "surrogateescape")


def remove(path: str) -> None:
    """Remove a directory of ours with all that is in it, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
