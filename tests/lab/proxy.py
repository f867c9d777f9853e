"""A TCP proxy that is slow, stalls, cuts and resets on demand: a bad line to a host.

Use it from Python as :class:`DelayProxy` (its address goes into an ssh_config), or as a ProxyCommand:
``python -m tests.lab.proxy --delay 50 HOST PORT``.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import socket
import struct
import termios
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any

CHUNK = 65536
#: Bytes under way in one direction before the sender is made to wait: 100 ms at 1 Gbit/s, with room.
IN_FLIGHT = 16 << 20
DIRECTIONS = ("up", "down")


class Pipe:
    """One direction of one connection: every byte arrives ``delay`` seconds after it was sent."""

    def __init__(self, line: Line, direction: str) -> None:
        self.line = line
        self.direction = direction
        self.queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self.waiting = 0
        self.room = asyncio.Event()
        self.room.set()

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Take bytes as they come and note when they are due."""
        while True:
            chunk = await reader.read(CHUNK)
            due = asyncio.get_running_loop().time() + self.line.proxy.delay
            self.queue.put_nowait((due, chunk))
            if not chunk:
                return
            self.waiting += len(chunk)
            if self.waiting > IN_FLIGHT:
                self.room.clear()
                await self.room.wait()

    async def write(self, writer: asyncio.StreamWriter) -> None:
        """Hand bytes on when they are due, and no more of them than the proxy allows."""
        proxy = self.line.proxy
        while True:
            due, chunk = await self.queue.get()
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            await proxy.flowing.wait()
            if not chunk:
                break
            self.waiting -= len(chunk)
            if self.waiting <= IN_FLIGHT:
                self.room.set()
            allowed, cut = proxy.allow(self.direction, len(chunk))
            writer.write(chunk[:allowed])
            await writer.drain()
            if cut:
                await arrived(writer)
                self.line.close(reset=proxy.cut_with_reset)
                return
        if writer.can_write_eof():
            writer.write_eof()


async def arrived(writer: asyncio.StreamWriter) -> None:
    """Wait until the other end's kernel has all that was written: a reset would overtake the rest."""
    handle = writer.get_extra_info("socket")
    while not writer.is_closing() and any(fcntl.ioctl(handle.fileno(), termios.TIOCOUTQ, bytes(4))):
        await asyncio.sleep(0.001)


class Line:
    """One connection through the proxy."""

    def __init__(self, proxy: DelayProxy, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.ends = (near, far)
        for writer in self.ends:
            # "drained" shall mean that nothing waits in here, so that a cut is exact.
            writer.transport.set_write_buffer_limits(0)

    async def carry(self, near: asyncio.StreamReader, far: asyncio.StreamReader) -> None:
        """Carry bytes both ways until both ends have closed or the line is cut."""
        up, down = Pipe(self, "up"), Pipe(self, "down")
        tasks = [
            asyncio.ensure_future(work)
            for work in (up.read(near), up.write(self.ends[1]), down.read(far), down.write(self.ends[0]))
        ]
        try:
            await asyncio.gather(*tasks)
        except OSError:
            self.close(reset=True)  # An end broke the line: the other learns it in the same way.
        finally:
            for task in tasks:
                task.cancel()
            self.close(reset=False)

    def close(self, reset: bool) -> None:
        """End the connection at both ends, politely or by a TCP reset."""
        for writer in self.ends:
            handle = writer.get_extra_info("socket")
            if reset and handle is not None and handle.fileno() >= 0:
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()


class DelayProxy:
    """``with DelayProxy(address, port, delay_ms=50) as proxy:`` — reachable at ``proxy.host``:``proxy.port``.

    "up" is towards the target, "down" back from it. Runs on a thread of its own; every method may be
    called from any thread and has worked when it returns.

    :param delay_ms: how long each byte is under way, one way, in milliseconds.
    """

    def __init__(self, target: str, target_port: int, *, delay_ms: float = 0.0) -> None:
        self.delay = delay_ms / 1000
        self.host = "127.0.0.1"
        self.port = 0
        #: Connections accepted so far.
        self.accepted = 0
        #: Bytes carried so far, by direction.
        self.carried = {"up": 0, "down": 0}
        self.cut_with_reset = False
        self._target = (target, target_port)
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self._lines: set[Line] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="delay-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self.flowing: asyncio.Event

    def __enter__(self) -> DelayProxy:
        self._thread.start()
        self._wait(self._open())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wait(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` on the proxy's thread, to its end."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _call(self, work: Callable[[], None]) -> None:
        async def there() -> None:
            work()

        self._wait(there())

    async def _open(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._server = await asyncio.start_server(self._accept, self.host, 0, limit=CHUNK)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        assert self._server is not None
        self._server.close()
        self._reset_all()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        line = Line(self, writer, far_writer)
        self._lines.add(line)
        try:
            await line.carry(reader, far_reader)
        except asyncio.CancelledError:
            pass  # The end of the proxy; who has accepted the connection would print it.
        finally:
            self._lines.discard(line)

    def allow(self, direction: str, size: int) -> tuple[int, bool]:
        """How many of ``size`` bytes may pass, and whether the line is cut after them."""
        left = self._left[direction]
        allowed = size if left is None else min(size, left)
        self.carried[direction] += allowed
        if left is None:
            return allowed, False
        if allowed < left:
            self._left[direction] = left - allowed
            return allowed, False
        self._left[direction] = None  # Only once: the next connection is whole again.
        return allowed, True

    def cut_after(self, size: int, direction: str = "up", *, reset: bool = False) -> None:
        """Cut the line once, after exactly ``size`` more bytes went in ``direction``.

        :param reset: by a TCP reset; else politely, as an end of file.
        """
        if direction not in DIRECTIONS:
            raise ValueError(f"direction {direction!r}: neither up nor down")

        def set_limit() -> None:
            self.cut_with_reset = reset
            self._left[direction] = size

        self._call(set_limit)

    def stall(self) -> None:
        """Let nothing through, and say nothing to anybody, until :meth:`resume`."""
        self._call(self.flowing.clear)

    def resume(self) -> None:
        """Let everything through that :meth:`stall` held up."""
        self._call(self.flowing.set)

    def reset(self) -> None:
        """Break every open connection by a TCP reset; new ones are accepted."""
        self._call(self._reset_all)

    def _reset_all(self) -> None:
        for line in list(self._lines):
            line.close(reset=True)


def _over_stdio(line: socket.socket) -> None:
    """Carry stdin to ``line`` and what comes back to stdout, until the far end closes."""

    def send() -> None:
        while chunk := os.read(0, CHUNK):
            line.sendall(chunk)
        line.shutdown(socket.SHUT_WR)

    threading.Thread(target=send, daemon=True).start()
    while chunk := line.recv(CHUNK):
        view = memoryview(chunk)
        while view:
            view = view[os.write(1, view) :]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.proxy", description="A slow ProxyCommand.")
    parser.add_argument("--delay", type=float, default=0.0, metavar="MS", help="one-way delay")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    told = parser.parse_args()
    with DelayProxy(told.host, told.port, delay_ms=told.delay) as proxy:
        with socket.create_connection((proxy.host, proxy.port)) as line:
            _over_stdio(line)


if __name__ == "__main__":
    main()
