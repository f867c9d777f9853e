"""An event loop whose clock is the world's: what the network does in its thread happens here between two other things
of the world, in the thread that lets the world run.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeVar

from sshjobs.network.supervise import Failure
from sshjobs.simulation.world import World

if TYPE_CHECKING:
    # To a type checker, what such a loop does not have would nevertheless have to be there.
    _Loop: Any
else:
    _Loop = asyncio.AbstractEventLoop

_Result = TypeVar("_Result")

#: Seconds that something takes which is done in another thread, such as putting outputs on the disk.
ASIDE = 0.01


class WorldLoop(_Loop):  # type: ignore[misc]
    """See the module. Of what loops can do it has what the network needs; files are not among that.

    What no program expects (an exception that is none of :class:`Exception`, or a failed assertion) is raised to
    the thread that lets the world run.

    :ivar dead: its process is gone: nothing happens in it any more
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._ready: deque[asyncio.Handle] = deque()
        self._scheduled = self.dead = False
        self._failure: BaseException | None = None
        #: Also those that are only kept so that nothing ends them, for a loop that is dead.
        self._tasks: dict[asyncio.Task[Any], None] = {}

    # -- what the network uses -----------------------------------------------------------------------------------

    def time(self) -> float:
        return self._world.now

    def get_debug(self) -> bool:
        return False

    def is_closed(self) -> bool:
        return self.dead

    def is_running(self) -> bool:
        return True

    def call_soon(self, callback: Callable[..., object], *args: Any,
                  context: contextvars.Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._add(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any,
                             context: contextvars.Context | None = None) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any,
                   context: contextvars.Context | None = None) -> asyncio.TimerHandle:
        return self.call_at(self._world.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Callable[..., object], *args: Any,
                context: contextvars.Context | None = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._world.at(when - self._world.now, lambda: None if handle.cancelled() else self._add(handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Generator[Any, None, _Result] | Coroutine[Any, Any, _Result], *,
                    name: str | None = None, context: contextvars.Context | None = None) -> asyncio.Task[_Result]:
        task: asyncio.Task[_Result] = asyncio.Task(coro, loop=self, name=name)
        self._tasks[task] = None
        task.add_done_callback(self._note_end)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., _Result], *args: Any) -> asyncio.Future[_Result]:
        """Do it now; it is known a moment later."""
        future = self.create_future()

        def tell(set_it: Callable[[Any], None], what: Any) -> None:
            if not future.done():
                set_it(what)
        try:
            result = func(*args)
        except Exception as error:  # noqa: BLE001 (whatever it is, it belongs to who waits)
            self.call_later(ASIDE, tell, future.set_exception, error)
        else:
            self.call_later(ASIDE, tell, future.set_result, result)
        return future

    def set_exception_handler(self, handler: object) -> None:
        """Whatever a callback raises is raised where the world is let run."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._fail(context.get("exception") or RuntimeError(context.get("message")))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    # -- how it runs ---------------------------------------------------------------------------------------------

    def _add(self, handle: asyncio.Handle) -> None:
        if self.dead:
            return
        self._ready.append(handle)
        if not self._scheduled:
            self._scheduled = True
            self._world.at(0.0, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        asyncio._set_running_loop(self)
        try:
            for _ in range(len(self._ready)):
                if self.dead:
                    break
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
        finally:
            asyncio._set_running_loop(None)
            if self._ready and not self.dead and not self._scheduled:
                self._scheduled = True
                self._world.at(0.0, self._turn)

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None and (not isinstance(error, Exception) or isinstance(error, AssertionError)):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self.dead or not isinstance(error, Exception):
            self._failure = self._failure or error

    def die(self) -> None:
        """Let nothing happen any more."""
        self.dead = True
        self._ready.clear()

    def bury(self) -> None:
        """Take apart what stood still when it died; for when nothing of the world is looked at any more."""
        # As the running loop: what they begin on their way out (a stream is closed in a task of its own) belongs to it,
        # not to a loop that asyncio makes up, and is taken apart as well.
        asyncio._set_running_loop(self)
        try:
            while self._tasks:
                task, _ = self._tasks.popitem()
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine: Any = task.get_coro()
                # Whatever it says on its way out, nobody is there to be told.
                with contextlib.suppress(Exception, asyncio.CancelledError):
                    while True:
                        coroutine.throw(asyncio.CancelledError())
        finally:
            asyncio._set_running_loop(None)


class WorldRunner:
    """Runs a network's loop in a world. See :class:`sshjobs.network.loops.LoopRunner`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.loop = WorldLoop(world)
        self.chance = random.Random(world.rng.random())
        self._events: deque[list[Any]] = deque()

    def start(self, begin: Callable[[], None], failed: Failure) -> None:
        """See :class:`sshjobs.network.loops.LoopRunner`."""
        self.loop.call_soon(begin)

    def complete(self, coroutine: Coroutine[Any, Any, _Result], limit: float, hurried: Callable[[], bool]) -> _Result:
        """See :class:`sshjobs.network.loops.LoopRunner`."""
        task = self.loop.create_task(coroutine)
        self._world.run(self._world.now + limit, lambda: task.done() or hurried())
        if not task.done():
            task.cancel()
            raise TimeoutError
        return task.result()

    def aside(self, act: Callable[[], _Result]) -> Awaitable[_Result]:
        """See :class:`sshjobs.network.loops.LoopRunner`."""
        return self.loop.run_in_executor(None, act)

    def stop(self) -> None:
        """See :class:`sshjobs.network.loops.LoopRunner`."""
        self.loop.die()

    def hand_over(self, events: list[Any]) -> None:
        """See :class:`sshjobs.network.loops.LoopRunner`."""
        self._events.append(events)

    def take(self, timeout: float) -> list[Any] | None:
        """See :class:`sshjobs.network.loops.LoopRunner`. Lets the world run."""
        if timeout > 0:
            # A wait too short to make a difference to the clock would be repeated for ever.
            self._world.run(self._world.now + max(timeout, 1e-6), lambda: bool(self._events))
        return self._events.popleft() if self._events else None
