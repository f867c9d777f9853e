"""What processes of a host wait for: files, pipes, sockets, each open in any number of processes."""

from __future__ import annotations

import errno
import os
import select
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.sim.host.disk import Directory, File, Node, error

if TYPE_CHECKING:
    from tests.sim.host.process import Process

#: Bytes that wait in a pipe at most, and in a stream socket.
PIPE_SIZE, SOCKET_SIZE = 1 << 16, 1 << 22
#: What poll says of a file whose other end is closed for writing; Python has no name for it in select.
RDHUP = 0x2000


class Waited:
    """Something that processes wait for."""

    def __init__(self) -> None:
        #: Each with the number of its wait.
        self.waiters: dict[Process, int] = {}

    def notify(self) -> None:
        """Something has happened to it."""
        for process, turn in list(self.waiters.items()):
            process.wake(turn)


class Open(Waited):
    """An open file, as the kernel has it: descriptors of several processes may stand for it.

    :ivar held: how many do
    """

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.held = 0

    def hold(self) -> Open:
        """One more descriptor stands for it."""
        self.held += 1
        return self

    def release(self) -> None:
        """A descriptor was closed; the last one closes the file."""
        self.held -= 1
        if not self.held:
            self.close()
            self.notify()

    def close(self) -> None:
        """Nobody has it any more."""

    def events(self) -> int:
        """What poll says of it."""
        return select.POLLIN | select.POLLOUT

    def read(self, size: int) -> bytes | None:
        """Return what is there, ``b""`` at the end, ``None`` where a reader has to wait."""
        raise error(errno.EBADF)

    def write(self, data: bytes) -> int | None:
        """Take some of it and return how much, ``None`` where a writer has to wait."""
        raise error(errno.EBADF)


class Null(Open):
    """``/dev/null``."""

    def read(self, size: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)


class OpenFile(Open):
    """A file of the disk.

    :param write_at: writes into it, or raises what is in the way
    """

    def __init__(self, node: Node, flags: int, path: str, write_at: Callable[[OpenFile, int, bytes], int]):
        super().__init__()
        self.node, self.flags, self.path, self.offset, self._write_at = node, flags, path, 0, write_at
        #: Whoever has it has the lock of the file.
        self.locked = False

    def read(self, size: int) -> bytes:
        data = self.pread(size, self.offset)
        self.offset += len(data)
        return data

    def pread(self, size: int, offset: int) -> bytes:
        """Return a part of it."""
        if isinstance(self.node, Directory):
            raise error(errno.EISDIR, self.path)
        assert isinstance(self.node, File)
        return bytes(self.node.data[offset:offset + size])

    def write(self, data: bytes) -> int:
        at = self.node.size if self.flags & os.O_APPEND else self.offset
        count = self._write_at(self, at, data)
        self.offset = at + count
        return count

    def pwrite(self, data: bytes, offset: int) -> int:
        """Write at an offset."""
        return self._write_at(self, offset, data)


class Buffer(Waited):
    """Bytes on their way from one end to another."""

    def __init__(self, size: int):
        super().__init__()
        self.data, self.size = bytearray(), size
        self.readers = self.writers = 0
        #: Called when something has happened to it.
        self.hook: Callable[[], None] = lambda: None

    def notify(self) -> None:
        super().notify()
        self.hook()

    def take(self, size: int) -> bytes | None:
        """Read."""
        if not self.data:
            return None if self.writers else b""
        found = bytes(self.data[:size])
        del self.data[:size]
        self.notify()
        return found

    def put(self, data: bytes) -> int | None:
        """Write."""
        if not self.readers:
            raise error(errno.EPIPE)
        room = self.size - len(self.data)
        if room <= 0:
            return None
        self.data += data[:room]
        self.notify()
        return min(room, len(data))


