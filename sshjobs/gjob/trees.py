"""Counts and deletes directory trees that a job may have made, of any depth and width, with two open directories.

Names are looked up in open directories only, so no link leads out of the tree. The way back up is ``..``, which must
lead to the directory that we came from.
"""

import os
import stat

from . import files, system

MYPY = False
if MYPY:
    from typing import Callable, Iterator

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
#: A removal yields after so many steps.
_OFTEN = 256


class _Level:
    """A directory on the way down: its identity, the names in it that are still to do, and its own name."""

    __slots__ = ("identity", "name", "todo")

    def __init__(self, name: str, fd: int):
        found = system.fstat(fd)
        self.identity = found.st_dev, found.st_ino
        self.name = name
        self.todo = system.listdir(fd)


def remove_tree(path: str) -> int:
    """Delete a directory and all in it without following a link; return how many things could not be deleted.

    Directories that a job made read-only are made writable first.
    """
    return list(removing(path))[-1]


def removing(path: str) -> "Iterator[int]":
    """Do what :func:`remove_tree` does, a piece at a time. Yield after each, and at the end, how many things could not
    be deleted so far."""
    left = 0
    try:
        for left in _Removal(path).steps():
            yield left
    except OSError as error:
        left += error.errno not in files.GONE
    yield left


class _Removal:
    """The removal of one tree."""

    def __init__(self, path: str):
        self._path = path
        self._left = 0
        self._levels: "list[_Level]" = []
        self._fd = -1

    def steps(self) -> "Iterator[int]":
        parent, name = os.path.split(self._path)
        above = system.open(parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not stat.S_ISDIR(system.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                self._remove(system.unlink, name, above)
            elif self._descend(name, above):
                done = 0
                while self._levels:
                    self._step(above)
                    done += 1
                    if not done % _OFTEN:
                        yield self._left
            yield self._left
        finally:
            if self._fd >= 0:
                files.close_quietly(self._fd)
            files.close_quietly(above)

    def _step(self, above: int) -> None:
        """Delete one thing, or go down or up."""
        level = self._levels[-1]
        if not level.todo:
            self._ascend(above)
            return
        entry = level.todo.pop()
        try:
            is_directory = stat.S_ISDIR(system.stat(entry, dir_fd=self._fd, follow_symlinks=False).st_mode)
        except OSError as error:
            self._left += error.errno not in files.GONE
            return
        if is_directory:
            self._descend(entry, self._fd)
        else:
            self._remove(system.unlink, entry, self._fd)

    def _descend(self, name: str, parent: int) -> bool:
        try:
            fd = _enter(name, parent)
        except OSError:
            self._remove(system.rmdir, name, parent)
            return False
        try:
            self._levels.append(_Level(name, fd))
        except OSError:
            files.close_quietly(fd)
            self._left += 1
            return False
        if self._fd >= 0:
            files.close_quietly(self._fd)
        self._fd = fd
        return True

    def _ascend(self, above: int) -> None:
        name = self._levels.pop().name
        fd, self._fd = self._fd, -1
        try:
            if not self._levels:
                self._remove(system.rmdir, name, above)
                return
            self._fd = system.open("..", _ENTER, dir_fd=fd)
            found = system.fstat(self._fd)
            if (found.st_dev, found.st_ino) != self._levels[-1].identity:
                raise FileNotFoundError("somebody moves directories about in it")
        finally:
            files.close_quietly(fd)
        self._remove(system.rmdir, name, self._fd)

    def _remove(self, how: "Callable[..., None]", name: str, parent: int) -> None:
        try:
            how(name, dir_fd=parent)
        except OSError as error:
            self._left += error.errno not in files.GONE


def _enter(name: str, parent: int) -> int:
    """Open a directory below an open one, and make it writable for us."""
    try:
        fd = system.open(name, _ENTER, dir_fd=parent)
    except PermissionError:
        # A directory that was replaced by a link meanwhile makes the next open fail.
        system.chmod(name, 0o700, dir_fd=parent)
        fd = system.open(name, _ENTER, dir_fd=parent)
    try:
        if system.fstat(fd).st_mode & 0o300 != 0o300:
            system.fchmod(fd, 0o700)
    except OSError:
        files.close_quietly(fd)
        raise
    return fd


def count_files(path: str) -> int:
    """Return how many things that are no directories are in a tree. What cannot be read is left out."""
    try:
        fd = system.open(path, _ENTER)
        levels = [_Level("", fd)]
    except OSError:
        return 0
    count = 0
    try:
        while True:
            level = levels[-1]
            if level.todo:
                entry = level.todo.pop()
                try:
                    below = system.open(entry, _ENTER, dir_fd=fd)
                except OSError:
                    count += _is_file(entry, fd)
                    continue
                levels.append(_Level("", below))
                files.close_quietly(fd)
                fd = below
                continue
            levels.pop()
            if not levels:
                return count
            above = system.open("..", _ENTER, dir_fd=fd)
            files.close_quietly(fd)
            fd = above
            found = system.fstat(fd)
            if (found.st_dev, found.st_ino) != levels[-1].identity:
                return count
    except OSError:
        return count
    finally:
        files.close_quietly(fd)


def _is_file(name: str, parent: int) -> bool:
    try:
        return not stat.S_ISDIR(system.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False
