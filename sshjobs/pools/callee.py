"""The program of a call, on the host: loads a function and its arguments, calls it, and writes what it returned.

It travels to hosts as ``__main__`` of an archive, with cloudpickle beside it, and imports nothing else of ours::

    python calls.pyz FUNCTION FORM ARGUMENTS one|each  (a call, started as any program)
    python calls.pyz --serve RUNNER load|bare          (a fork server that calls are forked from: sshjobs/gjob/calls.py)

FUNCTION is a file with a pickle. ARGUMENTS is the base64 of another one, or ``-`` where standard input has it, perhaps
followed by ``:`` and the names of files that hold large parts of it. It is the pair of positional and named arguments;
with ``each`` a list of tuples of arguments, and the value is the list of what the function returned for each. FORM is
``pickle`` or ``json``: what is written to standard output. What the function prints goes to standard error.

Standard output of FORM ``pickle`` is a line, ``sshjobs value``, ``sshjobs error`` or ``sshjobs unable``, and behind it
a pickle, of the last one text. Of ``json`` it is one JSON object with the key ``value`` or ``error``.

The exit status is 0 where the function returned, 1 where it did not.
"""

from __future__ import annotations

import base64
import gc
import json
import mmap
import os
import pickle
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

#: Exit statuses: the function has returned; it has not; its runner was killed before it could tell that it may begin.
RETURNED, RAISED, NEVER_BEGAN = 0, 1, 127
#: prctl's signal at the death of the parent; the name of the token in the environment, and the room that it has there.
_PDEATHSIG, _SIGKILL, _TOKEN, _ROOM = 1, 9, b"SSHJOBS_TOKEN", 64

#: What a fork server has loaded: the name of the file and the function in it.
Loaded = tuple[str, Any]


class UnableError(Exception):
    """The function cannot be called: it, or an argument, cannot be loaded here."""


def main(argv: list[str], loaded: Loaded | None = None) -> int:
    """Carry out a call and return its exit status."""
    # What the function prints, and what programs print that it starts, is not to get into its result.
    answer = os.dup(1)
    os.dup2(2, 1)
    function_file, form, arguments, number = argv
    # Modules that were sent along are found where the call works.
    sys.path.insert(1, os.getcwd())
    write = _write_json if form == "json" else _write_pickle
    try:
        value = _call(function_file, arguments, number == "each", loaded)
        text = write("value", value)
    except UnableError as error:
        text = write("unable", str(error))
    except BaseException as error:  # noqa: BLE001  (whatever it raised is its answer)
        traceback.print_exception(type(error), error, _below(error))
        text = write("error", error)
    _flush()
    view = memoryview(text)
    while view:
        view = view[os.write(answer, view):]
    os.close(answer)
    return RETURNED if text.startswith((b"sshjobs value", b'{"value"')) else RAISED


def _call(function_file: str, arguments: str, each: bool, loaded: Loaded | None) -> Any:
    try:
        if loaded is not None and loaded[0] == function_file:
            function = loaded[1]
        else:
            with open(function_file, "rb") as file:
                function = pickle.load(file)
        given = _arguments(arguments)
    except Exception as error:
        lines = traceback.format_exception_only(type(error), error)
        raise UnableError(lines[-1].strip()) from error
    if each:
        return [function(*args) for args in given]
    args, kwargs = given
    return function(*args, **kwargs)


def _arguments(text: str) -> Any:
    text, *names = text.split(":")
    data = sys.stdin.buffer.read() if text == "-" else base64.b64decode(text)
    buffers = []
    for name in names:
        with open(name, "rb") as file:
            # Not read before it is needed; what the function changes in it is its own.
            buffers.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    return pickle.loads(data, buffers=buffers)


def _below(error: BaseException) -> Any:
    """Return the traceback of an error without what is ours in it."""
    found = error.__traceback__
    for _ in range(2):
        found = found.tb_next if found is not None and found.tb_next is not None else found
    return found


def _text_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(type(error), error, _below(error)))


def _write_pickle(kind: str, value: Any) -> bytes:
    import cloudpickle

    if kind == "unable":
        return b"sshjobs unable\n" + pickle.dumps(value)
    if kind == "error":
        text = _text_of(value)
        return b"sshjobs error\n" + pickle.dumps((*_portable(value), text))
    return b"sshjobs value\n" + bytes(cloudpickle.dumps(value))


def _portable(error: BaseException) -> tuple[bytes | None, str]:
    """Return an exception as a pickle that can be loaded again, ``None`` where there is none, and in a line."""
    import cloudpickle

    line = traceback.format_exception_only(type(error), error)[-1].strip()
    try:
        error.__traceback__ = None
        data = bytes(cloudpickle.dumps(error))
        pickle.loads(data)
    except Exception:  # noqa: BLE001  (some cannot be)
        return None, line
    return data, line


def _write_json(kind: str, value: Any) -> bytes:
    if kind == "value":
        return json.dumps({"value": value}).encode("ascii") + b"\n"
    told: dict[str, Any] = {"unable": value} if kind == "unable" else {
        "type": type(value).__name__, "message": str(value), "traceback": _text_of(value)}
    return json.dumps({"error": told}).encode("ascii") + b"\n"


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # closed by the function, or no room: its answer is what counts
            pass


