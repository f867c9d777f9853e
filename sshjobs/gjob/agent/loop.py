"""The agent's event loop: which files are waited for, and SIGCHLD as one of them."""

import select

from .. import system

MYPY = False
if MYPY:
    from typing import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT


class Loop:
    """Calls handlers for files that are ready. A file is watched for what was last wanted of it."""

    def __init__(self) -> None:
        self._epoll = system.epoll()
        self._handlers: "dict[int, Callable[[], None]]" = {}
        self._wanted: "dict[int, int]" = {}

    def watch(self, fd: int, handler: "Callable[[], None]", events: int = READ) -> None:
        """Call ``handler`` when the file is ready.

        :raises OSError: a file of a kind that cannot be waited for
        """
        self._epoll.register(fd, events)
        self._handlers[fd], self._wanted[fd] = handler, events

    def want(self, fd: int, events: int) -> None:
        """Wait for other events of a file from now on, if it is watched."""
        if self._wanted.get(fd, events) != events:
            self._epoll.modify(fd, events)
            self._wanted[fd] = events

    def forget(self, fd: int) -> None:
        """Watch a file no longer, before it is closed."""
        if self._handlers.pop(fd, None) is not None:
            del self._wanted[fd]
            try:
                self._epoll.unregister(fd)
            except OSError:  # it is closed next, which does the same
                pass

    def turn(self, seconds: float) -> None:
        """Wait so long at most and call the handlers of what is ready."""
        for fd, _ in self._epoll.poll(seconds):
            handler = self._handlers.get(fd)
            if handler is not None:
                handler()

    def watch_children(self, handler: "Callable[[], None]") -> None:
        """Call ``handler`` when a child may have ended."""
        wake, wake_in = system.pipe()
        for fd in (wake, wake_in):
            system.set_blocking(fd, False)

        def woken() -> None:
            system.read(wake, 4096)
            handler()

        system.heed_children(wake_in)
        self.watch(wake, woken)
