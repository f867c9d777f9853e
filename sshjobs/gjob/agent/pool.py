"""The agent's runners: one forked for each slot in use, given one launch at a time."""

import errno

from .. import files, runner, system
from ..light import dumps, socket
from .facts import cores

MYPY = False
if MYPY:
    from typing import Any, Callable

    from ..places import Places
    from ..sharing.board import Hold
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
    :ivar hold: what is held on this host for what it does; it has that file open, too
    """

    def __init__(self, pid: int, sock: socket.socket, slot: int, journal: str, hold: "Hold | None" = None):
        self.pid, self.sock, self.slot, self.journal, self.hold = pid, sock, slot, journal, hold
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
    :param give_up: is given what is held for a runner that is gone
    """

    def __init__(self, places: "Places", history: "History", run: str, host: str, slots: "int | None",
                 give_up: "Callable[[Hold | None], None]"):
        self._places, self._history = places, history
        self._run, self._host, self._give_up = run, host, give_up
        self._environ = system.environ()
        #: How many files may be open here, and in the jobs where that was raised here.
        self._open_limit = system.open_limit()
        self._jobs_open_limit: "int | None" = None
        #: How many jobs may run at a time where nobody says; ``None``: one for each core.
        self.usual: "int | None" = None
        self._slots = slots or cores()
        self._workers: "dict[int, Worker]" = {}
        self._idle: "list[Worker]" = []
        #: By journal: how many attempts in it are not released yet.
        self._unreleased: "dict[str, int]" = {}
        self._closed: "set[str]" = set()

    def set_slots(self, slots: "int | None") -> None:
        """Have so many jobs run at a time from now on; ``None`` is one for each core."""
        self._slots = slots or self.usual or cores()

    @property
    def slots(self) -> int:
        """How many jobs may run at a time."""
        return self._slots

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

    def idle(self) -> "Worker | None":
        """Return a runner that has nothing to do."""
        if self._idle:
            self._idle.sort(key=lambda worker: -worker.slot)
            return self._idle[-1]
        return None

    def get(self, hold: "Hold | None") -> Worker:
        """Return a runner that has nothing to do, forked if there is none.

        :param hold: what is held for what it is to do; one that does not have that is ended
        :raises OSError: it cannot be forked
        """
        worker = self.idle()
        if worker is not None:
            self._idle.remove(worker)
            if worker.hold is hold:
                return worker
            self._dismiss(worker)
        slot = 1
        while slot in self._workers:
            slot += 1
        worker = self._fork(slot, hold)
        self._workers[slot] = worker
        return worker

    def assign(self, worker: Worker, attempt: "Attempt") -> None:
        """Give an attempt to a runner."""
        attempt.worker, worker.attempt = worker, attempt
        attempt.journal = worker.journal
        self._unreleased[worker.journal] = self._unreleased.get(worker.journal, 0) + 1
        worker.given += 1
        worker.ending = None
        if worker.hold is not None:
            worker.hold.idle = False
        # Its journal is deleted when it is gone and all in it is released, so none grows for ever.
        # What was held for GPUs is not to wait with it for a job that needs the very same.
        worker.last = attempt.keep or worker.given >= JOBS_PER_JOURNAL or bool(attempt.gpus)
        line, attempt.line = attempt.line, b""
        worker.give(line)

    def done(self, worker: Worker) -> None:
        """Note that a runner has nothing to do any more. One too many is ended."""
        if worker.attempt is not None:
            worker.attempt.worker = None
        worker.attempt = None
        if worker.hold is not None:
            worker.hold.idle = True
        if not worker.last and worker.slot <= self._slots:
            self._idle.append(worker)
            return
        self._dismiss(worker)

    def _dismiss(self, worker: Worker) -> None:
        """Let a runner exit that has nothing to do, and hold nothing for it."""
        del self._workers[worker.slot]
        self._let_go(worker)
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
        if worker.attempt is not None:
            # Its runner had it with us; now we have it alone, for as long as anything of the attempt lives.
            worker.attempt.hold, worker.hold = worker.hold, None
        self._let_go(worker)
        self._closed.add(worker.journal)
        self._drop_journal(worker.journal)

    def _let_go(self, worker: Worker) -> None:
        hold, worker.hold = worker.hold, None
        self._give_up(hold)

    def forget(self, attempt: "Attempt") -> None:
        """Note that an attempt is released."""
        if attempt.journal in self._unreleased:
            self._unreleased[attempt.journal] -= 1
            self._drop_journal(attempt.journal)

    def _drop_journal(self, path: str) -> None:
        if path in self._closed and not self._unreleased.get(path):
            self._unreleased.pop(path, None)
            _unlink(path)

    def _fork(self, slot: int, hold: "Hold | None") -> Worker:
        journal, path = self._history.new_journal()
        sockets: "list[socket.socket]" = []
        try:
            sockets += system.socketpair()
            ours, its = sockets
            self._see_to_reserve(ours.fileno())
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
            pid = system.fork(lambda: runner.main(its, journal, self._places, self._environ, self._jobs_open_limit,
                                                  (self._run, self._host, slot),
                                                  None if hold is None else (hold.fd, hold.path)))
            sockets.remove(ours)
        except (OSError, MemoryError):
            _unlink(path)
            raise
        finally:
            files.close_quietly(journal)
            for sock in sockets:
                sock.close()
        return Worker(pid, ours, slot, path, hold)

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
