"""Connections with a bound: who begins a request and does not go on with it is let wait no longer than a while, and
there are only so many of them at a time. Both cost a server that does not mind it all the files that it may have open.
"""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.auto import AutoHTTPProtocol

#: Seconds within which the head of a request has to be there.
HEAD_WITHIN = 20.0
#: Seconds between an answer and the end of a connection over which more would come.
LINGER = 0.5
#: Connections at a time; files that are left for everything else where fewer may be open.
MOST, BESIDES = 1_000, 200


def most() -> int:
    """Return how many connections there may be at a time."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if soft == resource.RLIM_INFINITY else max(50, min(MOST, soft - BESIDES))


class BoundedProtocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """One connection."""

    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > most():
            transport.abort()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self._patience is None:
            self._wait()
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
            # No request is under way: what came is the beginning of one, or nothing.
            self.transport.close()

    def on_response_complete(self) -> None:
        """A request that was answered before all of it had come: the rest is not read, and time is given for the answer
        to be."""
        cut = self.cycle is not None and self.cycle.more_body
        super().on_response_complete()
        if cut and not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_later(LINGER, self.transport.close)
