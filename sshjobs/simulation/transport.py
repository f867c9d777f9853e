"""The way to simulated hosts: streams of the shipped sessions over connections of the world."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Callable

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.transport.openssh import OpensshTransport
from sshjobs.network.transport.sshcall import SshEnding
from sshjobs.simulation.pipe import Connection
from sshjobs.simulation.site import Site
from sshjobs.simulation.world import World

#: What ssh says of a host that is not there, and of a connection that broke.
_NO_ROUTE = "ssh: connect to host {host} port 22: No route to host"
_RESET = "client_loop: send disconnect: Broken pipe"


class SimulatedTransport(Transport):
    """Leads to the machines of a world, each by the name of its host."""

    name = "simulated"

    def __init__(self, world: World) -> None:
        self._world = world
        self._words = OpensshTransport()
        #: In the order of their opening.
        self._open: dict[SimulatedStream, None] = {}

    async def open(self, host: Host) -> Stream:
        # Hosts do not answer in step.
        await asyncio.sleep(self._world.handshake * self._world.rng.uniform(0.8, 1.2))
        site = self._world.machines.get(host.name)
        if site is None or not site.reachable:
            return EndedStream(SshEnding(255, "", own=_NO_ROUTE.format(host=host.name)))
        stream = SimulatedStream(self._world, site)
        self._open[stream] = None
        stream.on_close = lambda: self._open.pop(stream, None)
        return stream

    async def gates(self, host: Host) -> list[str]:
        return [host.name]

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        return self._words.explain(host, ending, noise, was_ready=was_ready)

    def vanish(self) -> None:
        """Our process is gone, and the kernel closes what it had open."""
        for stream in list(self._open):
            stream.abort()


class EndedStream(Stream):
    """A stream that came to nothing."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return b""

    async def write(self, data: bytes) -> None:
        """It is lost."""

    def abort(self) -> None:
        pass

    async def close(self) -> Ending:
        return self._ending


class SimulatedStream(Stream):
    """This side's end of a connection."""

    def __init__(self, world: World, site: Site) -> None:
        self._world, self._site = world, site
        self._connection = Connection(world, site.latency)
        self._connection.on_down, self._connection.near_closed = self._come, self._end
        self._input: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._begun = self._ended = False
        self.on_close: Callable[[], object] = lambda: None

    async def read(self) -> bytes:
        if not self._input and not self._ended:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        else:
            await asyncio.sleep(0)
        data = b"".join(self._input)
        self._input.clear()
        return data

    async def write(self, data: bytes) -> None:
        if self._ended:
            raise BrokenPipeError("the connection broke")
        if not self._begun:
            self._begun = True
            nonce, hurry, data = unpack_stage(data)
            self._site.answer(self._connection, nonce, hurry)
        self._connection.up.write(data)

    def abort(self) -> None:
        self._connection.close_near()
        self._end()

    async def close(self) -> Ending:
        broke = self._ended
        self.abort()
        return SshEnding(255 if broke else 0, "", own=_RESET if broke else "")

    def _come(self, data: bytes) -> None:
        self._input.append(data)
        self._wake()

    def _end(self) -> None:
        self._ended = True
        self.on_close()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def unpack_stage(data: bytes) -> tuple[str, str, bytes]:
    """Be the Python of a host that takes a first stage in: return the nonce, what is said of hurry, and the
    hello with what came behind it."""
    length, _, rest = data.partition(b"\n")
    line, _, _ = rest[:int(length)].partition(b"\n")
    nonce, _, (hello, *hurry), sizes, _ = ast.literal_eval(line.partition(b" = ")[2].decode("ascii"))
    return nonce, "".join(hurry), hello.encode("ascii") + rest[int(length) + sum(sizes):]
