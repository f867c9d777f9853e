"""The front: the process of the remote command. It passes the connection to the agent of the run, and waits.

It writes the marker, finds the agent or starts it, and passes the hello and the connection's standard input and output
on. From then on it only keeps the connection open until the agent closes it.
"""

import os
import select

from .. import door, files, room, system, wire
from ..light import sha256, socket
from ..places import Places, Unusable, find, is_in_home
from ..values import to_bytes

MYPY = False
if MYPY:
    from typing import Any

_LONGEST_HELLO = 1 << 16
_TRIES = 5
_PAUSE = 0.1
#: What poll says of a file whose other end is closed; the last is POLLRDHUP, which Python 3.6 has no name for.
_CLOSED = select.POLLHUP | select.POLLERR | 0x2000


def main(nonce: str, hello: str = "", hurry: str = "") -> None:
    """Serve one connection on standard input and output; does not return.

    :param hello: the line of that frame; where it is empty it is read
    :param hurry: not empty: the manager has work for this host, so the agent is started before the manager's first
        frame comes. If the manager is gone by then, the agent notices, and removes what it has made
    """
    system.collect_garbage(False)  # while all is loaded
    _say(b"\nSSHJOBS-READY " + nonce.encode("ascii") + b"\n")
    line = hello.encode("ascii") or _read_line()
    if hello and not hurry and not _is_spoken_to():
        system.exit(0)
    # At once: an orderly exit of the interpreter would take longer than the rest.
    system.exit(_answer(line) if line else 0)


def _is_spoken_to() -> bool:
    """Wait until the manager has seen the marker and says something; False when it is gone, as its run is over.

    Nothing is made on this host before: a manager that was not waited for does not clean up either.
    """
    watch = system.poll()
    watch.register(0, select.POLLIN | 0x2000)
    if not watch.poll(0):
        try:
            from . import agent as agent
            from . import entry as entry
        except OSError:
            pass
    return any(events & select.POLLIN or not events & _CLOSED for _, events in watch.poll())


def _answer(line: bytes) -> int:
    """Do what the hello asks for; return the exit status."""
    try:
        hello = wire.parse(line)
        wire.check(hello)
        if hello["t"] != "hello":
            raise wire.WireError("%s before hello" % hello["t"])
        if hello["v"] != wire.VERSION:
            raise wire.WireError("hello: version %d, this is %d" % (hello["v"], wire.VERSION))
        return _serve(hello, line)
    except wire.WireError as error:
        _say(wire.encode({"t": "error", "msg": str(error)}))
    except Unusable as error:
        _say(wire.encode({"t": "refused", "kind": error.kind, "why": error.why, "hint": error.hint}))
    except OSError as error:
        _say(wire.encode({"t": "refused", "kind": "no-agent", "why": "the agent cannot be started: %s" % error,
                          "hint": "see that processes and files can be made there"}))
    return 1


def _serve(hello: "dict[str, Any]", line: bytes) -> int:
    host = sha256(to_bytes(hello["host"]))[:16]
    for _ in range(_TRIES):
        directory, notice = door.runtime_directory()
        address = door.Address(directory, hello["run"], host)
        lock = address.take_lock(door.PATIENCE)
        if lock is None:
            raise OSError("another login keeps %s" % address.lock)
        try:
            agent = address.connect() or _elsewhere(address, hello["run"], host)
            if agent is None:
                if _alone():
                    return 0
                places = find(hello["root"], hello["run"], host)
                if "batch" in hello and not is_in_home(places.root):
                    places.unmake()
                    raise Unusable("not-shared", "the home cannot be written, and no node sees %s" % places.root,
                                   "make the home writable")
                entrance = address.listen()
                entrance.notice = "; ".join(filter(None, (notice, places.notice))) or None
                _start(entrance, hello, places)
                agent = address.connect()
        finally:
            files.close_quietly(lock)
        if agent is not None and door.hand_over(agent, line, (0, 1)):
            agent.settimeout(None)
            _wait(agent)
            return 0
        # That agent was just about to exit: try again.
    raise OSError("it does not take the connection")


def _elsewhere(address: door.Address, run: str, host: str) -> "socket.socket | None":
    """Return a connection to an agent whose socket is in another of the possible directories."""
    for directory in door.own_directories():
        agent = door.Address(directory, run, host).connect() if directory != address.directory else None
        if agent is not None:
            return agent
    return None


def _start(entrance: door.Door, hello: "dict[str, Any]", places: Places) -> None:
    """Fork the agent. It closes its copies of this connection's files: else the connection would never end."""
    me = system.getpid()

    def child() -> int:
        system.setsid()
        system.chdir("/")
        null = system.open(os.devnull, os.O_RDWR)
        log = system.open(places.base + "/log", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        for target, fd in enumerate((null, null, log)):
            system.dup2(fd, target)
        from . import entry

        files.close_all_but([entrance.fileno()])
        system.signals_as_usual()
        return entry.main(entrance, hello, places, me)

    system.fork(child)
    # Close our copy: if the agent dies early, connecting to its socket must fail at once.
    entrance.leave_to_another()


def _alone() -> bool:
    """True when the manager that said hello is gone: nothing is to be made here for it."""
    watch = system.poll()
    watch.register(0, 0x2000)
    return any(events & _CLOSED for _, events in watch.poll(0))


def _wait(agent: socket.socket) -> None:
    try:
        while agent.recv(1):
            pass
    except OSError:  # it died
        pass


def _read_line() -> bytes:
    """Read up to a newline and not a byte further: what follows is for the agent."""
    line = b""
    while not line.endswith(b"\n"):
        byte = system.read(0, 1)
        if not byte or len(line) >= _LONGEST_HELLO:
            return b""
        line += byte
    return line


def _say(data: bytes) -> None:
    while data:
        try:
            data = data[system.write(1, data):]
        except OSError as error:
            if not room.passes(error):  # nobody reads; the end of standard input says so too
                return
            system.sleep(_PAUSE)
