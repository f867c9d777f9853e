"""Pipes to and from a child process, for an event loop. Much goes through them in large pieces and without a copy."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import IO, ClassVar

#: Bytes that may wait in a pipe.
SIZE = 1 << 16
#: Pipes of one direction that are wide at a time: a system grants each user so many bytes for all pipes together.
MOST_WIDE = 16
#: Seconds that a wide pipe is left alone for after much went through it: a look costs more than what it brings.
PAUSE = 0.001
#: Only Linux lets us choose.
_SET_SIZE: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)


class _Pipe:
    """This side's end of a pipe."""

    #: Bytes that may wait in it while it is wide, and how many are.
    wide_size: ClassVar[int]
    _wide_ones: ClassVar[int] = 0

    def __init__(self, pipe: IO[bytes]):
        self._pipe, self._fd = pipe, pipe.fileno()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._watched = self._wide = self.closed = False
        os.set_blocking(self._fd, False)

    def _watch(self) -> None:
        raise NotImplementedError

    def _unwatch(self) -> None:
        raise NotImplementedError

    async def _ready(self) -> None:
        """Wait until the other end has done something, or this one is closed."""
        if self.closed:
            return
        if not self._watched:
            self._watch()
            self._watched = True
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _on_ready(self) -> None:
        if self._waiter is None:
            # Nobody waits: nobody is to be told again and again.
            self._leave()
        elif not self._waiter.done():
            self._waiter.set_result(None)

    def _leave(self) -> None:
        if self._watched:
            self._watched = False
            self._unwatch()

    async def _pause(self) -> None:
        self._leave()
        await asyncio.sleep(PAUSE)

    def _widen(self, wide: bool) -> None:
        kind = type(self)
        if wide == self._wide or _SET_SIZE is None or self.closed or (wide and kind._wide_ones >= MOST_WIDE):
            return
        # Refused when a user's pipes have all that they may have, and while more is in it.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._fd, _SET_SIZE, self.wide_size if wide else SIZE)
            self._wide = wide
            kind._wide_ones += 1 if wide else -1

    def close(self) -> None:
        """Close this end. Whoever waits for it is woken. Idempotent."""
        if self.closed:
            return
        self._leave()
        if self._wide:
            type(self)._wide_ones -= 1
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        self._pipe.close()


class PipeReader(_Pipe):
    """Reads what a child process writes. For one task at a time."""

    wide_size = 1 << 20
    _much = False

    def _watch(self) -> None:
        self._loop.add_reader(self._fd, self._on_ready)

    def _unwatch(self) -> None:
        self._loop.remove_reader(self._fd)

    async def read(self) -> bytes:
        """Return the next bytes, ``b""`` at the end. Gives way to others at least once."""
        # Bytes that come fast are waited for, so that few turns of the loop take many.
        await (self._pause() if self._wide and self._much else self._ready())
        while not self.closed:
            try:
                data = os.read(self._fd, self.wide_size if self._wide else SIZE)
            except BlockingIOError:
                await self._ready()
                continue
            except OSError:
                break
            self._much = len(data) >= SIZE // 4
            if len(data) >= SIZE or not self._much:
                self._widen(self._much)
            return data
        return b""


class PipeWriter(_Pipe):
    """Writes what a child process reads. For one task at a time."""

    wide_size = 1 << 18

    def _watch(self) -> None:
        self._loop.add_writer(self._fd, self._on_ready)

    def _unwatch(self) -> None:
        self._loop.remove_writer(self._fd)

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while nobody reads.

        :raises OSError: nobody will
        """
        rest = memoryview(data)
        self._widen(len(rest) > SIZE)
        while rest:
            if self.closed:
                raise BrokenPipeError("the stream is closed")
            try:
                written = os.write(self._fd, rest)
            except BlockingIOError:
                written = 0
            rest = rest[written:]
            if self._wide and written:
                await self._pause()
            elif rest:
                await self._ready()
