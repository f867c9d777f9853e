"""Ticker: shows the state of a run on one line of a terminal. The line gives way to whatever else is printed."""

from __future__ import annotations

import time
from collections.abc import Callable

from sshjobs.errors import printable
from sshjobs.model.states import STATE_BUSY
from sshjobs.views.base import Event
from sshjobs.views.progress import Progress
from sshjobs.views.wording import count, counts, duration

#: After how many seconds the line is shown first: a quick run needs none.
PATIENCE = 0.5


class Ticker:
    """Shows ``2 done, 2 busy of 4 jobs, 12 s; waiting for uptime@h3 on h3``.

    :param write: writes text to the terminal at once
    :param width: returns the terminal's width in columns
    :param in_front: tells whether we have the terminal; in the background nothing is drawn
    """

    def __init__(self, write: Callable[[str], None], width: Callable[[], int],
                 in_front: Callable[[], bool] = lambda: True,
                 monotonic: Callable[[], float] = time.monotonic):
        self._write, self._width, self._in_front, self._monotonic = write, width, in_front, monotonic
        self._progress = Progress(monotonic)
        self._shown, self._over, self._at_line_start = False, False, True

    def take(self, event: Event) -> None:
        """Note an event."""
        self._progress.take(event)
        self._over = self._over or event["event"] == "end"

    def make_way(self, data: bytes) -> None:
        """Clear the line for bytes that are about to be printed."""
        self.clear()
        self._at_line_start = data.endswith(b"\n")

    def show(self) -> None:
        """Draw the line, unless something else is on it."""
        took = self._progress.elapsed()
        if self._over or took is None or took < PATIENCE or not self._at_line_start:
            return
        if not self._in_front():
            self._shown = False
            return
        text = f"{counts(self._progress.counts)} of {count(self._progress.total, 'job')}"
        text += f"{' on this machine' if list(self._progress.hosts) == ['localhost'] else ''}, {duration(took)}"
        if self._progress.counts[STATE_BUSY] or not self._progress.live:
            text += f"; {self._progress.waits_for()}"
        self._write(f"\r{printable(text)[: max(1, self._width() - 1)]}\x1b[K")
        self._shown = True

    def clear(self) -> None:
        """Erase the line."""
        if self._shown and self._in_front():
            self._write("\r\x1b[K")
            self._shown = False
