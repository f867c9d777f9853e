"""Which agent of a run is the one: the newest. It ends one that nobody can find any more.

An agent is found by its socket. A deleted socket (an empty /tmp, a /tmp of its own for each login) leaves an agent
that nobody reaches, and the next link brings a new one. What the old one knows is on the disk; as after any kill of an
agent, its runners see to what they have.
"""

import os

from .. import files, journal, procs, system
from ..light import signal

MYPY = False
if MYPY:
    from ..places import Places

_ENDS_WITHIN, _PAUSE = 2.0, 0.005


def take_over(places: "Places") -> bool:
    """Be the agent from now on, the only one; True where the one before did not leave by itself.

    :raises OSError: it cannot be told whether there is another
    """
    here, there = procs.identity(), _read(places)
    killed = there is not None and there[2] == here
    if there is not None and killed:
        _end(there[0], there[1])
    me = procs.look(system.getpid())
    record = b'{"k":"agent","pid":%d,"start":%d,"boot":"%s"}' % (
        system.getpid(), me.start if me is not None else 0, here.encode("ascii"))
    try:
        fd = system.open(places.agent, os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_WRONLY, 0o600)
        try:
            system.write(fd, journal.record(record))
        finally:
            files.close_quietly(fd)
    except OSError:  # no room: then the next one does not know of us
        pass
    return killed


def leave(places: "Places") -> None:
    """Be it no longer."""
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
