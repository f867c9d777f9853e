"""Supervises background tasks and threads: an unexpected exception in one is always reported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from sshjobs.errors import LocalError

T = TypeVar("T")


class Failed(NamedTuple):
    """A background task or thread has died: the run cannot go on with this manager."""

    error: BaseException


#: Called with the exception that a task or thread died of.
Failure = Callable[[BaseException], object]


class Supervisor:
    """Starts the tasks of one event loop and watches them.

    :param failed: called in the loop's thread with what a task, or a callback of the loop, died of
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, failed: Failure):
        self._loop, self._failed = loop, failed
        # The loop itself holds its tasks only weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        loop.set_exception_handler(lambda _, context: self._on_callback(context))

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have a task do some work. In the loop's thread, or before it runs."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._look)
        return task

    def _look(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(error)

    def _on_callback(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # A broken pipe is no failure here: the reader of the pipe gets the error, too.
        if error is not None and not isinstance(error, OSError):
            self._failed(error)


def start_thread(name: str, work: Callable[[], object], failed: Failure) -> threading.Thread:
    """Start a thread that does not keep the process from its end.

    :param failed: called in it with what it died of
    :raises LocalError: this machine has no room for another thread
    """
    def watched() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (whatever it is, it belongs to those who count on the thread)
            failed(error)

    thread = threading.Thread(target=watched, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise LocalError("no further thread can be started on this machine", why=str(error),
                         hint="raise the limit of processes (ulimit -u)") from error
    return thread


class Threads:
    """Runs blocking calls in threads, so many at a time, for one event loop.

    Unlike the threads of the loop's executor, these do not keep the process from exiting: a disk may never answer.
    """

    def __init__(self, most: int):
        self._turns = asyncio.Semaphore(most)

    async def do(self, act: Callable[[], T]) -> T:
        """Return what ``act`` returns, or raise what it raises.

        :raises LocalError: this machine has no room for another thread
        """
        loop = asyncio.get_running_loop()
        async with self._turns:
            done: asyncio.Future[T] = loop.create_future()

            def tell(put: Callable[[Any], None], what: object) -> None:
                if not done.done():
                    put(what)

            def work() -> None:
                result = act()
                _call_in(loop, lambda: tell(done.set_result, result))

            start_thread("sshjobs-blocking", work,
                         lambda error: _call_in(loop, lambda: tell(done.set_exception, error)))
            return await done


def _call_in(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(act)
    except RuntimeError:
        # The loop is closed: nobody waits for it any more.
        return
