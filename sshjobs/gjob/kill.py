"""Ending a tree of processes: TERM, some time, then KILL in rounds until nothing of it lives."""

from . import procs, system
from .light import signal

MYPY = False
if MYPY:
    from typing import Callable

    Members = Callable[[], "list[procs.Proc]"]

#: Processes that are alive so many seconds after the first KILL are reported as stuck.
STUCK_AFTER = 5.0
#: Seconds between two rounds of KILL: doubled each time. After _CALM_ROUNDS the tree is stopped before it is killed.
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.5
_CALM_ROUNDS = 2
_MOST_SCANS = 50
_CHASES = 200


class Killer:
    """Does what is due now and says when it wants to be called again; it never waits itself.

    :param members: scans for the living processes that are to end, including those of other users
    :param grace: seconds between TERM and KILL
    :param now: by the monotonic clock
    :param children: returns the children of this process without a scan; all of them are to end
    :param gently: with TERM first
    :param at_once: called before each round of KILL: ends what it can in one stroke
    """

    def __init__(self, members: "Members", grace: float, now: float,
                 children: "Callable[[], list[int]] | None" = None, gently: bool = True,
                 at_once: "Callable[[], None] | None" = None):
        self._members, self._children, self._at_once = members, children, at_once
        self._kill_at = now + grace
        self._next = now
        self._pause = FIRST_PAUSE
        self._rounds = 0
        self._asked = not gently
        #: Processes that are still alive although they were killed long ago; empty where there is none.
        self.stuck: "list[int]" = []

    def hurry(self, grace: float, now: float) -> None:
        """Let no more than ``grace`` seconds pass before KILL."""
        self._kill_at = min(self._kill_at, now + grace)
        if self._asked and not self._rounds:
            self._next = self._kill_at

    def act(self, now: float) -> float:
        """Send the signals that are due and return when to call again. The caller finds out whether anything lives."""
        if now < self._next:
            return self._next
        if not self._asked:
            for proc in self._members():
                procs.send(proc, signal.SIGTERM)
                procs.send(proc, signal.SIGCONT)
            self._asked = True
            self._next = self._kill_at
            if now < self._kill_at:
                return self._next
        self._kill()
        if now - self._kill_at >= STUCK_AFTER:
            self.stuck = sorted(proc.pid for proc in self._members())
        self._next = now + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        return self._next

    def _kill(self) -> None:
        self._rounds += 1
        if self._at_once is not None:
            self._at_once()
        if self._rounds > _CALM_ROUNDS:
            # It forks faster than it is killed: stop it first, for a stopped process does not fork.
            halt(self._members)
        members = self._members()
        for proc in members:
            procs.send(proc, signal.SIGKILL)
        if self._rounds > _CALM_ROUNDS:
            self._chase({proc.pid for proc in members})

    def _chase(self, hit: "set[int]") -> None:
        """Kill our children again and again: a process that forked and exited between two scans leaves us its child.

        A child that was not waited for keeps its pid, so no other process can be hit.
        """
        if self._children is None:
            return
        for _ in range(_CHASES):
            new = [pid for pid in self._children() if pid not in hit]
            if not new:
                return
            for pid in new:
                system.kill(pid, signal.SIGKILL)
            hit.update(new)


def halt(members: "Members") -> None:
    """Stop a whole tree, even one that forks meanwhile."""
    stopped: "set[tuple[int, int]]" = set()
    for _ in range(_MOST_SCANS):
        new = [proc for proc in members() if (proc.pid, proc.start) not in stopped]
        if not new:
            return
        for proc in new:
            procs.send(proc, signal.SIGSTOP)
            stopped.add((proc.pid, proc.start))


def go_on(members: "Members") -> None:
    """Let a stopped tree go on."""
    for proc in members():
        procs.send(proc, signal.SIGCONT)
