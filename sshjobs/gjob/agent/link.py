"""The agent's end of a link: frames in and out without ever blocking."""

import itertools

from .. import files, room, system, wire
from ..light import deque

MYPY = False
if MYPY:
    import socket
    from typing import Any, Deque, Iterator

    from ..wire import Body

_READ = 1 << 18
_BEHIND = 1 << 12
_PIECES = 64
#: Seconds that a widened pipe is left to drain after a large write, or to fill while reads bring less than _MUCH bytes.
PAUSE, _MUCH = 0.001, 1 << 16
#: Bytes waiting to be written above which no output is read, and above which nothing more is read from the link.
ENOUGH = 1 << 20
TOO_MUCH = 1 << 22


class LinkLost(Exception):
    """The manager is gone."""


class Link:
    """The files of one connection.

    :param reading: what the manager writes
    :param writing: what the manager reads
    :param front: closed to end the connection; its other end closes when the connection is gone
    :ivar waiting: bytes not yet written
    :ivar paused: the rest is better written a little later, in larger pieces, than as soon as there is room
    """

    def __init__(self, reading: int, writing: int, front: "socket.socket"):
        self.reading, self.writing, self.front = reading, writing, front
        self.waiting = 0
        self.paused = False
        self._wide: "bool | None" = None
        self._wide_in: "bool | None" = None
        self._decoder = wire.Decoder()
        self._behind = bytearray(_BEHIND)
        self._queue: "Deque[Body]" = deque()
        for fd in (reading, writing):
            system.set_blocking(fd, False)

    def receive(self) -> "Iterator[tuple[dict[str, Any], bytes, wire.Body]]":
        """Yield the frames that are there.

        :raises LinkLost: end of the stream
        :raises wire.WireError: what came is no frame
        """
        space = self._decoder.space()
        size = 0
        try:
            if space is None:
                data = system.read(self.reading, _READ)
            else:
                # Bodies are large: they are read to where they are needed, and a little of what follows.
                size = system.readv(self.reading, [space, self._behind])
                data = bytes(self._behind[:max(0, size - len(space))])
        except BlockingIOError:
            return
        except OSError as error:
            if room.passes(error):
                raise
            raise LinkLost(str(error))
        if not data and not size:
            raise LinkLost("end of the stream")
        if space is not None:
            self._breathe(size)
            for item in self._decoder.filled(min(size, len(space))):
                yield item
        if data:
            for frame in self._decoder.feed(data):
                yield frame

    def _breathe(self, size: int) -> None:
        """Let more gather in the pipe while a large body comes: many small reads would cost more than the pause."""
        if self._wide_in is None:
            self._wide_in = system.widen(self.reading)
        if self._wide_in and size < _MUCH:
            system.sleep(PAUSE)

    def say(self, **frame: "Any") -> None:
        """Queue a frame."""
        self.say_line(wire.encode(frame))

    def say_line(self, *parts: bytes) -> None:
        """Queue a frame that is bytes already."""
        for part in parts:
            self._queue.append(part)
            self.waiting += len(part)

    def flush(self) -> bool:
        """Write what can be written now; True when nothing waits any more.

        :raises LinkLost: nobody reads any more
        """
        queue, before = self._queue, self.waiting
        while queue:
            try:
                written = system.writev(self.writing, list(itertools.islice(queue, _PIECES)))
            except BlockingIOError:
                if self._wide is None:
                    self._wide = system.widen(self.writing)
                # Only after some progress: else nobody knows when there will be room, so poll for it.
                self.paused = self._wide and self.waiting < before
                return False
            except OSError as error:
                if room.passes(error):
                    raise
                raise LinkLost(str(error))
            self.waiting -= written
            while queue and written >= len(queue[0]):
                written -= len(queue.popleft())
            if written:
                queue[0] = memoryview(queue[0])[written:]
        self.paused = False
        return True

    def close(self) -> None:
        """Close the connection: its front ends, and the connection with it."""
        for fd in {self.reading, self.writing}:
            files.close_quietly(fd)
        self.front.close()
