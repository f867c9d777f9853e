"""Sockets as the shipped far side has them: a number, by which each process finds its own."""

from __future__ import annotations

import struct
from typing import Any

from tests.sim.host.process import now
from tests.sim.host.streams import Packets, PipeEnd


class SimulatedSocket:
    """A socket of packets, with the methods of ``socket.socket`` that the far side uses."""

    def __init__(self, number: int):
        self._number = number
        self._patience: float | None = None
        self._blocking = True

    def fileno(self) -> int:
        """Its descriptor."""
        return self._number

    def close(self) -> None:
        """Let go of it. Another process may have it still, by the same object."""
        now().close(self._number)

    def settimeout(self, seconds: float | None) -> None:
        """Wait so long with each call."""
        self._patience = seconds

    def setblocking(self, blocking: bool) -> None:
        """Wait with no call."""
        self._blocking = blocking

    def setsockopt(self, *option: Any) -> None:
        """It has room enough."""

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        """Tell who has the other end."""
        file = now().file(self._number)
        assert isinstance(file, Packets)
        return struct.pack("3i", *file.credentials)

    def send(self, data: bytes) -> int:
        """Send a packet."""
        return self.sendmsg([data])

    def sendmsg(self, parts: list[bytes], ancillary: list[tuple[int, int, bytes]] | None = None) -> int:
        """Send a packet, with open files."""
        process = now()
        process.enter("send")
        file = process.file(self._number)
        assert isinstance(file, Packets)
        numbers = [number for _, _, data in ancillary or [] for number in struct.unpack(f"{len(data) // 4}i", data)]
        return file.send(b"".join(parts), [process.file(number) for number in numbers])

    def recv(self, size: int) -> bytes:
        """Return the next packet."""
        return self.recvmsg(size)[0]

    def recvmsg(self, size: int, room: int = 0) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        """Return the next packet, with open files."""
        process = now()
        process.enter("recv")
        file = process.file(self._number)
        assert isinstance(file, Packets)
        data, files = process.patiently(file, file.receive, blocking=self._blocking, patience=self._patience)
        numbers = []
        for one in files:
            numbers.append(process.add(one))
            one.held -= 1
        # As the kernel's: one message for all of them, SOL_SOCKET and SCM_RIGHTS.
        return data, [(1, 1, struct.pack(f"{len(numbers)}i", *numbers))] if numbers else [], 0, None


class PairedSocket(SimulatedSocket):
    """One end of a pair: a stream."""

    def _end(self) -> PipeEnd:
        process = now()
        file = process.file(self._number)
        assert isinstance(file, PipeEnd)
        return file

    def send(self, data: bytes) -> int:
        """Send some of it."""
        process = now()
        process.enter("send")
        end = self._end()
        count: int = process.patiently(end, lambda: end.write(data), blocking=self._blocking, patience=self._patience)
        return count

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            data = data[self.send(data):]

    def recv(self, size: int) -> bytes:
        """Return what is there."""
        process = now()
        process.enter("recv")
        end = self._end()
        data: bytes = process.patiently(end, lambda: end.read(size), blocking=self._blocking, patience=self._patience)
        return data

    def shutdown(self, how: int) -> None:
        """Send no more."""
        self._end().shut()
