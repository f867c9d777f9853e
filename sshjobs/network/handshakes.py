"""Limits how many connections are made at a time to each sshd, so that none refuses any."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from sshjobs.model.host import Host
from sshjobs.network.transport.base import Transport

#: Connections that are being made at a time at one sshd: below the 10 at which a stock one (MaxStartups 10:30:100)
#: begins to refuse some.
AT_ONE_SSHD = 8
#: At most so many over all sshds: this machine can make them at once without any timing out.
IN_ALL = 64


class Handshakes:
    """Knows how many connections are being made, and through which machines.

    :param transport_of: the transport to reach a host by
    :param hosts: tells how many hosts there are; with few of them no sshd can have too many
    """

    def __init__(self, transport_of: Callable[[Host], Transport], hosts: Callable[[], int]):
        self._transport_of, self._hosts = transport_of, hosts
        self._gates: dict[str, asyncio.Semaphore] = {}
        self._all = asyncio.Semaphore(IN_ALL)

    @asynccontextmanager
    async def __call__(self, host: Host) -> AsyncIterator[None]:
        """Wait for a free place at every machine where a connection to the host logs in, and hold those places."""
        if self._hosts() <= AT_ONE_SSHD:
            yield
            return
        # Sorted: two hosts with the same machines on their ways never wait for each other.
        names = sorted(set(await self._transport_of(host).gates(host)))
        async with AsyncExitStack() as stack:
            for name in names:
                await stack.enter_async_context(self._gates.setdefault(name, asyncio.Semaphore(AT_ONE_SSHD)))
            await stack.enter_async_context(self._all)
            yield