# -- the fork server -------------------------------------------------------------------------------------------------

class ForkServer:
    """Forks calls for one runner, whose socket is standard input."""

    def __init__(self, runner: int, loads: bool):
        leader = os.getpid()
        if os.fork():
            os._exit(0)
        # Not a leader of a session any more, as only the main processes of jobs are; and a child of the runner.
        while os.getppid() == leader:
            time.sleep(0.0005)
        self._token = _ask_to_die_with_parent()
        if os.getppid() != runner:
            os._exit(0)
        self._sock = socket.socket(fileno=0)
        self._loads = loads
        self._loaded: Loaded | None = None
        import cloudpickle  # noqa: F401  (every call needs it)

        gc.freeze()
        self._sock.sendall(b"%d\n" % os.getpid())

    def serve(self) -> int:
        """Fork calls until the runner hangs up."""
        while True:
            request, fds = self._receive()
            if request is None:
                return 0
            if self._loads:
                self._load(request)
            pid = self._fork(request, fds)
            for fd in fds:
                os.close(fd)
            self._sock.sendall(b"%d\n" % pid)

    def _receive(self) -> tuple[dict[str, Any] | None, list[int]]:
        data, ancillary, _, _ = self._sock.recvmsg(1 << 16, socket.CMSG_SPACE(16))
        fds = [fd for level, kind, body in ancillary if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
               for fd in struct.unpack(f"{len(body) // 4}i", body[:len(body) // 4 * 4])]
        while data and (len(data) < 4 or len(data) < 4 + struct.unpack_from("<I", data)[0]):
            more = self._sock.recv(1 << 16)
            if not more:
                return None, fds
            data += more
        return (json.loads(data[4:]) if data else None), fds

    def _fork(self, request: Mapping[str, Any], fds: list[int]) -> int:
        """Fork a call and return its pid. The process between is gone by then, so that the call is the runner's."""
        reading, writing = os.pipe()
        between = os.fork()
        if between:
            os.close(writing)
            os.waitpid(between, 0)
            pid = int(os.read(reading, 32) or 0)
            os.close(reading)
            return pid
        status = 1
        try:
            pid = os.fork()
            if pid:
                os.write(writing, b"%d" % pid)
                os._exit(0)
            os.close(reading)
            os.close(writing)
            status = self._be(request, fds)
            _end_as_python_does()
        except BaseException:  # noqa: BLE001  (nothing may leave: it would be a second fork server)
            traceback.print_exc()
        finally:
            os._exit(status)

    def _be(self, request: Mapping[str, Any], fds: list[int]) -> int:
        """Become the process of a call, and carry it out."""
        os.setsid()
        *files, go = fds
        for target, fd in enumerate(files):
            os.dup2(fd, target)
            os.close(fd)
        env = {_bytes(name): _bytes(value) for name, value in request["env"].items()}
        self._token(env.get(_TOKEN, b""))
        if os.read(go, 1) != b"g":
            os._exit(NEVER_BEGAN)
        os.close(go)
        for name, value in request["before"]:
            getattr(os, name)(value)
        os.chdir(_bytes(request["cwd"]))
        os.environb.clear()
        os.environb.update(env)
        _shake_dice()
        sys.argv = [os.fsdecode(_bytes(word)) for word in request["argv"]]
        return main(sys.argv[1:], self._loaded)

    def _load(self, request: Mapping[str, Any]) -> None:
        """Load the function of a call, for it and for those that follow it, with the modules that it needs."""
        name = os.path.join(_bytes(request["cwd"]), _bytes(request["argv"][1]))
        key = request["argv"][1]
        if self._loaded is not None and self._loaded[0] == key:
            return
        self._loaded = None
        sys.path.insert(1, os.fsdecode(_bytes(request["cwd"])))
        try:
            with open(name, "rb") as file:
                self._loaded = key, pickle.load(file)
        except BaseException:  # noqa: BLE001, S110  (a call that fails to load it says so)
            pass
        finally:
            del sys.path[1]
        gc.collect()
        gc.freeze()


def _ask_to_die_with_parent() -> Callable[[bytes], None]:
    """Have the kernel end this process with its parent. Return a function that writes a token into the environment as
    others see it, in ``/proc``: by that it is known whose process a call is, whatever becomes of its parents."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PDEATHSIG, _SIGKILL, 0, 0, 0)
    libc.getenv.restype = ctypes.c_void_p
    place = libc.getenv(_TOKEN)

    def write(token: bytes) -> None:
        if place and len(token) <= _ROOM:
            ctypes.memmove(place, token.ljust(_ROOM, b"\0"), _ROOM)

    return write


def _shake_dice() -> None:
    """Have random numbers differ from one call to the next, as they do in processes that are started anew."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _end_as_python_does() -> None:
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    _flush()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        sys.exit(ForkServer(int(sys.argv[2]), sys.argv[3] == "load").serve())
    sys.exit(main(sys.argv[1:]))
