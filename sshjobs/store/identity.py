"""ManagerIdentity: which process works on a run, and whether it still does."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_DEAD_STATES = ("Z", "X", "x")


class ManagerIdentity(NamedTuple):
    """Identifies a process so that no later process can be mistaken for it.

    :ivar pid: its process id
    :ivar start_ticks: when it started, in clock ticks after boot; 0 where the system does not tell (macOS)
    :ivar boot_id: id of the boot and of the pid namespace that the pid counts in; empty where unknown
    :ivar hostname: name of its machine
    :ivar since: seconds since the epoch at which it took the run
    """

    pid: int
    start_ticks: int
    boot_id: str
    hostname: str
    since: float

    @classmethod
    def this_process(cls, since: float | None = None) -> ManagerIdentity:
        """Return the identity of the calling process.

        :param since: when it takes the run; ``None`` is now
        """
        pid = os.getpid()
        return cls(pid, _start_ticks(pid) or 0, _boot_id(), socket.gethostname(),
                   time.time() if since is None else since)

    def is_alive(self) -> bool:
        """Return whether the process may still be alive.

        False is a proof: there is no such process, the pid belongs to another one, or the machine was rebooted
        since. A process on another machine counts as alive, because nothing can be proved about it.
        """
        here = _boot_id()
        if self.hostname != socket.gethostname():
            # A laptop may change its hostname; the boot id tells that it is still this machine.
            if not here or self.boot_id != here:
                return True
        elif self.boot_id != here:
            return False
        if not self.start_ticks:
            return _answers(self.pid)
        return _start_ticks(self.pid) == self.start_ticks

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.hostname}, since {since}"


def _boot_id() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _start_ticks(pid: int) -> int | None:
    """Return when a living process started; ``None`` if there is none, or only a zombie."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The name, in parentheses, may hold anything; what follows its last parenthesis is numbers.
    fields = stat[stat.rindex(b")") + 1 :].decode("ascii").split()
    return None if fields[0] in _DEAD_STATES else int(fields[19])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
