"""Helpers: programs that tell something of this host, such as nvidia-smi. They run beside the agent, which never waits
for one: a driver may hang.
"""

import os

from .. import files, system
from ..light import signal


class Helpers:
    """The helpers of an agent that have not ended.

    :ivar pids: their pids; the code that reaps a child removes its pid
    """

    def __init__(self) -> None:
        self.pids: "set[int]" = set()

    def start(self, argv: "list[str]") -> "tuple[int, int]":
        """Start a program; return a pipe with what it prints, which never blocks, and its pid.

        :raises OSError: it cannot be started; nothing stays open
        :raises ValueError: no process can have such arguments
        """
        reading, writing = system.pipe()
        try:
            system.set_blocking(reading, False)
            nothing = system.open(os.devnull, os.O_RDWR)
            try:
                words = [os.fsencode(word) for word in argv]
                pid = system.spawn(words[0], words, system.environ(), (nothing, writing, nothing), [])
            finally:
                files.close_quietly(nothing)
        except (OSError, ValueError):
            files.close_quietly(reading)
            raise
        finally:
            files.close_quietly(writing)
        self.pids.add(pid)
        return reading, pid

    def end(self, pid: int) -> None:
        """Kill a helper that has not ended yet, with all that it started; it is reaped like every child."""
        for one in (-pid, pid) if pid in self.pids else ():  # it leads a process group
            try:
                system.kill(one, signal.SIGKILL)
            except OSError:
                pass

    def end_all(self) -> None:
        """Kill all helpers."""
        for pid in list(self.pids):
            self.end(pid)
