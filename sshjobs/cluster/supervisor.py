"""Keeps a worker running: a worker that exits with 0 is not started again; after every other end it is. A worker whose
first end is a usage error is not started again either."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from sshjobs.errors import EXIT_USAGE

#: Exit status of a worker that was told to restart, glimpse-cluster's -1. It is started again at once.
RESTART_STATUS = 255
#: Pauses before a failed worker is started again, in seconds: the first, and the longest.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
#: After how many seconds of life a worker's next failure gets the first pause again.
STEADY_S = 60.0
#: How often in a row a worker may fail before it is given up.
MAX_FAILURES = 10
#: How many seconds a worker gets to end after it was asked to.
GRACE_S = 10.0

_PR_SET_PDEATHSIG = 1


class Supervisor:
    """One worker process and its successors.

    :param argv: the command that starts the worker
    :param say: called with one line for each end after which the worker is started again
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None,
                 say: Callable[[str], None] = lambda line: None):
        self._argv, self._env, self._say = list(argv), env, say
        self._ended = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Keep the worker running and return the exit code: 0 once it has quit, or was ended by a signal to this
        process; the last worker's status where it is given up. No worker is left running. To be called in the main
        thread.
        """
        before = {number: signal.signal(number, self._end) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            return self._run()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(self) -> int:
        failures, first = 0, True
        while True:
            began = time.monotonic()
            status = self._one_life()
            if status == 0 or self._ended.is_set():
                return 0
            steady = time.monotonic() - began >= STEADY_S
            if first and status == EXIT_USAGE and not steady:
                return EXIT_USAGE
            failures, first = 0 if steady else failures, False
            if status == RESTART_STATUS:
                self._say("the worker restarts")
                pause = 0.0
            else:
                failures += 1
                if failures > MAX_FAILURES:
                    self._say(f"the worker has failed {failures} times in a row and is given up; {_how(status)}")
                    return status if status > 0 else 1
                pause = min(FIRST_PAUSE_S * 2 ** (failures - 1), LONGEST_PAUSE_S)
                self._say(f"the worker has failed, {_how(status)}; it starts again in {pause:g} s")
            if self._ended.wait(pause):
                return 0

    def _one_life(self) -> int:
        """Start the worker, wait for its end, and return its status; negative is a signal."""
        parent = os.getpid()
        with subprocess.Popen(self._argv, env=self._env, stdin=subprocess.DEVNULL,
                              preexec_fn=lambda: _die_with(parent)) as process:
            self._process = process
            if self._ended.is_set():
                process.terminate()
            while True:
                try:
                    return process.wait(GRACE_S if self._ended.is_set() else None)
                except subprocess.TimeoutExpired:
                    process.kill()

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._ended.set()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies, however that dies (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def _how(status: int) -> str:
    return f"exit status {status}" if status > 0 else f"signal {-status}"
