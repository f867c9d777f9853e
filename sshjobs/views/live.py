"""The live view of a run on a terminal: a block of lines that is redrawn when something has changed."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from rich.console import Console
from rich.text import Text

from sshjobs.errors import printable
from sshjobs.store.rundir import RunPaths
from sshjobs.views.base import Ask, Event, Output, View, paths_of
from sshjobs.views.block import Block
from sshjobs.views.expecting import Expecting, Left
from sshjobs.views.frame import Frame
from sshjobs.views.hostnews import HostNews
from sshjobs.views.keyboard import Guard, Keyboard
from sshjobs.views.progress import Progress
from sshjobs.views.steering import Steering
from sshjobs.views.wording import carried, clock, receipt, setup_text

#: Seconds between two drawings at least, but for what a key has changed; and at most, so that clocks go on.
FASTEST, SLOWEST = 0.5, 1.0
#: The part of one processor that drawing may take. With what :mod:`sshjobs.views.expecting` takes it is 3 %.
_SHARE = 0.02
#: Seconds between two looks whether to draw sooner.
_LOOK_S = 0.125
#: Seconds by which one wakes up late on a busy machine.
_LATE = 0.05
#: Seconds that the block gets to be erased before Ctrl-Z stops us.
_GIVES_WAY_S = 1.0
#: States of a run that is over.
ENDED = ("done", "failed", "cancelled")
_STYLES = {"up": "green", "away": "magenta", "closed": "magenta", "blocked": "red", "warn": "yellow",
           "stop": "bold yellow"}


class LiveView(View):
    """Keeps a block of lines up to date. What must not be missed is printed above it and stays there.

    Drawing happens in a thread of its own; taking an event costs next to nothing. Ctrl-Z gives the shell its terminal
    back as it was, and after ``fg`` the block begins below whatever stands there by then.

    :param handle: returns what to type for a run
    :param expect: returns in how many seconds a run is expected to end, half the time and nine times in ten; ``None``
        where nobody can know. It is called in a thread of its own
    """

    def __init__(self, output: Output, *, handle: Callable[[RunPaths], str], console: Console | None = None,
                 expect: Callable[[RunPaths], Left | None] | None = None):
        self._output, self._handle, self._expect = output, handle, expect
        self._expecting: Expecting | None = None
        # The terminal itself knows its size, also when that changes; exported, these would be it for good.
        environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self._console = console or Console(file=output.stream, highlight=False, _environ=environ)
        self._block = Block(self._console, output)
        self._progress, self._hosts = Progress(), HostNews()
        self._frame = Frame(self._progress)
        # Guards the progress. Signal handlers must not take it: they may have interrupted the code that has it.
        self._lock = threading.Lock()
        # A queue that signal handlers may put into, whatever they have interrupted.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._woken = False
        self._over = threading.Event()
        #: Ctrl-Z was pressed, and we have not gone on since; the block was erased for that; something else may have
        #: been written since the last drawing.
        self._stop_asked = self._gave_way = self._moved = False
        self._handlers: dict[int, Any] = {}
        self._thread: threading.Thread | None = None
        self._lasting: list[Text] = []
        self._guard: Guard | None = None
        self._keyboard: Keyboard | None = None
        self._steering: Steering | None = None
        self._soon = False

    def steer(self, ask: Ask, leave: Callable[[], object], *, paused: bool = False) -> None:
        """See :meth:`View.steer`. Without effect where our standard input is another thing than the terminal that is
        drawn on."""
        def go() -> None:
            self.left = True
            leave()

        with self._lock:
            self._progress.paused = paused
        self._steering = Steering(self._progress, self._lock, ask, go, self._at_once)
        self._keyboard = Keyboard.of(self._output, self._steering.press)
        if self._thread is not None and self._keyboard is not None:
            self._keyboard.start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.take(event)
            self._note(event)
        if event["event"] == "run":
            self._start(paths_of(event))
        if event["event"] == "end":
            self.close()
            if self.left and event["state"] not in ENDED:
                # Nothing ends here but the watching.
                return
            from sshjobs.views.closing import closing

            for line in closing(event, self._progress.elapsed(), self._handle(paths_of(event)),
                                screen=self._output.screen()):
                self._output.line(line)
        elif event["event"] != "wait":
            self._wake()

    def say(self, text: str) -> bool:
        """See :meth:`View.say`: the line stands above the block, and stays."""
        with self._lock:
            if self._over.is_set():
                return False
            self._lasting.append(Text(printable(text)))
        self._at_once()
        return True

    def close(self) -> None:
        with self._lock:
            self._over.set()
        self._wake()
        if self._expecting is not None:
            self._expecting.close()
            self._expecting = None
        if self._keyboard is not None:
            self._keyboard.close()
            self._keyboard = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._guard is not None:
            self._guard.close()
            self._guard = None
        for line in self._lasting:
            # From when the terminal was another program's.
            self._output.line(line.plain)
        self._lasting = []
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, event: Event) -> None:
        """Keep a line that is to be printed above the block, and to stay."""
        news = None
        if event["event"] in ("host", "warning"):
            news = self._hosts.line(event)
        elif event["event"] == "interrupt":
            news = "stop", event["reason"]
        elif event["event"] == "carried":
            news = "before", carried(event)
        elif event["event"] == "setup":
            news = "setup", setup_text(event)
        elif event["event"] == "receipt":
            news = "left", "; ".join(line.strip() for line in receipt(event))
        if news is not None and (news[0] != "up" or "back" in news[1]):
            text = printable(f"{clock(time.time())} {news[0]:<7} {news[1]}")
            self._lasting.append(Text(text, style=_STYLES.get(news[0], "")))

    # -- signals -------------------------------------------------------------------------------------------------

    def _start(self, paths: RunPaths) -> None:
        if self._thread is None:
            if self._expect is not None:
                self._expecting = Expecting(partial(self._expect, paths), self._note_expected)
                self._expecting.start()
            self._listen()
            self._guard = Guard(self._output.stream.fileno()) if self._output.stream.isatty() else None
            if self._keyboard is not None:
                self._keyboard.start()
            self._thread = threading.Thread(target=self._draw_on, name="sshjobs-view", daemon=True)
            self._thread.start()

    def _note_expected(self, left: Left | None) -> None:
        with self._lock:
            self._progress.expect(left)
        self._wake()

    def _listen(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number, handler in ((signal.SIGTSTP, self._be_stopped), (signal.SIGCONT, self._go_on),
                                (signal.SIGWINCH, self._go_on)):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, handler)

    def _be_stopped(self, number: int, frame: FrameType | None) -> None:
        """Stop as Ctrl-Z does, once the block is erased; returns when we were told to go on."""
        self._stop_asked = True
        self._wake()
        if self._keyboard is not None:
            self._keyboard.rest()
        deadline = time.monotonic() + _GIVES_WAY_S
        while not self._gave_way and self._is_drawn() and time.monotonic() < deadline:
            time.sleep(0.005)
        # The system's own action: it knows whether there is a shell that could have us go on again.
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._be_stopped)
        self._stop_asked = self._gave_way = False
        if self._keyboard is not None:
            self._keyboard.go_on()
        self._wake()

    def _is_drawn(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _go_on(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGCONT and not self._stop_asked:
            # Somebody else stopped us, while the block was on the screen.
            self._moved = True
            if self._keyboard is not None:
                self._keyboard.go_on()
        self._wake()

    def _wake(self) -> None:
        # Once is enough until somebody has looked.
        if not self._woken:
            self._woken = True
            self._wakes.put(None)

    def _at_once(self) -> None:
        self._soon = True
        self._wake()

    # -- drawing -------------------------------------------------------------------------------------------------

    def _draw_on(self) -> None:
        try:
            while not self._over.is_set():
                self._rest(max(FASTEST, self._draw() / _SHARE))
            self._draw()
            self._block.leave()
        except (OSError, ValueError):
            # The terminal has gone; the run goes on without it.
            self._output.alive = False

    def _rest(self, pause: float) -> None:
        """Return when there is something to draw.

        :param pause: seconds that it takes at least
        """
        began = time.monotonic()
        while (left := began + pause - time.monotonic()) > 0 and not self._hurries():
            self._over.wait(min(left, _LOOK_S))
        with contextlib.suppress(queue.Empty):
            self._wakes.get(timeout=SLOWEST)
            self._woken = False
        if time.monotonic() - began > pause + SLOWEST + _LATE:
            # It may be that we stood still: the main thread is to hear of that first.
            self._over.wait(_LATE)

    def _hurries(self) -> bool:
        return self._stop_asked or self._soon or self._over.is_set()

    def _draw(self) -> float:
        """Draw the block; return how long that took."""
        if self._stop_asked:
            self._block.leave()
            self._gave_way = True
            return 0.0
        if not self._output.in_front():
            self._moved = True
            return 0.0
        if self._moved:
            self._moved = False
            self._block.lose()
        began = time.monotonic()
        width, height = self._console.size
        self._soon = False
        foot = self._steering.line(max(1, width - 2)) if self._steering is not None and self._keyboard else None
        with self._lock:
            lasting, self._lasting = self._lasting, []
            # Two columns are left for the ^C that a terminal echoes: in a new line it would move the block.
            lines = self._frame.lines(max(1, width - 2), max(1, height - 1),
                                      ascii_only=self._console.options.ascii_only, foot=foot)
        for line in lines:
            line.truncate(max(1, width - 2), overflow="ellipsis")
        self._block.draw(lasting, lines, (width, height))
        return time.monotonic() - began
