"""What other threads and signals want the manager to do: carried out in its own thread, also while it waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

Act = Callable[[], None]


class Inbox:
    """Acts in the order in which they came; those of signals before all others. Any thread may post."""

    def __init__(self) -> None:
        self._signals: deque[Act] = deque()
        self._requests: deque[Act] = deque()

    def post(self, act: Act, *, signal: bool = False) -> None:
        """Have something done.

        :param signal: it is of a signal, and is done also when nothing else is any more
        """
        (self._signals if signal else self._requests).append(act)

    def carry_out(self, *, signals_only: bool = False) -> None:
        """Do all that came. What an act raises is raised here."""
        while self._signals:
            self._signals.popleft()()
        while self._requests and not signals_only:
            self._requests.popleft()()
