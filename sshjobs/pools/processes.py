"""The processes of a worker: each calls the function for a part of a chunk. They die with the worker."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, cast

from sshjobs.pools.chunks import FAILED, RAISED, VALUES, carry_out

_PDEATHSIG = 1


class Processes:
    """So many processes, forked at once: later there may be threads.

    :param number: ``None`` is one for each core
    """

    def __init__(self, number: int | None = None):
        self._all = [_Process() for _ in range(number or len(os.sched_getaffinity(0)))]

    def carry_out(self, function: bytes, items: list[Any]) -> tuple[str, Any]:
        """Call a function for each item, and return kind and value of an answer.

        A process that dies of it is replaced, and the answer is that it failed.
        """
        at_a_time = -(-len(items) // len(self._all))
        parts = [items[at:at + at_a_time] for at in range(0, len(items), at_a_time)]
        asked = list(zip(self._all, parts, strict=False))
        for process, part in asked:
            process.ask(function, part)
        answers = {process: process.answer() for process in _as_they_come([process for process, _ in asked])}
        told: list[tuple[str, Any]] = [answers[process] for process, _ in asked]
        for wanted in (FAILED, RAISED):
            found = [answer for answer in told if answer[0] == wanted]
            if found:
                return found[0]
        return VALUES, [value for _, values in told for value in values]

    def close(self) -> None:
        """End all of them, whatever they do."""
        for process in self._all:
            process.end()


def _as_they_come(processes: list[_Process]) -> Iterator[_Process]:
    waiting = {process.connection: process for process in processes}
    while waiting:
        for ready in wait(list(waiting)):
            yield waiting.pop(cast("Connection", ready))


class _Process:
    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                self.connection.close()
                _serve(theirs, parent)
            finally:
                os._exit(0)
        theirs.close()

    def ask(self, function: bytes, items: list[Any]) -> None:
        data = pickle.dumps((function, pickle.dumps(items)))
        for again in (False, True):
            try:
                self.connection.send_bytes(data)
                return
            except OSError:  # it has died since the last one
                if again:
                    raise
                self.end()
                self._start()

    def answer(self) -> tuple[str, Any]:
        try:
            answer: tuple[str, Any] = pickle.loads(self.connection.recv_bytes())
            return answer
        except (EOFError, OSError):
            status = self.end()
            self._start()
            how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
            return FAILED, f"the process of the worker ended: {how}"

    def end(self) -> int:
        self.connection.close()
        with contextlib.suppress(ProcessLookupError):
            # One that has ended already keeps its status.
            os.kill(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]


def _serve(connection: Connection, parent: int) -> None:
    die_with_parent(parent)
    # Ctrl-C is for the worker, which ends us; what it does at a TERM is not for us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    known: tuple[bytes, Any] = b"", None
    while True:
        try:
            function, items = pickle.loads(connection.recv_bytes())
        except EOFError:
            return
        try:
            if function != known[0]:
                known = function, pickle.loads(function)
            answer = carry_out(known[1], pickle.loads(items))
        except Exception as error:  # noqa: BLE001  (what cannot be loaded here)
            answer = FAILED, f"it cannot be loaded: {type(error).__name__}: {error}"[:300]
        connection.send_bytes(_dumps(answer))


def _dumps(answer: tuple[str, Any]) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(answer))
    except Exception as error:  # noqa: BLE001  (results of any kind)
        line = f"TypeError: a result cannot be pickled: {error}"[:300]
        return pickle.dumps((RAISED, (None, line, line)))


def die_with_parent(parent: int) -> None:
    """Have the kernel end this process with its parent; at once where that is dead already."""
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)
