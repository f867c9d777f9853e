"""Processes as /proc tells them: who lives, whose child it is, whose token it carries; signals with identity checked.

A process is named by pid *and* start time (clock ticks since boot): a pid alone may be another's by now.
"""

import os

from . import files, system

MYPY = False
if MYPY:
    from typing import Iterable

TOKEN = b"SSHJOBS_TOKEN="


class Proc:
    """A process at the moment of a scan."""

    __slots__ = ("pid", "ppid", "session", "start", "state")

    def __init__(self, pid: int, ppid: int, state: str, start: int, session: int = 0):
        self.pid, self.ppid, self.state, self.start, self.session = pid, ppid, state, start, session

    @property
    def dead(self) -> bool:
        """True for a zombie: it runs no more and only waits for its parent."""
        return self.state in "ZXx"


def look(pid: int) -> "Proc | None":
    """Return the process of that pid, None where there is none.

    :raises OSError: that cannot be seen now: the process may be alive
    """
    try:
        text = system.stat_of(pid)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    # The name in parentheses may hold anything, parentheses and spaces included.
    fields = text[text.rfind(b")") + 2:].split()
    if len(fields) < 20:
        return None
    return Proc(pid, int(fields[1]), fields[0].decode("ascii"), int(fields[19]), int(fields[3]))


def lives(pid: int, start: int) -> bool:
    """True while that very process runs. A zombie does not run."""
    proc = look(pid)
    return proc is not None and proc.start == start and not proc.dead


def runs(pid: int) -> bool:
    """True while a child of ours that was not waited for yet runs."""
    proc = look(pid)
    return proc is not None and not proc.dead


def table() -> "dict[int, Proc]":
    """Return every process that can be seen, by pid."""
    found = {}
    for pid in system.pids():
        proc = look(pid)
        if proc is not None:
            found[pid] = proc
    return found


def children() -> "list[int]":
    """Return the pids of our children, including those not waited for. Fast on most kernels."""
    pid = system.getpid()
    try:
        return system.children_of(pid)
    except FileNotFoundError:
        return [proc.pid for proc in table().values() if proc.ppid == pid]


def descendants(found: "dict[int, Proc]", roots: "Iterable[int]") -> "list[Proc]":
    """Return all descendants of the roots in a scan, without the roots, parents before their children."""
    children: "dict[int, list[Proc]]" = {}
    for proc in found.values():
        children.setdefault(proc.ppid, []).append(proc)
    below: "list[Proc]" = []
    todo = list(roots)
    seen = set(todo)
    for pid in todo:
        for proc in children.get(pid, ()):
            if proc.pid not in seen:
                seen.add(proc.pid)
                todo.append(proc.pid)
                below.append(proc)
    return below


def holders(tokens: "Iterable[str]", found: "dict[int, Proc]") -> "list[Proc]":
    """Return the processes of a scan that carry one of the tokens in their environment."""
    marks = [b"\0" + TOKEN + token.encode("ascii") + b"\0" for token in tokens]
    holding = []
    for proc in found.values():
        if proc.dead:
            continue
        try:
            environ = b"\0" + system.environ_of(proc.pid) + b"\0"
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or another user's
            continue
        if any(mark in environ for mark in marks):
            holding.append(proc)
    return holding


def send(proc: Proc, number: int) -> bool:
    """Send a signal to that very process; False where it is gone or not ours to signal."""
    try:
        system.kill_exactly(proc.pid, number, lambda: _same(proc))
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _same(proc: Proc) -> bool:
    now = look(proc.pid)
    return now is not None and now.start == proc.start


def identity() -> str:
    """Return a text that changes with every boot and every restart of a container."""
    first = look(1)
    return "%s:%d:%d" % (boot_id(), pid_namespace(), first.start if first else 0)


def boot_id() -> str:
    """Return the kernel's random name for this boot, "" where it has none.

    :raises OSError: it cannot be read now
    """
    try:
        return files.contents("/proc/sys/kernel/random/boot_id").decode("ascii").strip()
    except (FileNotFoundError, PermissionError):
        return ""


def pid_namespace() -> int:
    """Return the inode of our pid namespace, 0 where there is none.

    :raises OSError: that cannot be seen now
    """
    try:
        return system.stat("/proc/self/ns/pid").st_ino
    except (FileNotFoundError, PermissionError):
        return 0


def reaped(pid: int) -> "int | None":
    """Reap a child if it has ended, and return its wait status; None while it runs, 0 if it is no child of ours."""
    try:
        found, status, _ = system.wait4(pid, os.WNOHANG)
        return status if found == pid else None
    except ChildProcessError:
        return 0
