"""Trouble of this machine during sessions with hosts: reported once, waited for, and never blamed on a host."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from sshjobs.errors import LocalError
from sshjobs.network.contract import HERE, Warned

T = TypeVar("T")


class Aside(Protocol):
    """Calls a function that may block, while the loop goes on, and returns its result."""

    def __call__(self, act: Callable[[], T]) -> Awaitable[T]: ...


#: Seconds between two tries.
RETRY_S = 1.0
#: What is said of a full disk.
DISK_FULL = "the disk of this machine is full"
#: At most so many different messages while trouble lasts: each of a thousand jobs may have a file of its own.
MOST_TOLD = 5
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_GONE = (errno.ENOENT,)


def cannot_write(error: OSError, where: str | None = None) -> LocalError:
    """Return the error for output that cannot be written.

    Waiting does not help where the run's directory has vanished: it does not come back by itself, and a new one would
    not be the run's.
    """
    if error.errno in _NO_ROOM:
        return LocalError(DISK_FULL, hint="make room")
    gone = error.errno in _GONE
    return LocalError.of(error, "output cannot be written on this machine", where=where, passing=not gone,
                         hint="put the directory back, then: sshjobs resume" if gone else None)


class NearlyFull(OSError):
    """The last room on the disk is kept for small files."""

    def __init__(self) -> None:
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC))


def nearly_full(job: str) -> LocalError:
    """Return the error for output of a job that would take the last room on the disk."""
    return LocalError("the disk of this machine is nearly full, and the output of this job is large", where=job,
                      why="it stays on its host until there is room", hint="make room")


class LocalTrouble:
    """Waits for trouble of this machine to pass, for the sessions with all hosts. Belongs to the event loop.

    :param emit: takes each event for the manager
    :param aside: does what may block while the loop goes on (see :class:`sshjobs.network.loops.LoopRunner`)
    """

    def __init__(self, emit: Callable[[Warned], None], aside: Aside):
        self._emit, self.aside = emit, aside
        self._told: set[str] = set()
        self._waiting = 0

    async def outwait(self, act: Callable[[], Awaitable[T]], meanwhile: Callable[[], None] = lambda: None) -> T:
        """Try something until this machine can do it; report what is waited for.

        :param meanwhile: called before each further try
        :raises LocalError: waiting cannot help
        """
        try:
            return await act()
        except LocalError as error:
            self._tell(error)
        self._waiting += 1
        try:
            while True:
                await asyncio.sleep(RETRY_S)
                meanwhile()
                try:
                    return await act()
                except LocalError as error:
                    self._tell(error)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._told.clear()

    def _tell(self, error: LocalError) -> None:
        if not error.passing:
            raise error
        text = error.waiting()
        if text not in self._told and len(self._told) < MOST_TOLD:
            self._told.add(text)
            self._emit(Warned(HERE, text))
