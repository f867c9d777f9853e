"""What runs the event loop of a network: a thread of its own, or the one clock of a simulated world."""

from __future__ import annotations

import asyncio
import queue
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import wait
from threading import Thread
from typing import Any, Protocol, TypeVar

from sshjobs.errors import LocalError
from sshjobs.network.supervise import Failure, Threads, start_thread

_Result = TypeVar("_Result")


class LoopRunner(Protocol):
    """Runs one event loop beside the manager, and hands events over to it. Methods belong to the manager's thread.

    :ivar chance: the source of random numbers in the loop
    """

    chance: random.Random

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs."""

    def start(self, begin: Callable[[], None], failed: Failure) -> None:
        """Begin to run the loop, with a call of ``begin`` in it.

        :param failed: called with what the loop died of
        :raises LocalError: this machine has no room for it
        """

    def complete(self, coroutine: Coroutine[Any, Any, _Result], limit: float, hurried: Callable[[], bool]) -> _Result:
        """Run a coroutine in the loop to its end and return what it returns.

        :param hurried: asked several times a second; once it is true, the end is not waited for
        :raises TimeoutError: it did not end within so many seconds, or the loop does not run; it is cancelled
        """

    def stop(self) -> None:
        """End the loop, in bounded time."""

    def aside(self, act: Callable[[], _Result]) -> Awaitable[_Result]:
        """Return what ``act`` returns, which may block: the loop goes on meanwhile. In the loop."""

    def hand_over(self, events: list[Any]) -> None:
        """Queue events for the thread that takes them. May be called from any thread."""

    def take(self, timeout: float) -> list[Any] | None:
        """Return the next events that were handed over, ``None`` where none were for so many seconds."""


#: What may block is done so many at a time.
ASIDE = 8
#: Seconds between two questions whether there is any hurry.
ASKED_EVERY_S = 0.2
#: Seconds that the loop gets to end.
STOPPING_S = 5.0


class LoopThread:
    """Runs an event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.chance = random.Random()
        self._events: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._threads = Threads(ASIDE)
        self._thread: Thread | None = None

    def start(self, begin: Callable[[], None], failed: Failure) -> None:
        """See :class:`LoopRunner`."""
        self.loop.call_soon(begin)
        try:
            self._thread = start_thread("sshjobs-network", self._main, failed)
        except LocalError:
            self.loop.close()
            raise

    def complete(self, coroutine: Coroutine[Any, Any, _Result], limit: float, hurried: Callable[[], bool]) -> _Result:
        """See :class:`LoopRunner`."""
        if self._thread is None or not self._thread.is_alive():
            coroutine.close()
            raise TimeoutError
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        deadline = time.monotonic() + limit
        while True:
            done, _ = wait([future], min(ASKED_EVERY_S, deadline - time.monotonic()))
            if done:
                return future.result()
            if hurried() or time.monotonic() >= deadline:
                future.cancel()
                raise TimeoutError

    def stop(self) -> None:
        """See :class:`LoopRunner`."""
        if self._thread is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(STOPPING_S)

    def aside(self, act: Callable[[], _Result]) -> Awaitable[_Result]:
        """See :class:`LoopRunner`."""
        return self._threads.do(act)

    def hand_over(self, events: list[Any]) -> None:
        """See :class:`LoopRunner`."""
        self._events.put(events)

    def take(self, timeout: float) -> list[Any] | None:
        """See :class:`LoopRunner`."""
        try:
            return self._events.get(timeout=timeout) if timeout > 0 else self._events.get_nowait()
        except queue.Empty:
            return None

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
