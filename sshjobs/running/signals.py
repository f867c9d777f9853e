"""The signals that stop a run: heard within a second also while the manager's thread is in a call of the system that
does not return, such as an ``fsync`` on a disk that has died.
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
#: What the manager's thread waits for, by where its innermost function of ours is.
_ROOMS = (("sshjobs.store.", "store"), ("sshjobs.views.", "output"), ("sshjobs.cli.", "output"))


class Signals:
    """Hears SIGINT, SIGTERM and SIGHUP while it is entered, by the main thread of the process.

    A thread of its own takes them up and has the manager act. Where that does not come to it within a second, a line on
    standard error tells what it waits for, and the next signal ends the process.

    :param choose: returns what the manager is to do about a signal. Called in that thread, in the order of the signals
    :param post: has the manager's thread do something
    :param failed: called with what that thread died of
    """

    def __init__(self, paths: RunPaths, choose: Callable[[int], Callable[[], None]],
                 post: Callable[[Callable[[], None]], None], failed: Failure):
        self._paths, self._choose, self._post, self._failed = paths, choose, post, failed
        # Who started us with nohup wants us to stay when the terminal goes; else we leave and hosts go on.
        self._numbers = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
                         if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN]
        self._main = threading.get_ident()
        #: Acts that were posted, and how many of them the manager has come to.
        self._posted = self._begun = 0
        self._since = 0.0
        self._told = False

    def __enter__(self) -> None:
        """:raises LocalError: this machine has no room for that"""
        try:
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._writing, False)
        except OSError as error:
            raise LocalError.of(error, "signals cannot be heard on this machine") from error
        self._thread = start_thread("sshjobs-signals", self._hear, self._failed)
        # The interpreter writes the number of a signal into the pipe wherever the main thread is, and calls a handler
        # only when that is back in our code.
        self._pipe_before = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _ignore) for number in self._numbers}

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._pipe_before)
        with contextlib.suppress(OSError):
            os.close(self._writing)
        # What came is known when this returns.
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
                    # The kernel gives a signal to the main thread, which does not take it while a disk does not answer.
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
        # Standard error may not be read either.
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
        """End the process as a crash would, which is what the next manager is made for."""
        put_back()
        if os.isatty(1):
            with contextlib.suppress(OSError):
                os.set_blocking(1, False)
                # The live view hides it.
                os.write(1, b"\x1b[?25h")
        os._exit(EXIT_INTERRUPTED)


def _ignore(number: int, frame: FrameType | None) -> None:
    """The interpreter has told the thread."""
