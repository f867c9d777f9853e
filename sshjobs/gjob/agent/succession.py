"""The succession of agents: only the newest agent of a run may work, and it ends one that cannot be reached any more.

An agent is found by its socket. If that was deleted (an emptied /tmp, a /tmp of its own for each login), the old agent
cannot be reached, and the next link starts a new one. What the old one knows is on the disk, and its runners finish
their jobs, as after any kill of an agent.
"""

import os

from .. import files, journal, procs, system
from ..light import signal

MYPY = False
if MYPY:
    from ..places import Places

_ENDS_WITHIN, _PAUSE = 2.0, 0.005


def take_over(places: "Places") -> bool:
    """Become the only agent of the run; end another one. True if the one before did not sign off (:func:`leave`).

    :raises OSError: it cannot be told whether there is another
    """
    here, there = procs.identity(), _read(places)
    killed = there is not None and there[2] == here
    if there is not None and killed:
        _end(there[0], there[1])
    me = procs.look(system.getpid())
    record = b'{"k":"agent","pid":%d,"start":%d,"boot":"%s"%s}' % (
        system.getpid(), me.start if me is not None else 0, here.encode("ascii"), _allocation())
    try:
        fd = system.open(places.agent, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
        try:
            system.write(fd, journal.record(record))
        finally:
            files.close_quietly(fd)
    except OSError:  # a full disk: the next agent will not know of this one
        pass
    return killed


def _allocation() -> bytes:
    """Return which allocation of Slurm this is, and which node of it: with its end, what we have here is to go."""
    environ = system.environ()
    job, node = (environ.get(name, b"") for name in (b"SLURM_JOB_ID", b"SLURMD_NODENAME"))
    plain = node.replace(b"-", b"").replace(b".", b"").replace(b"_", b"")
    return b',"slurm":"%s %s"' % (job, node) if job.isdigit() and plain.isalnum() else b""


def leave(places: "Places") -> None:
    """Sign off: this agent leaves by itself."""
    try:
        system.unlink(places.agent)
    except OSError:
        pass


def _read(places: "Places") -> "tuple[int, int, str] | None":
    try:
        record = journal.parse(files.contents(places.agent).partition(b"\n")[0])
    except FileNotFoundError:
        return None
    try:
        return None if record is None else (int(record["pid"]), int(record["start"]), str(record["boot"]))
    except (KeyError, TypeError, ValueError):  # another version's
        return None


def _end(pid: int, start: int) -> None:
    """End an agent, unless it is gone or that pid is another's by now."""
    deadline = system.monotonic() + _ENDS_WITHIN
    proc = procs.look(pid)
    if proc is None or proc.start != start or proc.dead:
        return
    procs.send(proc, signal.SIGKILL)
    while procs.lives(pid, start) and system.monotonic() < deadline:
        system.sleep(_PAUSE)
