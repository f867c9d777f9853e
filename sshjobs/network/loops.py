"""What runs the event loop of a network: a thread of its own, or the one clock of a simulated world."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from sshjobs.errors import SshjobsError

_Result = TypeVar("_Result")


class LoopRunner(Protocol):
    """Runs one event loop beside the manager, and hands events over to it. Methods belong to the manager's thread.

    :ivar chance: draws what is left to chance there
    """

    chance: random.Random

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs."""

    def start(self, begin: Callable[[], None]) -> None:
        """Begin to run the loop, with a call of ``begin`` in it."""

    def complete(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine in the loop to its end and return what it returns."""

    def stop(self) -> None:
        """End the loop."""

    def hand_over(self, events: list[Any]) -> None:
        """Give events to whoever takes them. May be called from any thread."""

    def take(self, timeout: float) -> list[Any] | None:
        """Return the next events that were handed over, ``None`` where none were for so many seconds."""


class LoopThread:
    """Runs an event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.chance = random.Random()
        self._events: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="sshjobs-network", daemon=True)

    def start(self, begin: Callable[[], None]) -> None:
        """See :class:`LoopRunner`."""
        self.loop.call_soon(begin)
        try:
            start_thread(self._thread)
        except SshjobsError:
            self.loop.close()
            raise

    def complete(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """See :class:`LoopRunner`."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self) -> None:
        """See :class:`LoopRunner`."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

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


def start_thread(thread: threading.Thread) -> None:
    """Start a thread.

    :raises SshjobsError: the system allows no further one
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise SshjobsError("no further thread can be started on this machine", why=str(error),
                           hint="see ulimit -u, and what else runs here") from error
