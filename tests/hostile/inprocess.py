"""Hostile hosts without any process: hundreds of them in one run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.transport.local import LocalTransport
from tests.hostile.far_side import WELCOME, line


class HostileStream(Stream):
    """Says what it is given: ``first`` after the marker, and ``then`` once an attempt was named to it.

    :param uid: that attempt
    """

    def __init__(self, first: bytes, then: bytes, uid: str):
        self._first, self._then, self._uid = first, then, f'"{uid}"'.encode()
        self._to_read: asyncio.Queue[bytes] = asyncio.Queue()
        self._begun = False

    async def read(self) -> bytes:
        return await self._to_read.get()

    async def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            found = re.search(rb"NONCE, ENTRY, GIVEN, SIZES, PYTHON = \('([0-9a-f]{32})'", data)
            assert found is not None
            self._to_read.put_nowait(b"\nSSHJOBS-READY " + found[1] + b"\n" + self._first)
        elif self._uid in data and self._then:
            self._to_read.put_nowait(self._then)
            self._then = b""
        await asyncio.sleep(0)

    def abort(self) -> None:
        self._to_read.put_nowait(b"")

    async def close(self) -> Ending:
        self.abort()
        return Ending(0, "")


class HostileTransport(Transport):
    """Reaches hostile hosts, and honest ones on this machine.

    :param frames: by hostile host: what it says, and the attempt that it is asked about
    """

    name = "hostile"

    def __init__(self, frames: Mapping[str, tuple[bytes, str]]):
        self._frames, self._inner = frames, LocalTransport()

    async def open(self, host: Host) -> Stream:
        if host.name not in self._frames:
            return await self._inner.open(host)
        frame, uid = self._frames[host.name]
        if frame.startswith(b'{"t": "welcome"'):
            return HostileStream(frame, b"", uid)
        welcome = line({**WELCOME, "boot": host.name, "machine": host.name})
        return HostileStream(welcome, frame, uid)

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        return self._inner.explain(host, ending, noise, was_ready=was_ready)
