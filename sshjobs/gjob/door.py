"""Where fronts find the agent of a run: a unix socket in a directory that only we can enter, and a lock beside it."""

import fcntl
import os
import select
import struct
import time

from . import wire
from .light import accept, socket
from .places import Unusable, own_directory

MYPY = False
if MYPY:
    from typing import Any, Callable

_BACKLOG = 16
_LARGEST_HELLO = 1 << 16
#: Seconds for the other side of the socket, which is on this machine.
PATIENCE = 10.0
#: What the agent says when it has taken a link.
TAKEN = b"T"


def runtime_directory() -> str:
    """Return the directory of sockets, made where it is missing.

    :raises Unusable: there is none that only we can enter
    """
    trouble = None
    for path in runtime_directories():
        try:
            own_directory(path)
            return path
        except OSError as error:
            trouble = trouble or Unusable("no-tmp", "%s: %s" % (path, error.strerror), "make /tmp writable")
        except Unusable as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def runtime_directories() -> "list[str]":
    """Return where the directory of sockets may be; the first that can be used is."""
    return ["%s/sshjobs-%d" % (parent, os.getuid()) for parent in ("/tmp", "/dev/shm")]


class Address:
    """Where the agent of one run and host is found."""

    def __init__(self, directory: str, run: str, host: str):
        self.directory = directory
        self.socket = "%s/%s-%s.sock" % (directory, run[:8], host[:8])
        self.lock = "%s/%s-%s.lock" % (directory, run[:8], host[:8])

    def take_lock(self, seconds: float) -> "int | None":
        """Return the lock, held while an agent is looked for, started or ended; ``None`` when others keep it."""
        deadline = time.monotonic() + seconds
        while True:
            fd = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(fd).st_ino == os.stat(self.lock).st_ino:
                    return fd
            except OSError:  # held, or removed between the two calls
                pass
            os.close(fd)
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.01)

    def connect(self) -> "socket.socket | None":
        """Return a connection to the agent, ``None`` where there is none."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(PATIENCE)
        try:
            sock.connect(self.socket)
        except OSError:
            sock.close()
            return None
        return sock

    def listen(self) -> "Door":
        """Return a new door in place of one whose agent is dead. The lock must be held."""
        try:
            os.unlink(self.socket)
        except FileNotFoundError:
            pass
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.bind(self.socket)
        sock.listen(_BACKLOG)
        return Door(self, sock)


def hand_over(sock: socket.socket, line: bytes, fds: "tuple[int, int]") -> bool:
    """Give the agent a hello and the connection's files; False when it did not take them."""
    try:
        sock.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("2i", *fds))])
        return sock.recv(1) == TAKEN
    except OSError:
        return False


class Door:
    """The agent's end of the socket."""

    def __init__(self, address: Address, sock: socket.socket):
        self._address, self._sock = address, sock

    def fileno(self) -> int:
        """File descriptor to wait on."""
        return self._sock.fileno()

    def accept(self) -> "tuple[dict[str, Any], int, int, socket.socket] | None":
        """Return who came, as (hello, to read from, to write to, the front); ``None`` if it was nobody proper."""
        try:
            front = accept(self._sock)
        except OSError:
            return None
        front.settimeout(PATIENCE)
        fds: "list[int]" = []
        try:
            if _peer(front) != os.getuid():
                raise wire.WireError("another user")
            line, ancillary, _, _ = front.recvmsg(_LARGEST_HELLO, socket.CMSG_SPACE(8))
            for level, kind, data in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds += struct.unpack("%di" % (len(data) // 4), data[:len(data) // 4 * 4])
            hello = wire.parse(line)
            wire.check(hello)
            if hello["t"] != "hello" or len(fds) != 2:
                raise wire.WireError("no hello")
            for fd in fds:
                os.set_inheritable(fd, False)
            front.send(TAKEN)
        except (OSError, wire.WireError):
            for fd in fds:
                os.close(fd)
            front.close()
            return None
        return hello, fds[0], fds[1], front

    def try_close(self) -> bool:
        """Remove the socket unless somebody is coming; True when it is removed. The lock stays until we exit."""
        lock = self._address.take_lock(0.0)
        if lock is None:
            return False
        if select.select([self._sock], [], [], 0)[0]:
            os.close(lock)
            return False
        self._remove()
        return True

    def close_and(self, clean: "Callable[[], int]") -> int:
        """Remove the socket and clean up while nobody can start another agent; return what ``clean`` does."""
        self._address.take_lock(PATIENCE)
        left = clean()
        self._remove()
        return left

    def _remove(self) -> None:
        for path in (self._address.socket, self._address.lock):
            try:
                os.unlink(path)
            except OSError:
                pass
        try:
            os.rmdir(self._address.directory)
        except OSError:  # other agents have theirs in it
            pass


def _peer(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])
