"""Expecting: when a run is expected to end, asked anew now and then in a thread, for a small part of a processor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

#: Seconds before the first question and between two of them at least; and the part of a processor that they may take.
FIRST_S, EVERY_S, SHARE = 3.0, 5.0, 0.01
#: In how many seconds a run will have ended half the time, and nine times in ten.
Left = tuple[float, float]


class Expecting:
    """Asks until it is closed.

    :param ask: may take a second; ``None``: nobody can know
    :param tell: takes each answer, in our thread
    """

    def __init__(self, ask: Callable[[], Left | None], tell: Callable[[Left | None], None]):
        self._ask, self._tell = ask, tell
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="sshjobs-expect", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def close(self) -> None:
        """Ask no more. A question that was asked already is not waited for: the run is over."""
        self._over.set()

    def _go_on(self) -> None:
        pause = FIRST_S
        while not self._over.wait(pause):
            before = time.thread_time()
            answer = self._ask()
            pause = max(EVERY_S, (time.thread_time() - before) / SHARE)
            if not self._over.is_set():
                self._tell(answer)
