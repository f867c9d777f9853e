"""Finds the files that patterns name below the directory that a job runs in.

No link is followed: each name on the way is looked up in an open directory.
"""

import errno
import os
import stat

from .. import files, system
from ..light import dumps
from ..values import to_bytes

MYPY = False
if MYPY:
    from ..patterns import Patterns, State

#: At most so many files on a page, and so many bytes of their paths, so that the frame is short enough for the manager.
PAGE, PAGE_BYTES = 500, 40000
#: So many names are looked at in one step.
LOOKED = 1000
#: Reasons for which something that a pattern names is not fetched.
LINK, NOT_A_FILE, UNREADABLE, CHANGED, GONE = "link", "not-a-file", "unreadable", "changed", "gone"

_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FOLLOW = os.O_RDONLY | os.O_DIRECTORY
#: Bytes that a number takes in a frame, and those around a text.
_AROUND = 50


class ReplacedError(OSError):
    """Something else stands where a directory or a file was."""


def why(error: OSError) -> str:
    """Return the reason for which a file cannot be fetched, by the error."""
    if isinstance(error, ReplacedError) or error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
        return CHANGED
    return GONE if error.errno == errno.ENOENT else UNREADABLE


def travelling(names: "list[str]") -> str:
    """Return a path in the form that frames have, from names as the system gives them."""
    return "/".join(os.fsencode(name).decode("utf-8", "surrogateescape") for name in names)


class Top:
    """The directory that a job runs in.

    :param home: the attempt's own directory
    :param cwd: the job's ``cwd``. In a path below the attempt's own directory no link is followed; in another one,
        which the user has named, links are allowed
    """

    def __init__(self, home: str, cwd: "str | None"):
        path = to_bytes(cwd or "")
        if path == b"~" or path.startswith(b"~/"):
            path = system.environ().get(b"HOME", b"/") + path[1:]
        names = [name for name in path.split(b"/") if name not in (b"", b".")]
        self._base, self._names, self._flags = os.fsencode(home), names, _ENTER
        if path.startswith(b"/") or b".." in names:
            self._base, self._names, self._flags = os.path.join(self._base, path), [], _FOLLOW
        self._identity: "tuple[int, int] | None" = None

    def open(self, names: "list[str]") -> int:
        """Open a directory below it.

        :raises OSError: it is not there
        """
        fd = system.open(self._base, self._flags)
        for name in self._names:
            fd = _enter(fd, name)
        found = identity(fd)
        if self._identity is None:
            self._identity = found
        elif self._identity != found:
            files.close_quietly(fd)
            raise ReplacedError("the directory")
        for below in names:
            fd = _enter(fd, below)
        return fd

    def path(self, names: "list[str]") -> "bytes | None":
        """Return the path of a file below it (it may lead elsewhere by now); None where the directory is not the
        attempt's own: others may need what is there."""
        if self._flags == _FOLLOW:
            return None
        return b"/".join([self._base] + self._names + [os.fsencode(name) for name in names])


def _enter(above: int, name: "str | bytes") -> int:
    """Open a directory in an open one, which is closed."""
    try:
        return system.open(name, _ENTER, dir_fd=above)
    finally:
        files.close_quietly(above)


def identity(fd: int) -> "tuple[int, int]":
    """Return device and inode of an open file."""
    found = system.fstat(fd)
    return found.st_dev, found.st_ino


class _Level:
    """A directory on the way down: its identity, the names that are still to be looked at, and the patterns' state."""

    __slots__ = ("identity", "state", "todo")

    def __init__(self, fd: int, state: "State"):
        self.identity, self.state = identity(fd), state
        self.todo = sorted(system.listdir(fd), key=os.fsencode, reverse=True)


class Walk:
    """Finds files page by page, in the order of the bytes of their names, level by level.

    :param after: begin after this path
    :ivar found: the files of a page: the names on the way, and the result of ``stat``
    :ivar odd: paths that patterns name and that cannot be fetched, with the reason
    """

    def __init__(self, top: Top, patterns: "Patterns", after: str):
        self._top, self._patterns = top, patterns
        self._after = [to_bytes(name) for name in after.split("/")] if after else []
        #: The names on the way to the directory that is looked at; its descriptor.
        self._names: "list[str]" = []
        self._levels: "list[_Level]" = []
        self._fd = -1
        self._begun = False
        self.found: "list[tuple[list[str], os.stat_result]]" = []
        self.odd: "list[tuple[str, str]]" = []
        self._size = 0

    @property
    def is_over(self) -> bool:
        """True when all was looked at."""
        return self._begun and not self._levels

    @property
    def has_page(self) -> bool:
        """True when a page is full, or is the last."""
        return self.is_over or len(self.found) + len(self.odd) >= PAGE or self._size >= PAGE_BYTES

    def turn(self) -> None:
        """Begin another page."""
        self.found, self.odd, self._size = [], [], 0

    def look(self) -> None:
        """Look at some names."""
        try:
            if not self._begun:
                self._begun = True
                self._descend(self._patterns.start)
            for _ in range(LOOKED):
                if self.has_page:
                    return
                level = self._levels[-1]
                if level.todo:
                    self._look_at(level)
                    continue
                self._leave()
                self._levels.pop()
                if self._levels:
                    self._names.pop()
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._fd >= 0:
            files.close_quietly(self._fd)
            self._fd = -1

    def _descend(self, state: "State") -> None:
        """Look into the directory that the names lead to."""
        self._leave()
        try:
            self._fd = self._top.open(self._names)
            level = _Level(self._fd, state)
        except OSError as error:
            self._leave()
            self._refuse(self._names, why(error))
            if self._levels:
                self._names.pop()
            return
        depth = len(self._levels)
        if len(self._after) > depth and [os.fsencode(name) for name in self._names] == self._after[:depth]:
            # A directory on the way to ``after`` is entered again; the file itself is done.
            first, is_file = self._after[depth], len(self._after) == depth + 1
            level.todo = [name for name in level.todo
                          if os.fsencode(name) > first or (os.fsencode(name) == first and not is_file)]
        self._levels.append(level)

    def _look_at(self, level: _Level) -> None:
        name = level.todo.pop()
        state = self._patterns.enter(level.state, travelling([name]))
        if not state:
            return
        path = self._names + [name]
        try:
            if self._fd < 0:
                self._fd = self._top.open(self._names)
                if identity(self._fd) != level.identity:
                    raise ReplacedError(name)
            found = system.stat(name, dir_fd=self._fd, follow_symlinks=False)
        except OSError as error:
            self._leave()
            self._refuse(path, why(error))
            return
        if stat.S_ISDIR(found.st_mode):
            self._names.append(name)
            self._descend(state)
        elif self._patterns.named(state, level.state):
            if stat.S_ISREG(found.st_mode):
                self.found.append((path, found))
                self._size += len(dumps([travelling(path)])) + _AROUND
            else:
                self._refuse(path, LINK if stat.S_ISLNK(found.st_mode) else NOT_A_FILE)

    def _refuse(self, names: "list[str]", reason: str) -> None:
        path = travelling(names)
        self.odd.append((path, reason))
        self._size += len(dumps([path])) + _AROUND
