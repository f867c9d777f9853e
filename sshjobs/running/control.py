"""The control socket: how another process talks to the manager of a run. One JSON object a line, each way.

A unix socket of mode 0600 in a directory that belongs to the user alone: a process that can open it may do what the
user may. The manager sends a greeting first. A client sends its request only after the greeting; if no answer comes
then, the request may or may not have been carried out.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sshjobs.errors import LocalError, SshjobsError, printable
from sshjobs.network.supervise import Failure, start_thread

Request = dict[str, Any]
#: The longest request or answer, in bytes: room for the jobs of a large jobfile.
MAX_LINE = 256 << 20
#: Seconds that either side waits for the next bytes of the other.
TIMEOUT = 30.0
#: Seconds that an answer may take.
ANSWER_TIMEOUT = 120.0
#: Seconds between two looks at whether the socket is still there.
LOOK_EVERY = 2.0
#: Seconds that open connections get to end when the server closes.
CLOSING = 2.0
#: Connections that may wait to be accepted.
BACKLOG = 128
#: The name of a run's socket, by its uid.
CONTROL_SOCKET = re.compile(r"run-[0-9a-f]{32}\.sock")
#: A runtime directory may have a path of so many bytes: with the names below it a socket's path has 103, which every
#: system allows.
LONGEST_RUNTIME = 103 - len(f"/sshjobs/run-{'0' * 32}.sock")
_LOG = logging.getLogger(__name__)
_GREETING = {"sshjobs": "run"}
_GONE = {"gone": True}


class ManagerGoneError(SshjobsError):
    """The manager is about to leave: it has not carried out the request, and will not."""


def socket_directory() -> Path:
    """Return the directory for sockets, which exists and belongs to the user alone: the first possible one.

    It is not in the run directory: a home may be on NFS, and a socket's path has at most 108 bytes.

    :raises LocalError: no directory is possible: another user owns it, others may write to it, or it cannot be made
    """
    why = ""
    for directory in _places():
        try:
            with contextlib.suppress(FileExistsError):
                directory.mkdir(mode=0o700, parents=directory.parent.name == ".sshjobs")
            if _is_ours(directory):
                return directory
            why = "it is not yours alone"
        except OSError as error:
            # For example the runtime directory of another user, after su.
            why = error.strerror or str(error)
    raise LocalError("there is no directory for sockets", where=str(directory), why=why,
                     hint="remove it, or set XDG_RUNTIME_DIR to a directory of yours with a short path", passing=False)


def _places() -> Iterator[Path]:
    """Yield where the directory for sockets may be: first where this process would make it, then where a process with
    another environment (cron, sudo, an ended login session) may have made it."""
    for runtime in (os.environ.get("XDG_RUNTIME_DIR"), f"/run/user/{os.getuid()}"):
        if runtime and os.path.isdir(runtime) and len(os.fsencode(runtime)) <= LONGEST_RUNTIME:
            yield Path(runtime) / "sshjobs"
    yield Path(f"/tmp/sshjobs-{os.getuid()}")
    # In /tmp another user may have taken the name; below the home nobody else can.
    with contextlib.suppress(RuntimeError):
        last = Path.home() / ".sshjobs"
        if len(os.fsencode(last)) <= LONGEST_RUNTIME:
            yield last / "sshjobs"


def _is_ours(directory: Path) -> bool:
    info = directory.lstat()
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid() and not info.st_mode & 0o077


def socket_directories() -> list[Path]:
    """Return the existing directories for sockets that belong to this user alone."""
    found = []
    for directory in dict.fromkeys(_places()):
        with contextlib.suppress(OSError):
            if _is_ours(directory):
                found.append(directory)
    return found


def socket_path(uid: str) -> Path:
    """Return the path of a run's control socket."""
    return socket_directory() / _name(uid)


def _name(uid: str) -> str:
    return f"run-{uid}.sock"


