"""At the end of a run its hosts are parted from; one that comes up only then is told nothing, so that it makes nothing."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.contract import RunIdentity
from sshjobs.network.handshakes import Handshakes
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.session.session import HostSession
from sshjobs.network.session.shared import Shared
from sshjobs.network.staging.inputs import Staging
from sshjobs.network.supervise import Supervisor
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.trouble import LocalTrouble


class LateStream(Stream):
    """A host on which the agent starts when :meth:`come_up` is called."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.closed = False
        self._to_read: asyncio.Queue[bytes] = asyncio.Queue()

    def come_up(self) -> None:
        found = re.search(rb"NONCE, ENTRY, GIVEN, SIZES, PYTHON = \('([0-9a-f]{32})'", self.heard[0])
        assert found is not None
        self._to_read.put_nowait(b"\nSSHJOBS-READY " + found[1] + b"\n")

    async def read(self) -> bytes:
        return await self._to_read.get()

    async def write(self, data: bytes) -> None:
        self.heard.append(data)

    def abort(self) -> None:
        self._to_read.put_nowait(b"")

    async def close(self) -> Ending:
        self.closed = True
        self.abort()
        return Ending(0, "")


class LateTransport(Transport):
    name = "late"

    def __init__(self) -> None:
        self.stream = LateStream()

    async def open(self, host: Host) -> Stream:
        return self.stream

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        return HostError("test", host.name, "it ended")


async def _until(is_so: Callable[[], object]) -> None:
    async def look() -> None:
        while not is_so():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(look(), 30)


def test_a_host_that_comes_up_while_others_are_parted_from_is_told_nothing() -> None:
    transport, told, died = LateTransport(), list[Any](), list[BaseException]()

    async def play() -> None:
        supervisor = Supervisor(asyncio.get_running_loop(), died.append)
        shared = Shared(RunIdentity("0" * 32, "r", 1), OutputFiles(), Staging(), told.append,
                        Handshakes(lambda host: transport, lambda: 1), random.Random(1), supervisor,
                        LocalTrouble(told.append, lambda act: asyncio.sleep(0, act())))
        session = HostSession(Host("h"), transport, 1, shared)
        task = supervisor.start(session.run())
        await _until(lambda: transport.stream.heard)
        # It has said nothing yet, so there is nothing to part from. Other hosts take longer, and meanwhile it comes up.
        assert await session.bye() is None
        transport.stream.come_up()
        await _until(lambda: transport.stream.closed)
        await task

    asyncio.run(play())
    assert len(transport.stream.heard) == 1, "nothing but what starts the agent"
    assert told == [] and died == []
