"""Pipes to and from a child process, for an event loop. Much goes through them in large pieces and without a copy."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import IO, Any, ClassVar

from sshjobs.errors import LocalError

#: Bytes that may wait in a pipe, usually and when it is as wide as a system lets everybody have it.
SIZE, WIDEST = 1 << 16, 1 << 20
#: Pipes of one direction that are wide at a time: a system grants each user so many bytes for all pipes together.
MOST_WIDE = 16
#: Seconds that a wide pipe is left alone for after much went through it: a look costs more than what it brings.
PAUSE = 0.001
#: Only Linux lets us choose.
_SET_SIZE: int | None = getattr(fcntl, "F_SETPIPE_SZ", None)
_splice: Any = getattr(os, "splice", None)


def part_of(file: int, offset: int, size: int) -> tuple[bytes, bool]:
    """Return so many bytes of a file, NULs for those that cannot be read, and whether all could be."""
    try:
        data = os.pread(file, size, offset)
    except OSError:
        data = b""
    return data + bytes(size - len(data)), len(data) == size


def _refused(error: OSError) -> LocalError:
    """Return what it means that a pipe cannot be used whose other end is open: that has nothing to do with the host."""
    return LocalError.of(error, "a pipe to a program on this machine cannot be used", passing=False,
                         hint="see to that, then: sshjobs resume")


class _Pipe:
    """This side's end of a pipe."""

    #: How many are wide.
    _wide_ones: ClassVar[int] = 0

    def __init__(self, pipe: IO[bytes]):
        self._pipe, self._fd = pipe, pipe.fileno()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._size = SIZE
        self._watched = self.closed = False
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

    @property
    def _wide(self) -> bool:
        return self._size > SIZE

    def _resize(self, size: int) -> None:
        """Have so many bytes wait in it at most, if the system allows."""
        kind, wide = type(self), size > SIZE
        if size == self._size or _SET_SIZE is None or self.closed:
            return
        if wide and not self._wide and kind._wide_ones >= MOST_WIDE:
            return
        # Refused when a user's pipes have all that they may have, and while more is in it.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._fd, _SET_SIZE, size)
            kind._wide_ones += wide - self._wide
            self._size = size

    def close(self) -> None:
        """Close this end, and wake the task that waits for it. Idempotent."""
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
                data = os.read(self._fd, self._size)
            except BlockingIOError:
                await self._ready()
                continue
            except OSError as error:
                raise _refused(error) from error
            self._much = len(data) >= SIZE // 4
            if len(data) >= SIZE or not self._much:
                self._resize(WIDEST if self._much else SIZE)
            return data
        return b""


class PipeWriter(_Pipe):
    """Writes what a child process reads. For one task at a time."""

    #: The size while much is written. What waits in it delays whatever is said next, so that it becomes wider than this
    #: only where it is found empty after a pause.
    wide_size = 1 << 18
    #: Whether there was a pause when it was full last, and what was written since.
    _paused = False
    _filled = 0

    def _watch(self) -> None:
        self._loop.add_writer(self._fd, self._on_ready)

    def _unwatch(self) -> None:
        self._loop.remove_writer(self._fd)

    async def write(self, data: bytes) -> None:
        """Write all of it, waiting while nobody reads.

        :raises OSError: nobody will
        """
        rest = memoryview(data)

        def some() -> int:
            nonlocal rest
            written = os.write(self._fd, rest)
            rest = rest[written:]
            return written
        await self._write(len(data), some)

    async def write_file(self, file: int, offset: int, size: int) -> bool:
        """Write so many bytes of a file. What of it cannot be read becomes NULs.

        :param file: its descriptor
        :return: whether all of it could be read
        :raises OSError: nobody will read
        """
        end, whole = offset + size, True

        def some() -> int:
            nonlocal offset, whole
            moved = self._spliced(file, offset, end - offset)
            if not moved:
                data, whole = part_of(file, offset, end - offset)
                moved = os.write(self._fd, data)
            offset += moved
            return moved
        await self._write(size, some)
        return whole

    def _spliced(self, file: int, offset: int, size: int) -> int:
        """Have a file's memory read as it is, without a copy; 0 where that cannot be."""
        if _splice is None:
            return 0
        try:
            return int(_splice(file, self._fd, size, offset_src=offset))
        except (BlockingIOError, BrokenPipeError):
            raise
        except OSError:
            return 0

    async def _write(self, size: int, some: Callable[[], int]) -> None:
        """Call what writes some of it until all is written."""
        if size > SIZE or self._wide:
            self._resize(max(self._size, self.wide_size) if size > SIZE else SIZE)
        while size:
            if self.closed:
                raise BrokenPipeError("the stream is closed")
            try:
                written = some()
            except BlockingIOError:
                written = 0
            except ConnectionError:
                raise
            except OSError as error:
                raise _refused(error) from error
            size -= written
            self._filled += written
            if size:
                await self._wait_for_room(written)
        await asyncio.sleep(0)

    async def _wait_for_room(self, written: int) -> None:
        if self._paused and self._filled >= self._size:
            self._resize(WIDEST)
        self._filled = 0
        # What brought nothing is not tried again: when there will be room is not known.
        self._paused = self._wide and written > 0
        await (self._pause() if self._paused else self._ready())