class ControlServer:
    """Answers requests in threads of its own.

    :param handle: answers one request; an :class:`SshjobsError` that it raises is sent to the client
    :param failed: called with the exception that a thread died of, so that the run ends instead of going deaf
    :raises LocalError: the socket cannot be made
    """

    def __init__(self, uid: str, handle: Callable[[Request], Request], failed: Failure):
        self._uid, self._handle, self._failed = uid, handle, failed
        self._closing = threading.Event()
        self._open, self._changed = 0, threading.Condition()
        self._bind()
        self._thread = start_thread("sshjobs-control", self._serve, failed)

    def _bind(self) -> None:
        path = socket_path(self._uid)
        if path.parent.parent.name == ".sshjobs":
            _LOG.warning("%s is not yours alone: requests to this run come by %s; have it removed",
                         printable(f"/tmp/sshjobs-{os.getuid()}"), printable(path.parent))
        try:
            with contextlib.suppress(FileNotFoundError):
                # By the store no other manager is alive, so the socket there is stale.
                path.unlink()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as error:
            raise LocalError.of(error, "the control socket cannot be made", where=str(path)) from error
        try:
            # Until then the directory keeps others out. A umask would apply to all threads.
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen(BACKLOG)
            listener.settimeout(LOOK_EVERY)
            inode = path.stat().st_ino
        except OSError as error:
            listener.close()
            raise LocalError.of(error, "the control socket cannot be made", where=str(path)) from error
        self._socket, self._path, self._inode = listener, path, inode

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                self._look_after()
            except OSError:
                # The socket was closed, or descriptors are short for a moment.
                self._closing.wait(0.1)
            else:
                self._take_up(connection)

    def _take_up(self, connection: socket.socket) -> None:
        with self._changed:
            self._open += 1
        try:
            start_thread("sshjobs-request", lambda: self._converse(connection), self._failed)
        except LocalError:
            # A client without a greeting has sent nothing, and tries again.
            self._hang_up(connection)

    def _look_after(self) -> None:
        """Make the socket again if it was removed: a login session's runtime directory vanishes with the session."""
        if not self._is_there():
            old = self._socket
            with contextlib.suppress(LocalError):
                self._bind()
                old.close()

    def _is_there(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def _converse(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(TIMEOUT)
            with contextlib.suppress(OSError), connection.makefile("rwb") as stream:
                _say(stream, _GREETING)
                line = stream.readline(MAX_LINE)
                if line:
                    _say(stream, self._answer(line))
        finally:
            self._hang_up(connection)

    def _hang_up(self, connection: socket.socket) -> None:
        connection.close()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _answer(self, line: bytes) -> Request:
        if len(line) >= MAX_LINE:
            return {"error": f"the request is too long: more than {MAX_LINE:,} bytes; make it two"}
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                return {"error": "a request must be a JSON object"}
            return self._handle(request)
        except ValueError:
            return {"error": "a request must be a line of JSON"}
        except ManagerGoneError:
            return _GONE
        except SshjobsError as error:
            return {"error": str(error), "code": error.exit_code}

    def close(self) -> None:
        """Accept no more connections, answer the requests of clients that got a greeting, and remove the socket."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, CLOSING)
        if self._is_there():
            # Unless it is a later manager's.
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()


def listens(uid: str) -> bool:
    """Return whether the manager of a run takes requests."""
    return any(_greeted(path) for path in _sockets(uid))


def _greeted(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        return _connect(connection, path) and bool(connection.recv(1))


def is_kept(path: Path) -> bool:
    """Return whether a process has a socket open, even if it is stopped and does not answer."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        try:
            return _connect(connection, path)
        except (OSError, SshjobsError):
            return True


def ask(uid: str, request: Request) -> Request | None:
    """Send a request to the manager of a run and return its answer; ``None`` if there is none, or it is leaving: then
    nothing was done.

    :raises SshjobsError: it refused, or did not answer in time
    """
    for path in _sockets(uid):
        answer = _ask(path, request)
        if answer is not None:
            return answer
    return None


def _sockets(uid: str) -> Iterator[Path]:
    for directory in socket_directories():
        yield directory / _name(uid)


def _connect(connection: socket.socket, path: Path) -> bool:
    connection.settimeout(TIMEOUT)
    deadline = time.monotonic() + TIMEOUT
    while True:
        try:
            connection.connect(str(path))
            return True
        except BlockingIOError:
            # Linux reports this when the queue of connections is full.
            if time.monotonic() > deadline:
                raise SshjobsError("the run's manager did not answer", where=str(path), hint="try again") from None
            time.sleep(0.02)
        except (FileNotFoundError, ConnectionRefusedError):
            return False


def _ask(path: Path, request: Request) -> Request | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        if not _connect(connection, path):
            return None
        with connection.makefile("rwb") as stream:
            try:
                greeted = bool(stream.readline(MAX_LINE))
            except ConnectionError:
                greeted = False
            except OSError as error:
                raise _silent(path, str(error)) from error
            if not greeted:
                return None
            try:
                _say(stream, request)
                connection.settimeout(ANSWER_TIMEOUT)
                answer = json.loads(stream.readline(MAX_LINE) or b"null")
            except (OSError, ValueError) as error:
                raise _silent(path, str(error)) from error
    if not isinstance(answer, dict):
        raise _silent(path, "it left")
    if "gone" in answer:
        return None
    if "error" in answer:
        failure = SshjobsError(str(answer["error"]))
        failure.exit_code = int(answer.get("code", failure.exit_code))
        raise failure
    return answer


def _silent(path: Path, why: str) -> SshjobsError:
    return SshjobsError("the run's manager did not answer", where=str(path), why=why,
                        hint="it may have done it: look at sshjobs status before you try again")


def _say(stream: BinaryIO | Any, message: Request) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()
