"""Processes as /proc shows them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process, read at one moment; it may be gone by the time it is looked at.

    ``pid`` is the number to send signals to from where the tests run, ``inner_pid`` the one that the
    process itself sees. ``start_time`` is in clock ticks since boot: pid and start time together name a
    process for good, a pid alone does not. ``state`` is the letter of ps: ``R``, ``S``, ``Z`` …
    """

    pid: int
    inner_pid: int
    parent: int
    start_time: int
    state: str
    argv: tuple[str, ...]
    environ: tuple[str, ...]

    def carries(self, token: str) -> bool:
        """Whether ``token`` stands in the environment or the arguments."""
        return any(token in text for text in (*self.environ, *self.argv))


def stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; the second may hold spaces and brackets."""
    text = (PROC / str(pid) / "stat").read_text(errors="replace")
    return text[text.rindex(")") + 2 :].split()


def start_time(pid: int) -> int | None:
    """Start of a process in clock ticks since boot, or None when there is no such process."""
    try:
        return int(stat_fields(pid)[19])
    except (OSError, ValueError, IndexError):
        return None


def kill_all(pids: Iterable[int]) -> None:
    """Kill processes. Some may end by themselves meanwhile, as a runner does whose agent is dead."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return stat_fields(pid)[0] not in "ZX"
    except OSError:
        return False


def _words(raw: bytes) -> tuple[str, ...]:
    return tuple(word.decode(errors="surrogateescape") for word in raw.split(b"\0") if word)


def _inner_pid(directory: Path, pid: int) -> int:
    for line in (directory / "status").read_text(errors="replace").splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return pid


def read_process(pid: int) -> Process | None:
    """What /proc tells of one process, or None when it is gone or may not be looked at."""
    directory = PROC / str(pid)
    try:
        fields = stat_fields(pid)
        argv = _words((directory / "cmdline").read_bytes())
        environ = _words((directory / "environ").read_bytes())
        inner = _inner_pid(directory, pid)
    except (OSError, ValueError):
        return None
    return Process(pid, inner, int(fields[1]), int(fields[19]), fields[0], argv, environ)


def all_pids() -> list[int]:
    """The pids of every process that this machine shows."""
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def in_namespace(pid_namespace: str) -> Iterator[Process]:
    """Every process, zombies too, of the pid namespace ``pid:[…]`` (as /proc/PID/ns/pid reads)."""
    for pid in all_pids():
        try:
            if os.readlink(PROC / str(pid) / "ns" / "pid") != pid_namespace:
                continue
        except OSError:
            continue
        process = read_process(pid)
        if process is not None:
            yield process


def children(pid: int) -> list[int]:
    """Direct children of a process; empty when it is gone."""
    found: list[int] = []
    for process in (read_process(other) for other in all_pids()):
        if process is not None and process.parent == pid:
            found.append(process.pid)
    return found
