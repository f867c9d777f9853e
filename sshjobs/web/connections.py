"""Bounds connections: a request that was begun has to be complete within some seconds, and only so many connections may
be open at a time. Without these bounds clients could use up all files that the server may have open.
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.auto import AutoHTTPProtocol

#: Within how many seconds the head of a request has to have come.
HEAD_WITHIN = 20.0
#: How many bytes of a request are read after it was answered.
MOST_UNREAD = 1 << 20
#: How many connections there may be; how many open files are kept for everything else where the limit is low.
MOST, BESIDES = 1_000, 200


def most() -> int:
    """Return how many connections there may be at a time."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if soft == resource.RLIM_INFINITY else max(50, min(MOST, soft - BESIDES))


class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """One connection."""

    _patience: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > most():
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self._patience is None:
            self._wait()
        cycle = self.cycle
        # The request was answered before all of it had come, for example because it was refused.
        self._unread = self._unread + len(data) if cycle and cycle.response_complete and cycle.more_body else 0
        if self._unread > MOST_UNREAD:
            self.transport.close()
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._patience is not None:
            self._patience.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(HEAD_WITHIN, self._look)

    def _look(self) -> None:
        self._patience = None
        if self.cycle is None or self.cycle.response_complete:
            # No request is being answered: what came is the beginning of one, or nothing.
            self.transport.close()
