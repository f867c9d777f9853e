"""The agent's end of a link: bytes in and out without ever blocking, and which attempts it has been told of."""

import os
from collections import deque

from . import wire

MYPY = False
if MYPY:
    from typing import Any, Deque, Iterator

    from .outputs import Feed

_READ = 1 << 18
_PIECES = 64
#: Bytes waiting to be written above which no output is read, and above which nothing is taken in any more.
ENOUGH = 1 << 20
TOO_MUCH = 1 << 22


class LinkLost(Exception):
    """The manager is gone."""


class Link:
    """One conversation.

    :ivar feeds: every attempt that this link knows of; to others it has not been introduced yet
    :ivar live: the feeds of those whose end has not been sent on this link
    :ivar synced: the manager has named all that it knows of
    """

    def __init__(self, reading: int, writing: int, front: "Any"):
        self.reading, self.writing, self.front = reading, writing, front
        self.decoder = wire.Decoder()
        self.feeds: "dict[str, Feed]" = {}
        self.live: "dict[str, Feed]" = {}
        self.synced = False
        self.waiting = 0
        self._queue: "Deque[bytes]" = deque()
        for fd in (reading, writing):
            os.set_blocking(fd, False)

    def receive(self) -> "Iterator[tuple[dict[str, Any], bytes, bytes]]":
        """Yield the frames that are there.

        :raises LinkLost: end of the stream
        :raises wire.WireError: what came is no frame
        """
        try:
            data = os.read(self.reading, _READ)
        except BlockingIOError:
            return
        except OSError as error:
            raise LinkLost(str(error))
        if not data:
            raise LinkLost("end of the stream")
        for item in self.decoder.feed(data):
            yield item

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
        queue = self._queue
        while queue:
            if len(queue) == 1:
                pieces = [queue[0]]
            else:
                pieces = _merge(queue)
            try:
                written = os.writev(self.writing, pieces)
            except BlockingIOError:
                return False
            except OSError as error:
                raise LinkLost(str(error))
            self.waiting -= written
            while queue and written >= len(queue[0]):
                written -= len(queue.popleft())
            if written:
                queue[0] = queue[0][written:]
        return True

    def close(self) -> None:
        """Let go: the front ends, and with it the connection."""
        for feed in self.feeds.values():
            feed.close()
        for fd in {self.reading, self.writing}:
            os.close(fd)
        self.front.close()


def _merge(queue: "Deque[bytes]") -> "list[bytes]":
    pieces = []
    for piece in queue:
        pieces.append(piece)
        if len(pieces) == _PIECES:
            break
    return pieces
