"""Signals that stop a run. They have an effect within a second, even while the manager's thread is in a system call
that does not return, such as an ``fsync`` on a dead disk.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType

from sshjobs.errors import EXIT_INTERRUPTED, LocalError, printable
from sshjobs.network.supervise import Failure, start_thread
from sshjobs.store.rundir import RunPaths
from sshjobs.views.keyboard import put_back

#: Seconds that the manager's thread gets to act on a signal before a person is told what it waits for.
PATIENCE_S = 1.0
#: Seconds between two looks for a signal that the kernel keeps for a thread that cannot take it.
LOOK_EVERY_S = 0.5
#: What the manager's thread waits for, by the module of its innermost function of ours.
_ROOMS = (("sshjobs.store.", "store"), ("sshjobs.views.", "output"), ("sshjobs.cli.", "output"))


class Signals:
    """A context in which SIGINT, SIGTERM and SIGHUP are handled. The main thread of the process must enter it.

    A thread of its own receives the signals and lets the manager act. If the manager does not begin within a second, a
    line on standard error says what it waits for, and the next signal ends the process.

    :param choose: returns what the manager has to do after a signal. Called in that thread, in the order of the signals
    :param post: calls a function in the manager's thread
    :param failed: called with the exception that the thread died of
    """

    def __init__(self, paths: RunPaths, choose: Callable[[int], Callable[[], None]],
                 post: Callable[[Callable[[], None]], None], failed: Failure):
        self._paths, self._choose, self._post, self._failed = paths, choose, post, failed
        # After nohup the manager stays when the terminal closes; otherwise it leaves, and hosts go on.
        self._numbers = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                         if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
        self._main = threading.get_ident()
        #: How many functions were posted, and how many of them the manager has begun.
        self._posted = self._begun = 0
        self._since = 0.0
        self._told = False

    def __enter__(self) -> None:
        """:raises LocalError: no pipe or thread can be made"""
        try:
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._writing, False)
        except OSError as error:
            raise LocalError.of(error, "signals cannot be heard on this machine") from error
        self._thread = start_thread("sshjobs-signals", self._hear, self._failed)
        # The interpreter writes the number of a signal into the pipe at once, wherever the main thread is. It would
        # call a handler only when the main thread is back in Python code.
        self._pipe_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignore) for number in self._numbers}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._pipe_before)
        with contextlib.suppress(OSError):
            os.close(self._writing)
        # Wait for the thread, so that all signals so far have been handled.
        self._thread.join(PATIENCE_S)

    # -- in the thread -------------------------------------------------------------------------------------------

    def _hear(self) -> None:
        look = select.poll()
        look.register(self._reading, select.POLLIN)
        with contextlib.closing(os.fdopen(self._reading, "rb", buffering=0)) as pipe:
            while True:
                if look.poll(LOOK_EVERY_S * 1000):
                    numbers = pipe.read(64)
                    if not numbers:
                        return
                    for number in numbers:
                        self._take(number)
                elif hasattr(signal, "sigtimedwait"):
                    # The kernel gives signals to the main thread, which does not take them in a hanging system call.
                    while (waiting := signal.sigtimedwait(self._numbers, 0)) is not None:
                        self._take(waiting.si_signo)
                self._look()

    def _take(self, number: int) -> None:
        if number not in self._numbers:
            return
        if self._posted == self._begun:
            self._since, self._told = time.monotonic(), False
        elif self._told:
            self._end()
        act = self._choose(number)

        def begin() -> None:
            self._begun += 1
            act()

        self._posted += 1
        self._post(begin)

    def _look(self) -> None:
        if self._posted == self._begun or self._told or time.monotonic() - self._since < PATIENCE_S:
            return
        self._told = True
        # Writing to standard error may block, too.
        with contextlib.suppress(LocalError):
            line = f"sshjobs: {self._held_up()}\n".encode()
            start_thread("sshjobs-word", lambda: os.write(2, line), lambda error: None)

    def _held_up(self) -> str:
        match self._room():
            case "store":
                what = f"{self._paths.store}: the manager waits until this file is read or written"
            case "output":
                what = "standard output: the manager waits until what it prints is read"
            case _:
                what = f"{self._paths.root}: the manager has not come to this signal yet"
        return printable(f"{what}; once more ends it at once: what was launched goes on, and is collected by: "
                         f"sshjobs resume {self._paths.name}")

    def _room(self) -> str | None:
        frame: FrameType | None = sys._current_frames().get(self._main)
        while frame is not None:
            name = frame.f_globals.get("__name__", "")
            if name.startswith("sshjobs."):
                return next((room for prefix, room in _ROOMS if name.startswith(prefix)), None)
            frame = frame.f_back
        return None

    def _end(self) -> None:
        """End the process at once, like a crash, from which a resume recovers."""
        put_back()
        if os.isatty(1):
            with contextlib.suppress(OSError):
                os.set_blocking(1, False)
                # The live view has hidden the cursor.
                os.write(1, b"\x1b[?25h")
        os._exit(EXIT_INTERRUPTED)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the thread gets the signal by the pipe."""
