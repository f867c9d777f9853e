"""The agent's runners: one forked for each slot in use, given one launch at a time."""

import json
import os
import socket

MYPY = False
if MYPY:
    from typing import Any

    from .attempts import Attempt, History
    from .places import Places

#: Room in the socket to a runner: a launch fits in whole, so that the agent never waits.
_ROOM = 4 << 20


class Worker:
    """A runner, as the agent sees it.

    :ivar attempt: what it has now
    :ivar last: it exits after this attempt
    :ivar waiting: the agent waits for room to send it more
    """

    def __init__(self, pid: int, sock: socket.socket, slot: int, journal: str):
        self.pid, self.sock, self.slot, self.journal = pid, sock, slot, journal
        self.attempt: "Attempt | None" = None
        self.last = False
        self.waiting = False
        self._input = b""
        self._output = b""

    def give(self, line: bytes) -> bool:
        """Send a line; False when the runner is gone. What does not fit is sent by :meth:`flush`."""
        self._output += line
        return self.flush()

    def flush(self) -> bool:
        """Send what is left; False when the runner is gone."""
        try:
            while self._output:
                self._output = self._output[self.sock.send(self._output):]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    @property
    def full(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._output)

    def order(self, **frame: "Any") -> bool:
        """Send an order about its attempt."""
        return self.give(json.dumps(frame).encode("ascii") + b"\n")

    def listen(self) -> "tuple[list[bytes], bool]":
        """Return the lines that it sent, and whether it is still there."""
        try:
            data = self.sock.recv(1 << 16)
        except BlockingIOError:
            return [], True
        except OSError:
            data = b""
        lines = (self._input + data).split(b"\n")
        self._input = lines.pop()
        return lines, bool(data)


class Pool:
    """Runners by slot.

    :param slots: how many jobs may run at a time
    """

    def __init__(self, places: "Places", history: "History", run: str, host: str, slots: int):
        self._places, self._history = places, history
        self._run, self._host = run, host
        self._environ = dict(os.environb)
        self.slots = slots
        self.workers: "dict[int, Worker]" = {}
        self._idle: "list[Worker]" = []

    def free(self) -> bool:
        """True when one more job may run."""
        return self.busy() < self.slots

    def busy(self) -> int:
        """Return how many jobs runners of ours have."""
        return len(self.workers) - len(self._idle)

    def get(self) -> Worker:
        """Return a runner that has nothing to do, forked if there is none.

        :raises OSError: it cannot be forked
        """
        if self._idle:
            self._idle.sort(key=lambda worker: -worker.slot)
            return self._idle.pop()
        slot = 1
        while slot in self.workers:
            slot += 1
        worker = self._fork(slot)
        self.workers[slot] = worker
        return worker

    def done(self, worker: Worker) -> None:
        """Note that a runner has nothing to do any more. One too many is let go."""
        worker.attempt = None
        if worker.last or worker.slot > self.slots:
            worker.last = True
            if self.workers.pop(worker.slot, None) is worker:
                try:
                    worker.sock.shutdown(socket.SHUT_WR)
                except OSError:  # it is gone already
                    pass
        elif self.workers.get(worker.slot) is worker:
            self._idle.append(worker)

    def remove(self, worker: Worker) -> None:
        """Forget a runner that is gone."""
        worker.sock.close()
        if worker in self._idle:
            self._idle.remove(worker)
        if self.workers.get(worker.slot) is worker:
            del self.workers[worker.slot]

    def _fork(self, slot: int) -> Worker:
        from . import runner  # here, because subprocess takes its time to import and the welcome is to be early

        journal, path = self._history.new_journal()
        ours, its = socket.socketpair()
        try:
            pid = os.fork()
            if pid == 0:
                runner.main(its, journal, self._places, self._environ, self._run, self._host, slot)
        except OSError:
            ours.close()
            os.unlink(path)
            raise
        finally:
            os.close(journal)
            its.close()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
        return Worker(pid, ours, slot, path)
