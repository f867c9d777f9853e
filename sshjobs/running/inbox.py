"""The inbox of a manager: functions that other threads and signals want it to call, in its own thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Act = Callable[[], None]


class Inbox:
    """Functions in the order in which they came, those of signals first. Any thread may post."""

    def __init__(self) -> None:
        self._signals: deque[Act] = deque()
        self._requests: deque[Act] = deque()

    def post(self, act: Act, *, signal: bool = False) -> None:
        """Add a function.

        :param signal: it comes from a signal, and is called even when others are not any more
        """
        (self._signals if signal else self._requests).append(act)

    def carry_out(self, *, signals_only: bool = False) -> None:
        """Call all functions that came. An exception of one is raised here."""
        while self._signals:
            self._signals.popleft()()
        while self._requests and not signals_only:
            self._requests.popleft()()
