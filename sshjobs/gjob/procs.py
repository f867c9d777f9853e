"""Processes as /proc tells them: who lives, whose child it is, whose token it carries; signals with identity checked.

A process is named by pid *and* start time (clock ticks since boot): a pid alone may be another's by now.
"""

import os
import sys

from .light import signal

MYPY = False
if MYPY:
    from typing import Iterable

PR_SET_CHILD_SUBREAPER = 36
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
    """Return the process of that pid, None where there is none."""
    try:
        fd = os.open("/proc/%d/stat" % pid, os.O_RDONLY)
    except OSError:
        return None
    try:
        text = os.read(fd, 1024)
    except OSError:  # it went away in between
        return None
    finally:
        os.close(fd)
    # The name in parentheses may hold anything, parentheses and spaces included.
    fields = text[text.rfind(b")") + 2:].split()
    if len(fields) < 20:
        return None
    return Proc(pid, int(fields[1]), fields[0].decode("ascii"), int(fields[19]), int(fields[3]))


def lives(pid: int, start: int) -> bool:
    """True while that very process runs; a zombie does not."""
    proc = look(pid)
    return proc is not None and proc.start == start and not proc.dead


def runs(pid: int) -> bool:
    """True while a child of ours that was not waited for yet runs."""
    proc = look(pid)
    return proc is not None and not proc.dead


def table() -> "dict[int, Proc]":
    """Return every process that can be seen, by pid."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            proc = look(int(name))
            if proc is not None:
                found[proc.pid] = proc
    return found


def children() -> "list[int]":
    """Return the pids of our own children, those not waited for included; quick on most kernels."""
    pid = os.getpid()
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return [proc.pid for proc in table().values() if proc.ppid == pid]


def descendants(found: "dict[int, Proc]", roots: "Iterable[int]") -> "list[Proc]":
    """Return all below the roots in a scan, the roots themselves not, parents before their children."""
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
            with open("/proc/%d/environ" % proc.pid, "rb") as file:
                environ = b"\0" + file.read() + b"\0"
        except OSError:  # gone, or another user's
            continue
        if any(mark in environ for mark in marks):
            holding.append(proc)
    return holding


def send(proc: Proc, number: int) -> bool:
    """Send a signal to that very process; False where it is gone or not ours to signal."""
    pidfd_open = getattr(os, "pidfd_open", None)
    try:
        if pidfd_open is None:
            if not _same(proc):
                return False
            os.kill(proc.pid, number)
            return True
        fd = pidfd_open(proc.pid)
    except OSError as error:
        if pidfd_open is None or isinstance(error, (ProcessLookupError, PermissionError)):
            return False
        return _send_by_pid(proc, number)  # Python knows pidfds, the kernel does not
    try:
        if not _same(proc):
            return False
        getattr(signal, "pidfd_send_signal")(fd, number)  # noqa: B009  (not in Python 3.6)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _send_by_pid(proc: Proc, number: int) -> bool:
    try:
        if _same(proc):
            os.kill(proc.pid, number)
            return True
    except OSError:
        pass
    return False


def _same(proc: Proc) -> bool:
    now = look(proc.pid)
    return now is not None and now.start == proc.start


def become_subreaper() -> bool:
    """Have orphaned descendants become children of this process; False where that cannot be had."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
        return bool(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError, MemoryError):  # Python without ctypes, or libffi without memory
        return False


def identity() -> str:
    """Return what changes with every boot and every restart of a container."""
    first = look(1)
    return "%s:%d:%d" % (boot_id(), pid_namespace(), first.start if first else 0)


def boot_id() -> str:
    """Return the kernel's random name for this boot, "" where it has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Return the inode of our pid namespace, 0 where there is none."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def note_failure() -> None:
    """Write the exception that is being handled into the log, which is standard error."""
    import traceback

    traceback.print_exc()
    sys.stderr.flush()  # Python 3.6 keeps it otherwise, and we leave by os._exit


def close_all_but(keep: "Iterable[int]") -> None:
    """Close every file descriptor above 2 that is not to be kept."""
    wanted = set(keep)
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2 and fd not in wanted:
            try:
                os.close(fd)
            except OSError:  # the one that listed the directory
                pass