class PipeEnd(Open):
    """One end of a pipe, or both directions of a stream socket.

    :param reads: what it reads from, :param writes: what it writes to
    """

    def __init__(self, reads: Buffer | None, writes: Buffer | None):
        super().__init__()
        self.reads, self.writes = reads, writes
        if reads is not None:
            reads.readers += 1
        if writes is not None:
            writes.writers += 1

    def sources(self) -> list[Waited]:
        """What has to change before it is ready."""
        return [buffer for buffer in (self.reads, self.writes) if buffer is not None]

    def close(self) -> None:
        if self.reads is not None:
            self.reads.readers -= 1
            self.reads.notify()
        self.shut()

    def shut(self) -> None:
        """Write no more."""
        if self.writes is not None:
            self.writes.writers -= 1
            writes, self.writes = self.writes, None
            writes.notify()

    def events(self) -> int:
        found = 0
        if self.reads is not None:
            if self.reads.data:
                found |= select.POLLIN
            if not self.reads.writers:
                found |= select.POLLHUP | RDHUP | (select.POLLIN if isinstance(self, StreamSocket) else 0)
        if self.writes is not None:
            if not self.writes.readers:
                found |= select.POLLERR | select.POLLOUT
            elif len(self.writes.data) < self.writes.size:
                found |= select.POLLOUT
        return found

    def read(self, size: int) -> bytes | None:
        if self.reads is None:
            raise error(errno.EBADF)
        return self.reads.take(size)

    def write(self, data: bytes) -> int | None:
        if self.writes is None:
            raise error(errno.EPIPE)
        return self.writes.put(data)


class StreamSocket(PipeEnd):
    """One end of a pair of sockets."""


class Packets(Open):
    """One end of a connection of packets, each with the open files that come with it."""

    def __init__(self, credentials: tuple[int, int, int]):
        super().__init__()
        self.credentials = credentials
        self.peer: Packets | None = None
        self.queue: deque[tuple[bytes, list[Open]]] = deque()

    @classmethod
    def pair(cls, first: tuple[int, int, int], second: tuple[int, int, int]) -> tuple[Packets, Packets]:
        """Return two ends, each with who has the other."""
        one, other = cls(second), cls(first)
        one.peer, other.peer = other, one
        return one, other

    def close(self) -> None:
        for _, files in self.queue:
            for file in files:
                file.release()
        self.queue.clear()
        peer, self.peer = self.peer, None
        if peer is not None:
            peer.peer = None
            peer.notify()

    def events(self) -> int:
        found = select.POLLIN if self.queue else 0
        return found | (select.POLLOUT if self.peer is not None else select.POLLIN | select.POLLHUP | RDHUP)

    def send(self, data: bytes, files: list[Open]) -> int:
        """Send a packet."""
        if self.peer is None:
            raise error(errno.EPIPE)
        self.peer.queue.append((data, [file.hold() for file in files]))
        self.peer.notify()
        return len(data)

    def receive(self) -> tuple[bytes, list[Open]] | None:
        """Return the next packet, an empty one at the end, ``None`` where there is none yet."""
        if self.queue:
            return self.queue.popleft()
        return None if self.peer is not None else (b"", [])


class Listener(Open):
    """A socket that others connect to."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.queue: deque[Packets] = deque()

    def close(self) -> None:
        self.closed = True
        while self.queue:
            self.queue.popleft().release()

    def events(self) -> int:
        return select.POLLIN if self.queue else 0


def sources(file: Open) -> list[Waited]:
    """Return what has to change before an open file is ready for more than it is."""
    return file.sources() if isinstance(file, PipeEnd) else [file]


class Poll:
    """``select.poll`` and ``select.epoll`` of one process.

    :param call: makes the call of the process that waits
    :param unit: seconds that its times are counted in
    """

    def __init__(self, call: Callable[[Poll, float | None], list[tuple[int, int]]], unit: float):
        self._call, self._unit = call, unit
        self.wanted: dict[int, tuple[Open | None, int]] = {}
        #: Looks an open file up, for who begins to wait for it.
        self.lookup: Callable[[Any], tuple[int, Open]] = lambda file: (0, Open())

    def register(self, file: Any, events: int = select.POLLIN) -> None:
        """Wait for events of a file."""
        number, found = self.lookup(file)
        if self._unit == 1.0 and isinstance(found, (OpenFile, Null)):
            # No file that one could wait for.
            raise error(errno.EPERM)
        self.wanted[number] = found, events

    def modify(self, file: Any, events: int) -> None:
        """Wait for other events."""
        number, found = self.lookup(file)
        self.wanted[number] = found, events

    def unregister(self, file: Any) -> None:
        """Wait for it no more."""
        self.wanted.pop(file if isinstance(file, int) else file.fileno(), None)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Return what is ready, waiting for it."""
        return self._call(self, None if timeout is None or timeout < 0 else timeout * self._unit)

    def close(self) -> None:
        """Wait for nothing any more."""
        self.wanted.clear()

    def ready(self) -> list[tuple[int, int]]:
        """Return what is ready now."""
        found = []
        for number, (file, events) in self.wanted.items():
            assert file is not None
            told = file.events() & (events | select.POLLHUP | select.POLLERR)
            if told:
                found.append((number, told))
        return found
