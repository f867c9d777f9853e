"""Interrupts: what signals do to a run. The first Ctrl-C stops it politely, the second cancels what runs, the third
leaves; SIGTERM and SIGHUP leave at once.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from sshjobs.model.states import STATE_FREE
from sshjobs.running.runmanager import RunManager


class Interrupts:
    """The interrupts of one run, in the order in which they come.

    :ivar count: how many have come
    :ivar cancelled: one of them has cancelled what runs
    """

    def __init__(self, manager: RunManager):
        self._manager = manager
        self.count = 0
        self.cancelled = False

    def choose(self, number: int) -> Callable[[], None]:
        """Count a signal and return what the manager has to do. Called in the thread of :class:`Signals`."""
        self.count += 1
        act = self._stop_politely if self.count == 1 else self._cancel_launched
        if number != signal.SIGINT or self.count > 2:
            act = self._leave
        # While the sessions with the hosts are being ended nothing runs that could be stopped or cancelled.
        return lambda: self._hurry() if self._manager.closing else act()

    def post(self, act: Callable[[], None]) -> None:
        """Have the manager do what was chosen, in its own thread."""
        self._manager.post(act, signal=True)

    def _stop_politely(self) -> None:
        self._carry_out("stop")
        self._tell("launching nothing more, waiting for what runs; Ctrl-C again cancels it")

    def _cancel_launched(self) -> None:
        self._tell("cancelling what runs; Ctrl-C again leaves at once")
        self.cancelled = True
        self._carry_out("cancel", jobs=[job.name for job in self._manager.unfinished() if job.state != STATE_FREE])

    def _leave(self) -> None:
        self._carry_out("leave")
        self._tell("leaving; what was launched goes on, and is collected by: "
                   f"sshjobs resume {self._manager.paths.name}")

    def _hurry(self) -> None:
        self._manager.leave()
        self._tell("leaving at once; hosts are not waited for")

    def _carry_out(self, verb: str, **more: object) -> None:
        # No start waits for these: most runs are never interrupted.
        from sshjobs.running.requests import Target, carry_out

        carry_out({"do": verb, **more}, Target.of(self._manager))

    def _tell(self, reason: str) -> None:
        self._manager.listener({"event": "interrupt", "reason": reason})
