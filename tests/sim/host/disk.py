"""The disk of one host: a tree of files of which a loss of power takes what was written lately."""

from __future__ import annotations

import errno
import itertools
import os
import random
import stat
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.sim.host.streams import Listener

#: Seconds after which the kernel has written everything out by itself.
WRITTEN_AFTER = 35.0
#: How long a name may be.
_LONGEST = 255


def error(number: int, path: str = "") -> OSError:
    """Return what a call that failed raises."""
    return OSError(number, os.strerror(number), path)


class Info(NamedTuple):
    """What ``stat`` tells."""

    st_mode: int
    st_ino: int
    st_dev: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_size: int
    st_atime: float
    st_mtime: float
    st_ctime: float

    @property
    def st_mtime_ns(self) -> int:
        """The time of the last change, in nanoseconds."""
        return int(self.st_mtime * 1e9)

    @property
    def st_blocks(self) -> int:
        """What it takes on the disk, in pieces of 512 bytes."""
        return -(-self.st_size // 512)


class Node:
    """What a name stands for."""

    kind = 0

    def __init__(self, ino: int, mode: int, uid: int, now: float):
        self.ino, self.mode, self.uid, self.links, self.mtime = ino, mode, uid, 1, now

    @property
    def size(self) -> int:
        """Bytes in it."""
        return 0

    def info(self) -> Info:
        """Return what ``stat`` tells of it."""
        return Info(self.kind | self.mode, self.ino, 1, self.links, self.uid, self.uid, self.size,
                    self.mtime, self.mtime, self.mtime)


class File(Node):
    """A regular file. What changes it is kept until it is on the disk, so that it can be undone."""

    kind = stat.S_IFREG

    def __init__(self, ino: int, mode: int, uid: int, now: float):
        super().__init__(ino, mode, uid, now)
        self.data = bytearray()
        self._undo: list[tuple[float, int, int, bytes]] = []

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, offset: int, data: bytes, now: float) -> None:
        """Put bytes at an offset."""
        if len(self._undo) > 64 and self._undo[32][0] < now - WRITTEN_AFTER:
            del self._undo[:32]
        self._undo.append((now, len(self.data), offset, bytes(self.data[offset:offset + len(data)])))
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset:offset + len(data)] = data
        self.mtime = now

    def undo(self, since: float) -> None:
        """Undo what was written after a moment."""
        while self._undo and self._undo[-1][0] > since:
            _, length, offset, before = self._undo.pop()
            self.data[offset:offset + len(before)] = before
            del self.data[length:]


class Directory(Node):
    """Names of other nodes."""

    kind = stat.S_IFDIR

    def __init__(self, ino: int, mode: int, uid: int, now: float, parent: Directory | None):
        super().__init__(ino, mode, uid, now)
        self.entries: dict[str, Node] = {}
        self.parent: Directory = parent or self


class Socket(Node):
    """Where a listening socket is found."""

    kind = stat.S_IFSOCK

    def __init__(self, ino: int, mode: int, uid: int, now: float, listener: Listener):
        super().__init__(ino, mode, uid, now)
        self.listener = listener


