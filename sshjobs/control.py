"""The control socket: how another process talks to the manager of a run. One JSON object a line, each way.

A unix socket of mode 0600 in a directory that belongs to the user alone: whoever can open it may do what the user may.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sshjobs.errors import SshjobsError

Request = dict[str, Any]
#: Longest request or answer, in bytes.
MAX_LINE = 1 << 20
#: Seconds that either side waits for the other's line.
TIMEOUT = 30.0


def socket_directory() -> Path:
    """Return the directory for sockets, which exists and belongs to the user alone.

    Not in the run directory: a home may be on NFS, and a socket's path has 108 bytes at most.

    :raises SshjobsError: somebody else has made it, or others may write into it
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    directory = Path(runtime) / "sshjobs" if runtime and os.path.isdir(runtime) else Path(f"/tmp/sshjobs-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    info = directory.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid() or info.st_mode & 0o077:
        raise SshjobsError("the directory for sockets is not yours alone", where=str(directory),
                           hint="remove it, or set XDG_RUNTIME_DIR")
    return directory


def socket_path(uid: str) -> Path:
    """Return the path of a run's control socket."""
    return socket_directory() / f"run-{uid}.sock"


class ControlServer:
    """Answers requests in threads of its own.

    :param handle: answers one request; what it raises as :class:`SshjobsError` goes to the asker
    """

    def __init__(self, uid: str, handle: Callable[[Request], Request]):
        self._path, self._handle = socket_path(uid), handle
        with contextlib.suppress(FileNotFoundError):
            # The store's record of the manager has decided already that no other one is alive.
            self._path.unlink()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            self._socket.bind(str(self._path))
        finally:
            os.umask(old)
        self._socket.listen(16)
        self._thread = threading.Thread(target=self._serve, name="sshjobs-control", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT)
        with connection, contextlib.suppress(OSError), connection.makefile("rwb") as stream:
            line = stream.readline(MAX_LINE)
            try:
                request = json.loads(line)
                if not isinstance(request, dict):
                    raise SshjobsError("a request must be a JSON object")
                answer = self._handle(request)
            except ValueError:
                answer = {"error": "a request must be a line of JSON"}
            except SshjobsError as error:
                answer = {"error": str(error)}
            stream.write(json.dumps(answer).encode() + b"\n")

    def close(self) -> None:
        """Answer no more, and remove the socket."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


def ask(uid: str, request: Request) -> Request | None:
    """Ask the manager of a run; ``None`` where there is none.

    :raises SshjobsError: it refused, or did not answer in time
    """
    path = socket_path(uid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        try:
            with connection.makefile("rwb") as stream:
                stream.write(json.dumps(request).encode() + b"\n")
                stream.flush()
                answer = json.loads(stream.readline(MAX_LINE) or b"null")
        except (OSError, ValueError) as error:
            raise SshjobsError("the run's manager did not answer", where=str(path), why=str(error),
                               hint="try again") from error
    if not isinstance(answer, dict):
        return None
    if "error" in answer:
        raise SshjobsError(str(answer["error"]))
    return answer
