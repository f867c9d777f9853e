"""The live view of a run on a terminal: a block of lines that is drawn anew when something has changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rich.console import Console
from rich.live import Live as RichLive
from rich.text import Text

from sshjobs.errors import printable
from sshjobs.store.rundir import RunPaths
from sshjobs.views.base import Event, Output, View
from sshjobs.views.closing import closing, paths_of
from sshjobs.views.frame import Frame
from sshjobs.views.hostnews import HostNews
from sshjobs.views.progress import Progress
from sshjobs.views.wording import clock, receipt

#: Seconds between two drawings at least; and at most, so that clocks go on.
FASTEST, SLOWEST = 0.125, 1.0
#: The part of one processor that drawing may take.
_SHARE = 0.1
_STYLES = {"up": "green", "away": "magenta", "blocked": "red", "warn": "yellow", "stop": "bold yellow"}


class LiveView(View):
    """Keeps a block of lines up to date. What must not be missed is printed above it and stays there.

    Drawing happens in a thread of its own; taking an event costs next to nothing.

    :param handle: returns what to type for a run
    """

    def __init__(self, output: Output, *, handle: Callable[[RunPaths], str], console: Console | None = None):
        self._output, self._handle = output, handle
        self._console = console or Console(file=output.stream, highlight=False)
        self._progress, self._hosts = Progress(), HostNews()
        self._frame = Frame(self._progress)
        # Guards the progress, and everything that writes to the terminal.
        self._lock = threading.Lock()
        self._changed, self._over = threading.Event(), threading.Event()
        self._live: RichLive | None = None
        self._thread: threading.Thread | None = None
        self._lasting: list[Text] = []

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._progress.take(event)
            self._note(event)
        if event["event"] == "run":
            self._start()
        if event["event"] == "end":
            self.close()
            for line in closing(event, self._progress.elapsed(), self._handle(paths_of(event))):
                self._output.line(line)
        elif event["event"] != "wait":
            self._changed.set()

    def close(self) -> None:
        self._over.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _note(self, event: Event) -> None:
        """Put down what is to stay on the screen."""
        news = None
        if event["event"] in ("host", "warning"):
            news = self._hosts.line(event)
        elif event["event"] == "interrupt":
            news = "stop", event["reason"]
        elif event["event"] == "receipt":
            news = "left", "; ".join(line.strip() for line in receipt(event))
        if news is not None and (news[0] != "up" or "back" in news[1]):
            text = printable(f"{clock(time.time())} {news[0]:<7} {news[1]}")
            self._lasting.append(Text(text, style=_STYLES.get(news[0], "")))

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw_on, name="sshjobs-view", daemon=True)
            self._thread.start()

    def _draw_on(self) -> None:
        try:
            live = RichLive(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")
            with live:
                while not self._over.is_set():
                    spent = self._draw(live)
                    self._over.wait(max(FASTEST, spent / _SHARE))
                    self._changed.wait(SLOWEST)
                    self._changed.clear()
                self._draw(live)
        except (OSError, ValueError):
            # The terminal has gone; the run goes on without it.
            self._output.alive = False

    def _draw(self, live: RichLive) -> float:
        """Draw the block; return how long that took."""
        began = time.monotonic()
        width, height = self._console.size
        with self._lock:
            lasting, self._lasting = self._lasting, []
            # Two columns are left for the ^C that a terminal echoes: in a new line it would move the block.
            lines = self._frame.lines(width - 2, height - 1, ascii_only=self._console.options.ascii_only)
        for line in lasting:
            self._console.print(line)
        for line in lines:
            line.truncate(max(1, width - 2), overflow="ellipsis")
        block = Text("\n", no_wrap=True, overflow="ellipsis").join(lines)
        live.update(block, refresh=True)
        return time.monotonic() - began
