"""The clock that a manager and its network go by: the system's, or that of a simulated world."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells and passes time, in seconds."""

    def monotonic(self) -> float:
        """Return a time that never goes back; only differences mean something."""

    def time(self) -> float:
        """Return the time since the epoch, for people: it may jump."""

    def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class SystemClock:
    """The clock of this machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


SYSTEM = SystemClock()