class Disk:
    """See the module. Paths are absolute, or relative to a directory that is given.

    :param clock: the time of the world
    :ivar trouble: the number of the error that everything fails with that takes room; ``None`` where there is room
    :ivar refused: when a call of a process of ours failed last on this machine, for that or for any other error that befell it
    """

    def __init__(self, clock: Callable[[], float]):
        self._clock = clock
        self._inos = itertools.count(2)
        self.trouble: int | None = None
        self.refused = float("-inf")
        self.root = Directory(1, 0o755, 0, 0.0, None)
        #: What was done to names lately, and how to undo it.
        self._named: list[tuple[float, Callable[[], None]]] = []

    # -- looking -------------------------------------------------------------------------------------------------

    def find(self, path: str, at: Directory | None = None) -> Node:
        """Return what a path leads to.

        :raises OSError: it leads nowhere
        """
        node: Node = self.root if path.startswith("/") or at is None else at
        for name in path.split("/"):
            if name in ("", "."):
                continue
            if not isinstance(node, Directory):
                raise error(errno.ENOTDIR, path)
            if name == "..":
                node = node.parent
                continue
            if len(name) > _LONGEST:
                raise error(errno.ENAMETOOLONG, path)
            found = node.entries.get(name)
            if found is None:
                raise error(errno.ENOENT, path)
            node = found
        return node

    def above(self, path: str, at: Directory | None = None) -> tuple[Directory, str]:
        """Return the directory that the last name of a path is in, and that name.

        :raises OSError: the directory is not there
        """
        head, _, name = path.rstrip("/").rpartition("/")
        node = self.find(head or ("/" if path.startswith("/") else "."), at)
        if not isinstance(node, Directory):
            raise error(errno.ENOTDIR, path)
        return node, name

    def walk(self, node: Node | None = None, path: str = "") -> Iterator[tuple[str, Node]]:
        """Yield every path with what it leads to."""
        node = node or self.root
        yield path or "/", node
        if isinstance(node, Directory):
            for name, below in list(node.entries.items()):
                yield from self.walk(below, f"{path}/{name}")

    # -- changing ------------------------------------------------------------------------------------------------

    def check_room(self, path: str) -> None:
        """Take no room where there is none.

        :raises OSError: there is none
        """
        if self.trouble is not None and path.startswith(("/home", "/var")):
            self.refused = self._clock()
            raise error(self.trouble, path)

    def add(self, path: str, at: Directory | None, make: Callable[[Directory, int, float], Node]) -> Node:
        """Make something new.

        :raises OSError: there is something, or no room
        """
        directory, name = self.above(path, at)
        if name in directory.entries or name in ("", ".", ".."):
            raise error(errno.EEXIST, path)
        if len(name) > _LONGEST:
            raise error(errno.ENAMETOOLONG, path)
        self.check_room(path)
        node = make(directory, next(self._inos), self._clock())
        self._enter(directory, name, node)
        return node

    def _enter(self, directory: Directory, name: str, node: Node) -> None:
        before = directory.entries.get(name)
        directory.entries[name] = node

        def undo() -> None:
            if before is None:
                directory.entries.pop(name, None)
            else:
                directory.entries[name] = before
        self._note(undo)

    def mkdir(self, path: str, mode: int, uid: int, at: Directory | None = None) -> None:
        """Make a directory."""
        self.add(path, at, lambda parent, ino, now: Directory(ino, mode, uid, now, parent))

    def link(self, source: Node, target: str, at: Directory | None = None) -> None:
        """Give a file a second name."""
        self.add(target, at, lambda parent, ino, now: source)
        source.links += 1

    def remove(self, path: str, at: Directory | None, *, directory: bool) -> None:
        """Remove a name.

        :raises OSError: it is not there, is of the other kind, or something is in it
        """
        above, name = self.above(path, at)
        node = above.entries.get(name)
        if node is None:
            raise error(errno.ENOENT, path)
        if isinstance(node, Directory) != directory:
            raise error(errno.ENOTDIR if directory else errno.EISDIR, path)
        if isinstance(node, Directory) and node.entries:
            raise error(errno.ENOTEMPTY, path)
        del above.entries[name]
        node.links -= 1
        self._note(lambda: above.entries.__setitem__(name, node))

    def rename(self, source: str, target: str) -> None:
        """Give what has one name another, in the place of what has it."""
        above, name = self.above(source)
        node = above.entries.get(name)
        if node is None:
            raise error(errno.ENOENT, source)
        into, new = self.above(target)
        del above.entries[name]
        self._note(lambda: above.entries.__setitem__(name, node))
        self._enter(into, new, node)

    def _note(self, undo: Callable[[], None]) -> None:
        now = self._clock()
        if len(self._named) > 256 and self._named[128][0] < now - WRITTEN_AFTER:
            del self._named[:128]
        self._named.append((now, undo))

    def settle(self) -> None:
        """Have all that was done be on the disk."""
        self._named.clear()

    def lose_power(self, rng: random.Random) -> None:
        """Lose what was written lately: of names all that is behind some moment, as with a journal; of each file what
        is behind a moment of its own."""
        now = self._clock()

        def moment() -> float:
            # Often all or nothing of what is recent.
            return now - rng.choice((0.0, WRITTEN_AFTER, rng.uniform(0.0, WRITTEN_AFTER)))
        since = moment()
        while self._named and self._named[-1][0] > since:
            self._named.pop()[1]()
        self._named.clear()
        for _, node in self.walk():
            if isinstance(node, File):
                node.undo(moment())
