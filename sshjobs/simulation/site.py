"""A place in the world that a connection leads to."""

from __future__ import annotations

from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.world import World


class Site:
    """Whatever answers at the other end of a connection.

    :param cores: what it says of itself
    """

    def __init__(self, world: World, name: str, cores: int):
        self.world, self.name, self.cores = world, name, cores
        #: Whether new connections come through.
        self.reachable = True
        self.latency = world.latency
        #: How far its wall clock is off.
        self.clock_error = 0.0
        self.connection: Connection | None = None
        self._boots = 1

    @property
    def boot(self) -> str:
        """The boot id."""
        return f"{self.name}-boot-{self._boots}"

    def clock(self) -> float:
        """The time since the epoch, as it has it."""
        return max(0.0, self.world.now + 1.7e9 + self.clock_error)

    def answer(self, connection: Connection, nonce: str, hurry: str) -> None:
        """Take a connection. The hello is the first that comes over it.

        :param nonce: what is said first carries it
        :param hurry: not empty: it waits for nothing but the hello
        """
        raise NotImplementedError

    def cut(self, up: int, down: int, *, heard: bool) -> None:
        """Cut the connection that there is, after so many bytes more in each direction."""
        if self.connection is not None:
            self.connection.cut(up, down, heard=heard)
