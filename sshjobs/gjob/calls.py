"""Calls: jobs that are forked from a fork server, which has their program loaded already, instead of started anew.

A call is a launch whose ``argv`` names a Python program and its arguments, without an interpreter: it runs by the
Python that serves the host. Each runner has a fork server of its own: that program, started once with ``--serve``. For
every call it forks twice, and the process between ends at once, so that the call is a child of the runner. The runner
waits for it, keeps its timeout and ends what it leaves as it does for every job.

A call does nothing before it is told to go on, which comes when its start is in the journal: where its runner dies
before that, it ends, and has not run. So a fork server that does not answer may be given up, and the call started
without one.
"""

import os
import select
import struct
import sys

from . import files, procs, system
from .jobkeys import Start
from .light import dumps, signal, socket

MYPY = False
if MYPY:
    from typing import Callable

#: Seconds that a fork server gets to answer (it may be loading what a call needs), and between two looks whether the
#: answer is still wanted.
PATIENCE, LOOK_INTERVAL = 60.0, 0.2
#: Room in the socket for a whole request, so that sending does not block if the fork server was stopped.
_ROOM = 4 << 20
#: Variables of ours that differ from job to job.
_EACH = (b"SSHJOBS_JOB", b"SSHJOBS_ATTEMPT", b"SSHJOBS_INDEX", b"SSHJOBS_TOKEN", b"SSHJOBS_RESULT_FILE")
#: A placeholder in the environment of a fork server. Each call writes its token there, which marks its processes.
_ROOM_FOR_TOKEN = b"0" * 64
#: Whether the fork server loads the calls' functions itself. After one has died of that, each call loads its own.
_LOADS, _LOADS_NOT = b"load", b"bare"


def python() -> str:
    """Return this Python as the program that calls ask for: ``3.11``."""
    return "%d.%d" % sys.version_info[:2]


class ForkServer:
    """The fork server of one runner.

    :param null: descriptor of ``/dev/null``
    :param hurried: true once its answer is not worth waiting for: the job was cancelled, or its time is over
    :ivar pid: of the fork server; 0 where there is none
    """

    def __init__(self, null: int, hurried: "Callable[[], bool]"):
        self._null, self._hurried = null, hurried
        self.pid = 0
        self._sock: "socket.socket | None" = None
        self._environ: "dict[bytes, bytes]" = {}
        self._loads = _LOADS
        self._go = -1

    def start(self, start: Start, cwd: bytes, fds: "tuple[int, int, int]") -> int:
        """Have a call forked and return its pid; it waits for :meth:`go`. 0 where no fork server can do that.

        :param start: its words are the program's path, and its arguments
        """
        shared = {name: start.env[name] for name in start.env if name not in _EACH}
        if self._sock is not None and shared != self._environ:
            self.end()
        for _ in range(2):
            try:
                if self._sock is None:
                    self._begin(start.argv[0], shared)
                return self._ask(start, cwd, fds)
            except (OSError, ValueError):
                self.end()
                self._loads = _LOADS_NOT
        return 0

    def go(self) -> None:
        """Let the call that was forked last begin."""
        if self._go < 0:
            return
        try:
            system.write(self._go, b"g")
        except OSError:  # it is dead already
            pass
        files.close_quietly(self._go)
        self._go = -1

    def alone(self) -> bool:
        """True when we have no child but the fork server."""
        return self.pid != 0 and all(pid == self.pid for pid in procs.children())

    def reaped(self, pid: int) -> None:
        """Note that a child of ours has ended and was waited for."""
        if pid == self.pid:
            self.pid = 0
            self.end()

    def end(self) -> None:
        """End the fork server. Calls that it has forked go on."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self.pid:
            system.kill(self.pid, signal.SIGKILL)
            system.wait4(self.pid, 0)
            self.pid = 0

    def _begin(self, program: bytes, environ: "dict[bytes, bytes]") -> None:
        ours, its = system.socketpair()
        try:
            executable = os.fsencode(sys.executable)
            words = [executable, program, b"--serve", b"%d" % system.getpid(), self._loads]
            leader = system.spawn(executable, words, _with_room(environ), (its.fileno(), self._null, 2), [])
            its.close()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
            try:
                pid = self._number(ours)
            except (OSError, ValueError):
                system.kill(leader, signal.SIGKILL)
                raise
            finally:
                system.wait4(leader, 0)
            self._see_that_it_is_ours(pid)
        except (OSError, ValueError):
            ours.close()
            raise
        finally:
            its.close()
        self.pid, self._sock, self._environ = pid, ours, environ

    def _ask(self, start: Start, cwd: bytes, fds: "tuple[int, int, int]") -> int:
        assert self._sock is not None
        wait_for, go = system.pipe()
        try:
            text = dumps({"argv": [_text(word) for word in start.argv], "cwd": _text(cwd), "before": start.before,
                          "env": {_text(name): _text(start.env[name]) for name in start.env}}).encode("ascii")
            data = struct.pack("<I", len(text)) + text
            rights = struct.pack("4i", fds[0], fds[1], fds[2], wait_for)
            sent = self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            while sent < len(data):
                sent += self._sock.send(data[sent:])  # the fork server reads each request to its end
            pid = self._number(self._sock)
            self._see_that_it_is_ours(pid)
        except (OSError, ValueError):
            # If the call was forked after all, closing this ends it before it has done anything.
            files.close_quietly(go)
            raise
        finally:
            files.close_quietly(wait_for)
        self._go = go
        return pid

    def _number(self, sock: "socket.socket") -> int:
        """Return the number that the fork server sends as a line.

        :raises ValueError: it sends none, or something else
        """
        line, deadline, poll = b"", system.monotonic() + PATIENCE, system.poll()
        poll.register(sock, select.POLLIN)
        while not line.endswith(b"\n"):
            if not poll.poll(int(LOOK_INTERVAL * 1000)):
                if system.monotonic() >= deadline or self._hurried():
                    raise ValueError("the fork server does not answer")
                continue
            data = sock.recv(32)
            if not data or len(line) > 32:
                raise ValueError("the fork server is gone")
            line += data
        return int(line)

    def _see_that_it_is_ours(self, pid: int) -> None:
        proc = procs.look(pid)
        if proc is None or proc.ppid != system.getpid():
            raise ValueError("%d is no child of ours" % pid)


def _with_room(environ: "dict[bytes, bytes]") -> "dict[bytes, bytes]":
    environ = dict(environ)
    environ[b"SSHJOBS_TOKEN"] = _ROOM_FOR_TOKEN
    return environ


def _text(word: bytes) -> str:
    return word.decode("utf-8", "surrogateescape")
