"""A connection: two streams of bytes with a latency, either of which can be cut at any byte, heard or unheard."""

from __future__ import annotations

from collections.abc import Callable

from sshjobs.simulation.world import World


class Pipe:
    """One direction.

    :param deliver: takes what arrives
    """

    def __init__(self, world: World, latency: float, deliver: Callable[[bytes], None]):
        self._world, self._latency, self._deliver = world, latency, deliver
        self._chunk: list[bytes] = []
        self._chunk_at = -1.0
        #: How many bytes more arrive; ``None`` for all.
        self.limit: int | None = None

    def write(self, data: bytes) -> None:
        """Send bytes on their way. What is written at one moment arrives in one piece."""
        if not data:
            return
        if self._chunk_at == self._world.now and self._chunk:
            self._chunk.append(data)
            return
        chunk = self._chunk = [data]
        self._chunk_at = self._world.now
        self._world.at(self._latency, lambda: self._arrive(chunk))

    def _arrive(self, chunk: list[bytes]) -> None:
        data = b"".join(chunk)
        chunk.clear()
        if self.limit is not None:
            data = data[:self.limit]
            self.limit -= len(data)
        if data:
            self._deliver(data)


class Connection:
    """What a session on this side and an agent on the other hold by its two ends.

    :ivar on_down: takes what arrives on this side; :attr:`on_up` on the other
    :ivar near_closed: called when this side can tell that it is over; :attr:`far_closed` on the other
    """

    def __init__(self, world: World, latency: float):
        self._world = world
        self.on_up: Callable[[bytes], None] = lambda data: None
        self.on_down: Callable[[bytes], None] = lambda data: None
        self.near_closed: Callable[[], None] = lambda: None
        self.far_closed: Callable[[], None] = lambda: None
        self.up = Pipe(world, latency, lambda data: self.on_up(data))
        self.down = Pipe(world, latency, lambda data: self.on_down(data))
        self._latency = latency

    def cut(self, up: int, down: int, *, heard: bool) -> None:
        """Let so many bytes more through in each direction, and no more ever.

        :param heard: both sides are told (a reset), soon after; else neither ever is (a black hole)
        """
        self.up.limit = up if self.up.limit is None else min(up, self.up.limit)
        self.down.limit = down if self.down.limit is None else min(down, self.down.limit)
        if heard:
            self._world.at(self._latency * 2, self._told)

    def _told(self) -> None:
        self.near_closed()
        self.far_closed()

    def close_near(self) -> None:
        """Close this side; the other side learns of it behind what was written before."""
        self.near_closed = lambda: None
        self.on_down = lambda data: None
        if self.up.limit is None:
            self._world.at(self._latency, lambda: self.far_closed())

    def close_far(self) -> None:
        """Close the other side; this one learns of it behind what was written before."""
        self.far_closed = lambda: None
        self.on_up = lambda data: None
        if self.down.limit is None:
            self._world.at(self._latency, lambda: self.near_closed())
