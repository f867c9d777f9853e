"""The calls of the shipped far side to its operating system (``sshjobs/gjob/system.py``), carried out on data.

Each is made by the process that runs at the moment. A process may die at each, or be told of an error.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

from sshjobs.gjob import system
from tests.sim.host import filecalls
from tests.sim.host.disk import Socket, error
from tests.sim.host.machine import USER
from tests.sim.host.process import Dead, Process, now
from tests.sim.host.sockets import PairedSocket, SimulatedSocket
from tests.sim.host.streams import (
    PIPE_SIZE,
    SOCKET_SIZE,
    Buffer,
    Listener,
    Open,
    Packets,
    PipeEnd,
    Poll,
    StreamSocket,
    Waited,
    sources,
)


class Child(NamedTuple):
    """What ``waitid`` tells."""

    si_pid: int
    si_code: int
    si_status: int


class Usage(NamedTuple):
    """What ``wait4`` tells of what a child took."""

    ru_utime: float = 0.0
    ru_stime: float = 0.0
    ru_maxrss: int = 1000


# -- streams -----------------------------------------------------------------------------------------------------------

def pipe() -> tuple[int, int]:
    process, buffer = now(), Buffer(PIPE_SIZE)
    return process.add(PipeEnd(buffer, None)), process.add(PipeEnd(None, buffer))


def socketpair() -> tuple[PairedSocket, PairedSocket]:
    process, there, back = now(), Buffer(SOCKET_SIZE), Buffer(SOCKET_SIZE)
    one, other = StreamSocket(back, there), StreamSocket(there, back)
    return PairedSocket(process.add(one)), PairedSocket(process.add(other))


def listen(path: str) -> SimulatedSocket:
    process = now()
    listener = Listener()
    process.machine.disk.add(path, None, lambda parent, ino, when: Socket(ino, 0o755, USER, when, listener))
    return SimulatedSocket(process.add(listener))


def connect(path: str, patience: float) -> SimulatedSocket:
    process = now()
    node = filecalls.node_of(process, path)
    if not isinstance(node, Socket) or node.listener.closed:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    ours, its = Packets.pair((process.pid, USER, USER), (0, USER, USER))
    number = process.add(ours)
    its.hold()
    node.listener.queue.append(its)
    node.listener.notify()
    sock = SimulatedSocket(number)
    sock.settimeout(patience)
    return sock


def accept(listening: SimulatedSocket) -> SimulatedSocket:
    process = now()
    file = process.file(listening.fileno())
    assert isinstance(file, Listener)
    found = process.patiently(file, lambda: file.queue.popleft() if file.queue else None)
    number = process.add(found)
    found.held -= 1
    return SimulatedSocket(number)


def poll() -> Poll:
    return _poll(0.001)


def epoll() -> Poll:
    return _poll(1.0)


def _poll(unit: float) -> Poll:
    now()
    found = Poll(_wait_for, unit)

    def lookup(file: Any) -> tuple[int, Open]:
        number = file if isinstance(file, int) else file.fileno()
        return number, now().file(number)
    found.lookup = lookup
    return found


def _wait_for(poll: Poll, timeout: float | None) -> list[tuple[int, int]]:
    process = now()
    process.enter("wait")
    machine = process.machine
    deadline = None if timeout is None else machine.world.now + timeout
    while not (found := poll.ready()):
        left = None if deadline is None else deadline - machine.world.now
        if left is not None and left <= 0:
            break
        waited: list[Waited] = [one for file, _ in poll.wanted.values() if file is not None for one in sources(file)]
        process.wait(waited, left)
        process.count_call()
    return found


def widen(number: int) -> bool:
    now().file(number)
    return False


def set_blocking(number: int, blocking: bool) -> None:
    now().file(number).blocking = blocking


def dup2(number: int, target: int) -> None:
    process = now()
    file = process.file(number).hold()
    process.close(target)
    process.files[target] = file


# -- processes and clocks ----------------------------------------------------------------------------------------------

def fork(child: Callable[[], int]) -> int:
    process = now()
    machine = process.machine
    made = machine.spawn({"front": "agent", "agent": "runner"}[process.kind], process)
    for number, file in process.files.items():
        made.files[number] = file.hold()

    def main() -> int:
        status = 1
        try:
            status = child()
        except (AssertionError, Dead):
            raise
        except Exception as failure:  # noqa: BLE001 (as the real one does)
            machine.watcher.on_failure(machine, made, failure)
        return status
    made.begin(main)
    return made.pid


def exit_(status: int) -> None:
    process = now()
    process.machine.end(process, status)
    process.vanish()


def note_failure() -> None:
    process, failure = now(), sys.exc_info()[1]
    if failure is not None and isinstance(failure, Exception):
        process.machine.watcher.on_failure(process.machine, process, failure)


def spawn(program: bytes, argv: list[bytes], env: dict[bytes, bytes], files: tuple[int, int, int],
          before: list[tuple[str, Any]]) -> int:
    process = now()
    opened = [process.file(number) for number in files]
    if process.kind == "agent":
        assert process.machine.cards is not None, "an agent starts nothing but the tool of the GPUs"
        return process.machine.cards.ask(process, opened).pid
    made = process.machine.start_job(process, env, opened)
    # It stands still until the program is loaded.
    process.wait([], process.machine.delay())
    process.count_call()
    return made.pid


def kill(pid: int, number: int) -> None:
    process = now()
    found = process.machine.processes.get(pid)
    if found is None:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
    process.machine.kill(found, number, process)


def kill_exactly(pid: int, number: int, same: Callable[[], bool]) -> None:
    if not same():
        raise ProcessLookupError(errno.ESRCH, "another process has that pid now")
    kill(pid, number)


def waitid(kind: int, which: int, options: int) -> Child | None:
    process = now()
    if not process.children:
        raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
    for child in process.children.values():
        if not child.alive:
            if child.signal is not None:
                return Child(child.pid, os.CLD_KILLED, child.signal)
            return Child(child.pid, os.CLD_EXITED, child.status or 0)
    return None


def wait4(pid: int, options: int) -> tuple[int, int, Usage]:
    process = now()
    child = process.children.get(pid)
    if child is None:
        raise ChildProcessError(errno.ECHILD, os.strerror(errno.ECHILD))
    if child.alive:
        assert options & os.WNOHANG, "nothing of ours waits so"
        return 0, 0, Usage()
    process.machine.reap(child)
    return pid, child.signal if child.signal is not None else (child.status or 0) << 8, Usage()


def pids() -> list[int]:
    return list(now().machine.processes)


def _process(pid: int) -> Process:
    found = now().machine.processes.get(pid)
    if found is None:
        raise error(errno.ENOENT, f"/proc/{pid}")
    return found


def stat_of(pid: int) -> bytes:
    found = _process(pid)
    parent = found.parent.pid if found.parent is not None else 0
    return b"%d (%s) %s %d %d %d%s %d 0" % (pid, found.kind.encode(), b"S" if found.alive else b"Z", parent,
                                            found.session, found.session, b" 0" * 15, found.start)


def environ_of(pid: int) -> bytes:
    return b"".join(b"%s=%s\0" % item for item in _process(pid).environ.items())


def children_of(pid: int) -> list[int]:
    return list(_process(pid).children)


def owner_of(pid: int) -> int:
    _process(pid)
    return USER


def getppid() -> int:
    parent = now().parent
    return parent.pid if parent is not None else 0


def setsid() -> None:
    process = now()
    process.session = process.pid


def adopt_orphans() -> bool:
    now().adopts = True
    return True


def heed_children(wake: int) -> None:
    now().wake_fd = wake


def environ() -> dict[bytes, bytes]:
    return dict(now().environ)


def sleep(seconds: float) -> None:
    now().wait([], seconds)
    now()


def not_here(*arguments: Any) -> None:
    """What no play needs.

    :raises AssertionError: one does
    """
    raise AssertionError(f"not simulated: {arguments}")


def nothing(*arguments: Any) -> None:
    """What makes no difference here."""
    now()


#: Every call by its name.
CALLS: dict[str, Callable[..., Any]] = {
    "open": filecalls.open_, "close": filecalls.close, "read": filecalls.read, "pread": filecalls.pread, "readv": filecalls.readv, "write": filecalls.write, "writev": filecalls.writev,
    "pwrite": filecalls.pwrite, "readlink": filecalls.readlink, "symlink": not_here, "mkfifo": not_here,
    "splice": not_here, "seek_end": filecalls.seek_end, "seek_data": filecalls.seek_data, "fill": filecalls.fill, "stat": filecalls.stat, "fstat": filecalls.fstat, "access": filecalls.access, "listdir": filecalls.listdir,
    "statvfs": filecalls.statvfs, "getxattr": filecalls.getxattr, "mkdir": filecalls.mkdir, "rmdir": filecalls.rmdir, "unlink": filecalls.unlink, "rename": filecalls.rename,
    "link": filecalls.link, "chmod": filecalls.chmod, "fchmod": filecalls.fchmod, "utime": filecalls.utime, "chdir": filecalls.chdir, "lock": filecalls.lock,
    "unlock": filecalls.unlock, "entries": filecalls.entries, "umask": lambda mask: mask if now() else mask, "owner_of": owner_of,
    "getpid": lambda: now().pid, "getppid": getppid, "getuid": lambda: USER if now() else USER, "environ": environ,
    "hostname": lambda: now().machine.name, "cores": lambda: now().machine.cores, "fork": fork, "exit": exit_,
    "setsid": setsid, "kill": kill, "kill_exactly": kill_exactly, "waitid": waitid, "wait4": wait4, "spawn": spawn,
    "ask": lambda argv, patience: b"" if now() else b"", "pids": pids, "stat_of": stat_of, "environ_of": environ_of,
    "children_of": children_of, "adopt_orphans": adopt_orphans, "open_limit": lambda: 1024 if now() else 0,
    "set_open_limit": nothing, "heed_children": heed_children, "signals_as_usual": nothing,
    "collect_garbage": nothing, "pipe": pipe,
    "socketpair": socketpair, "listen": listen, "connect": connect, "accept": accept, "poll": poll, "epoll": epoll,
    "widen": widen, "set_blocking": set_blocking, "dup2": dup2, "set_inheritable": nothing,
    "monotonic": lambda: now().machine.monotonic(), "time": lambda: now().machine.clock(),
    "localtime": time.gmtime,
    "boottime": lambda: now().machine.monotonic(), "sleep": sleep,
}
#: Where nothing can go wrong, and nothing is reached that others see.
_HARMLESS = ("getpid", "getppid", "getuid", "umask", "environ", "hostname", "cores", "monotonic", "time", "localtime", "boottime", "exit", "open_limit",
             "set_open_limit", "signals_as_usual", "heed_children", "poll", "epoll", "widen", "set_blocking", "sleep")


def _called(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a call as one at which something may happen."""
    if name in _HARMLESS:
        return call

    def called(*arguments: Any, **named: Any) -> Any:
        process = now()
        try:
            process.enter(name)
        except OSError:
            if name == "close":
                # Whatever the kernel says of it, the descriptor is free.
                call(*arguments)
            raise
        result = call(*arguments, **named)
        if process.machine.traps:
            process.machine.spring(process, name, after=True)
        return result
    return called


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Have the far side's code make its calls here."""
    calls = {name: _called(name, call) for name, call in CALLS.items()}
    calls["note_failure"] = note_failure
    with mock.patch.multiple(system, **calls):  # type: ignore[call-overload]
        yield
