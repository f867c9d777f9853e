"""Where fronts find the agent of a run: a unix socket in a directory that only we can enter, and a lock beside it."""

import errno
import os
import select

from . import files, room, system, wire
from .light import socket, struct
from .places import Unusable, is_own, own_directory, usual_roots

MYPY = False
if MYPY:
    from typing import Any, Callable

_LARGEST_HELLO = 1 << 16
#: Seconds for the other side of the socket, which is on this machine.
PATIENCE = 10.0
#: Bytes that the path of a socket may have.
_LONGEST_PATH = 107
#: What the agent says when it has taken a link.
TAKEN = b"T"


def runtime_directory() -> "tuple[str, str | None]":
    """Return the directory of sockets, made if it is missing, and a notice for the user or None.

    In /tmp another user may have taken our directory's name. That locks nobody out: there is a last choice below the
    home, where only we can make files.

    :raises Unusable: there is none that only we can enter
    """
    trouble = None
    for path in runtime_directories():
        try:
            if path == runtime_directories()[-1]:
                own_directory(os.path.dirname(path), follow=True)
            own_directory(path)
            notice = None
            if trouble is not None and trouble.planted:
                notice = "the agent's socket is in %s, because %s; %s" % (path, trouble.why, trouble.hint)
            return path, notice
        except OSError as error:
            trouble = trouble or Unusable("no-tmp", "%s: %s" % (path, error.strerror), "make /tmp writable")
        except Unusable as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def runtime_directories() -> "list[str]":
    """Return where the directory of sockets may be: the first usable one counts."""
    shared = ["%s/sshjobs-%d" % (parent, system.getuid()) for parent in ("/tmp", "/dev/shm")]
    return shared + [os.path.join(usual_roots()[0], "doors")]


def own_directories() -> "list[str]":
    """Return the directories of sockets that exist and that only we can write to."""
    return [path for path in runtime_directories() if is_own(path)]


class Address:
    """Where the agent of one run and host is found."""

    def __init__(self, directory: str, run: str, host: str):
        self.directory = directory
        self.socket = "%s/%s-%s.sock" % (directory, run[:8], host[:8])
        self.lock = "%s/%s-%s.lock" % (directory, run[:8], host[:8])

    def take_lock(self, seconds: float) -> "int | None":
        """Return the lock, held while an agent is looked for, started or ended; ``None`` when others keep it."""
        deadline = system.monotonic() + seconds
        while True:
            fd = system.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                system.lock(fd)
                if system.fstat(fd).st_ino == system.stat(self.lock).st_ino:
                    return fd
            except OSError:  # held, or removed between the two calls
                pass
            files.close_quietly(fd)
            if system.monotonic() >= deadline:
                return None
            system.sleep(0.01)

    def connect(self) -> "socket.socket | None":
        """Return a connection to the agent, ``None`` where there is none.

        :raises OSError: that cannot be told now: there may be one
        """
        try:
            return self._by_a_short_name(lambda path: system.connect(path, PATIENCE))
        except (FileNotFoundError, NotADirectoryError, ConnectionError):
            return None

    def _by_a_short_name(self, act: "Callable[[str], socket.socket]") -> "socket.socket":
        """Call ``act`` with a name for the socket that is short enough for the kernel, however long its path is."""
        if len(os.fsencode(self.socket)) <= _LONGEST_PATH:
            return act(self.socket)
        fd = system.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return act("/proc/self/fd/%d/%s" % (fd, os.path.basename(self.socket)))
        finally:
            files.close_quietly(fd)

    def listen(self) -> "Door":
        """Return a new door, in place of a dead agent's. The lock must be held."""
        try:
            system.unlink(self.socket)
        except FileNotFoundError:
            pass
        return Door(self, self._by_a_short_name(system.listen))


def hand_over(sock: socket.socket, line: bytes, fds: "tuple[int, int]") -> bool:
    """Give the agent a hello and the connection's files; False when it did not take them."""
    try:
        sock.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("2i", *fds))])
        return sock.recv(1) == TAKEN
    except OSError:
        return False


class Door:
    """The agent's end of the socket.

    :ivar notice: something that the user should know about the directories used here
    """

    def __init__(self, address: Address, sock: socket.socket):
        self._address, self._sock = address, sock
        self.notice: "str | None" = None

    def fileno(self) -> int:
        """File descriptor to wait on."""
        return self._sock.fileno()

    def accept(self) -> "tuple[dict[str, Any], int, int, socket.socket] | None":
        """Return a connection that a front brings, as (hello, to read from, to write to, the front); ``None`` if nobody
        came, or somebody else than a front of ours."""
        try:
            front = system.accept(self._sock)
        except OSError as error:
            if room.passes(error) and error.errno != errno.EAGAIN:
                raise  # the front stays in the queue and is accepted later
            return None
        front.settimeout(PATIENCE)
        fds: "list[int]" = []
        try:
            if _peer(front) != system.getuid():
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
                system.set_inheritable(fd, False)
            front.send(TAKEN)
        except (OSError, wire.WireError):
            for fd in fds:
                files.close_quietly(fd)
            front.close()
            return None
        return hello, fds[0], fds[1], front

    def leave_to_another(self) -> None:
        """Close our copy of the socket; another process has one."""
        self._sock.close()

    def try_close(self) -> bool:
        """Remove the socket unless a front is waiting; True when it is removed. The lock is held until we exit."""
        lock = self._address.take_lock(0.0)
        if lock is None:
            return False
        leaves = False
        try:
            coming = system.poll()
            coming.register(self._sock, select.POLLIN)
            leaves = not coming.poll(0)
        finally:
            if not leaves:  # we go on, and nobody could come to us while we have it
                files.close_quietly(lock)
        if leaves:
            self._remove()
        return leaves

    def close_and(self, clean: "Callable[[], int]") -> int:
        """Remove the socket and clean up while nobody can start another agent; return what ``clean`` does.

        Where that fails the door is as it was.
        """
        lock = self._address.take_lock(PATIENCE)
        try:
            left = clean()
        except BaseException:
            if lock is not None:
                files.close_quietly(lock)
            raise
        self._remove()
        return left

    def _remove(self) -> None:
        for path in (self._address.socket, self._address.lock):
            files.unlink_quietly(path)
        leave(self._address.directory)


def leave(directory: str) -> None:
    """Remove a directory of sockets if it is empty; below the home its parent, too."""
    for path in (directory, *([os.path.dirname(directory)] if directory == runtime_directories()[-1] else [])):
        try:
            system.rmdir(path)
        except OSError:
            return


def _peer(sock: socket.socket) -> int:
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int(struct.unpack("3i", credentials)[1])
