"""The agent's runners: one forked for each slot in use, given one launch at a time."""

import errno

from .. import files, system
from ..light import dumps, socket
from .facts import cores

MYPY = False
if MYPY:
    from typing import Any

    from ..places import Places
    from .attempts import Attempt, History

#: Room in the socket to a runner: a launch fits in whole, so that the agent never waits.
_ROOM = 4 << 20
#: A runner is replaced after so many jobs, which make about 2 MiB of journal.
JOBS_PER_JOURNAL = 4096
#: So many descriptors are left for a new link, for outputs and for looks at processes: without them nothing would end.
RESERVED = 16
_HUNG_UP = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN)


class Worker:
    """A runner, as the agent sees it.

    :ivar attempt: what it has now
    :ivar last: it exits after this attempt
    :ivar given: how many attempts it was given
    :ivar status: its wait status, once it has ended
    :ivar ending: with what grace its attempt is to be ended, and why; ``None`` where nobody has asked for that
    """

    def __init__(self, pid: int, sock: socket.socket, slot: int, journal: str):
        self.pid, self.sock, self.slot, self.journal = pid, sock, slot, journal
        self.attempt: "Attempt | None" = None
        self.last = False
        self.given = 0
        self.ending: "tuple[float, str] | None" = None
        self.status: "int | None" = None
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
        except OSError as error:
            return error.errno not in _HUNG_UP
        return True

    @property
    def full(self) -> bool:
        """True while something waits to be sent."""
        return bool(self._output)

    def order(self, **frame: "Any") -> bool:
        """Send an order about its attempt."""
        return self.give(dumps(frame).encode("ascii") + b"\n")

    def cancel(self, uid: str, grace: float, why: str) -> None:
        """Have its attempt ended. A runner that dies of something else meanwhile may not hear it."""
        self.ending = grace, why
        self.order(t="cancel", id=uid, grace=grace, why=why)

    def listen(self) -> "tuple[list[bytes], bool]":
        """Return the lines that it sent, and whether it is still there."""
        try:
            data = self.sock.recv(1 << 16)
        except OSError as error:
            if error.errno not in _HUNG_UP:
                return [], True
            data = b""
        lines = (self._input + data).split(b"\n")
        self._input = lines.pop()
        return lines, bool(data)


class Pool:
    """Runners by slot.

    :param slots: how many jobs may run at a time, ``None`` for one for each core
    """

    def __init__(self, places: "Places", history: "History", run: str, host: str, slots: "int | None"):
        self._places, self._history = places, history
        self._run, self._host = run, host
        self._environ = system.environ()
        #: How many files may be open here, and in the jobs where that was raised here.
        self._open_limit = system.open_limit()
        self._jobs_open_limit: "int | None" = None
        self._slots = slots or cores()
        self._workers: "dict[int, Worker]" = {}
        self._idle: "list[Worker]" = []
        #: By journal: how many attempts in it are not released yet.
        self._unreleased: "dict[str, int]" = {}
        self._closed: "set[str]" = set()

    def set_slots(self, slots: "int | None") -> None:
        """Have so many jobs run at a time from now on; ``None`` is one for each core."""
        self._slots = slots or cores()

    def free(self, adopted: int) -> bool:
        """True when one more job may run beside those of runners, and so many that have none any more."""
        return len(self._workers) - len(self._idle) + adopted < self._slots

    @property
    def busy(self) -> bool:
        """True when a runner has a job."""
        return len(self._workers) > len(self._idle)

    @property
    def unused(self) -> bool:
        """True when no runner was ever forked."""
        return not self._unreleased and not self._closed and not self._workers

    def get(self) -> Worker:
        """Return a runner that has nothing to do, forked if there is none.

        :raises OSError: it cannot be forked
        """
        if self._idle:
            self._idle.sort(key=lambda worker: -worker.slot)
            return self._idle.pop()
        slot = 1
        while slot in self._workers:
            slot += 1
        worker = self._fork(slot)
        self._workers[slot] = worker
        return worker

    def assign(self, worker: Worker, attempt: "Attempt") -> None:
        """Give an attempt to a runner."""
        attempt.worker, worker.attempt = worker, attempt
        attempt.journal = worker.journal
        self._unreleased[worker.journal] = self._unreleased.get(worker.journal, 0) + 1
        worker.given += 1
        worker.ending = None
        # Its journal is deleted when it is gone and all in it is released, so none grows for ever.
        worker.last = attempt.keep or worker.given >= JOBS_PER_JOURNAL
        line, attempt.line = attempt.line, b""
        worker.give(line)

    def done(self, worker: Worker) -> None:
        """Note that a runner has nothing to do any more. One too many is ended."""
        if worker.attempt is not None:
            worker.attempt.worker = None
        worker.attempt = None
        if not worker.last and worker.slot <= self._slots:
            self._idle.append(worker)
            return
        del self._workers[worker.slot]
        try:
            worker.sock.shutdown(socket.SHUT_WR)
        except OSError:  # it is gone already
            pass

    def remove(self, worker: Worker) -> None:
        """Forget a runner that is gone."""
        worker.sock.close()
        if worker in self._idle:
            self._idle.remove(worker)
        if self._workers.get(worker.slot) is worker:
            del self._workers[worker.slot]
        self._closed.add(worker.journal)
        self._drop_journal(worker.journal)

    def forget(self, attempt: "Attempt") -> None:
        """Note that an attempt is released."""
        if attempt.journal in self._unreleased:
            self._unreleased[attempt.journal] -= 1
            self._drop_journal(attempt.journal)

    def _drop_journal(self, path: str) -> None:
        if path in self._closed and not self._unreleased.get(path):
            self._unreleased.pop(path, None)
            _unlink(path)

    def _fork(self, slot: int) -> Worker:
        from .. import runner  # here, because subprocess takes its time to import and the welcome is to be early

        journal, path = self._history.new_journal()
        sockets: "list[socket.socket]" = []
        try:
            sockets += system.socketpair()
            ours, its = sockets
            self._see_to_reserve(ours.fileno())
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
            pid = system.fork(lambda: runner.main(its, journal, self._places, self._environ, self._jobs_open_limit,
                                                  (self._run, self._host, slot)))
            sockets.remove(ours)
        except (OSError, MemoryError):
            _unlink(path)
            raise
        finally:
            files.close_quietly(journal)
            for sock in sockets:
                sock.close()
        return Worker(pid, ours, slot, path)

    def _see_to_reserve(self, fd: int) -> None:
        """Raise the limit of open files where it is near, which each runner takes back for its jobs.

        :raises OSError: there are not enough descriptors for one more runner
        """
        if fd < self._open_limit // 2:
            return
        if self._jobs_open_limit is None:
            self._jobs_open_limit = self._open_limit
            system.set_open_limit(None)
            self._open_limit = system.open_limit()
        if fd >= self._open_limit - RESERVED:
            raise OSError(errno.EMFILE, "as many files are open as may be (ulimit -n)")


def _unlink(path: str) -> None:
    try:
        system.unlink(path)
    except OSError:
        pass
