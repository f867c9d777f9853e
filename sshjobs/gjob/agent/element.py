"""One element of a job array, on whichever node the scheduler starts it: it claims its job, and carries it out as any
runner does. What it writes lies where the agent on the login node reads it.

An element whose job is claimed already, because a submission came twice or the job was taken back, ends at once.
"""

import os

from .. import files, room, start, system, wire
from .. import journal as journal_
from ..light import loads, signal
from ..places import NEW, Places
from ..runner import Runner

MYPY = False
if MYPY:
    import socket
    from typing import Any

#: Exit statuses: the directory of the run is not to be seen from this node; something on it is in the way.
NOT_SHARED, IN_THE_WAY = 3, room.SHORT
_PIECE = 1 << 16
#: Seconds between TERM and KILL for a job that the scheduler ends.
GRACE_S = 5.0


def batch_file(base: str, tag: int) -> str:
    """Return the file that says which jobs are in a batch: a line about the run, then one for each job."""
    return "%s/a/%d.jobs" % (base, tag)


def journal_name(tag: int, index: int, serial: int, more: str) -> str:
    """Return how the journal of an element is called.

    :param serial: which submission of its batch it belongs to
    :param more: makes the name its own
    """
    return "e%d-%d-%d-%s.log" % (tag, index, serial, more)


def read_name(name: str) -> "tuple[int, int, int] | None":
    """Return batch, index and submission that the name of a journal tells; ``None`` for any other name."""
    parts = name[1:].split("-")
    if name[:1] != "e" or not name.endswith(".log") or len(parts) != 4 or not all(
            part.isdigit() and len(part) < 10 for part in parts[:3]):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def read_batch(base: str, tag: int) -> "tuple[dict[str, Any], list[bytes]]":
    """Return what a batch says of its run, and the launch of each of its jobs, as it came.

    :raises OSError: it cannot be read
    """
    lines = files.contents(batch_file(base, tag)).split(b"\n")
    found: "dict[str, Any]" = loads(lines[0].decode("ascii"))
    return found, lines[1:-1]


def main(base: str, tag: str, serial: str, index: str = "0") -> int:
    """Be an element; return its exit status: that of its job, where it had one.

    :param base: the run's directory
    :param tag: the batch; 0 is none: only whether this node sees the directory is to be told
    """
    system.signals_as_usual()
    if tag == "0":
        return _tell_seen(base)
    try:
        said, lines = read_batch(base, int(tag))
    except OSError as error:
        _say("%s cannot be read on %s: %s; the nodes have to share it" % (base, system.hostname(), error.strerror))
        return NOT_SHARED
    run = os.path.dirname(base)
    places = Places(os.path.dirname(run), os.path.basename(run), os.path.basename(base))
    # Of two that were submitted for one job each has a journal of its own.
    more = "%s.%d" % (system.hostname().replace("-", ".")[:60], system.getpid())
    path = "%s/%s" % (places.journals, journal_name(int(tag), int(index), int(serial), more))
    try:
        fd = system.open(path, NEW | os.O_APPEND, 0o600)
        ours, its = system.socketpair()
        starter = start.Starter(places, system.environ(), said["run"], said["host"], int(index) + 1)
        runner = Runner(its, journal_.Journal(fd), places, starter)
    except (OSError, MemoryError) as error:
        _say("nothing was begun on %s: %s" % (system.hostname(), error))
        return IN_THE_WAY
    launch = wire.parse(lines[int(index)])
    # The scheduler ends it: some only tell us, and all kill what is there a little later.
    signal.signal(signal.SIGTERM, lambda number, frame: runner.end_soon(launch["id"], GRACE_S, "closed"))
    runner.carry_out(launch)
    ours.setblocking(False)
    told = _told(ours)
    if told is None or told["t"] == "taken":
        files.unlink_quietly(path)
        return 0
    status, number = told.get("status"), told.get("signal")
    return int(status) if status is not None else 128 + int(number) if number is not None else 1


def _tell_seen(base: str) -> int:
    try:
        system.close(system.open(base + "/a/seen", NEW, 0o600))
    except FileExistsError:
        pass
    return 0


def _told(ours: "socket.socket") -> "dict[str, Any] | None":
    """Return the last word of the runner."""
    data = b""
    try:
        piece = ours.recv(_PIECE)
        while piece:
            data += piece
            piece = ours.recv(_PIECE)
    except OSError:  # that was all
        pass
    lines = data.split(b"\n")[:-1]
    return wire.parse(lines[-1]) if lines else None


def _say(text: str) -> None:
    system.write(2, ("sshjobs: %s\n" % text).encode("utf-8", "backslashreplace"))
