"""Attempts that no runner of the agent looks after: their runner was killed, or belongs to an agent before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sshjobs.simulation.adoption import LOOK_INTERVAL, Adoption
from sshjobs.simulation.disk import Record
from sshjobs.simulation.history import Attempt, History
from sshjobs.simulation.machine import Machine, Process


class Foster:
    """Looks at them from time to time until each has ended.

    :param parent: the agent, to which their processes come when their runner dies
    :param ended: told of each attempt that has ended, with its end
    :ivar attempts: what is looked after, by uid
    :ivar reaped: processes that came to the agent and ended
    """

    def __init__(self, parent: Any, history: History, machine: Machine, ended: Callable[[Attempt, Record], None]):
        self._parent, self._history, self._machine, self._ended = parent, history, machine, ended
        self.attempts: dict[str, Adoption] = {}
        self.reaped: dict[int, Process] = {}
        self._looking = False

    def take(self, attempt: Attempt) -> None:
        """Look after an attempt from now on."""
        self.attempts[attempt.uid] = Adoption(attempt, self._history, self._machine, self._parent)
        if not self._looking:
            self._looking = True
            self._machine.world.at(0.0, self._look)

    def find_main(self, attempt: Attempt) -> None:
        """Find the main process of a job whose runner was killed before it could write down the pid."""
        records = self._history.records.get(attempt.uid, {})
        if "claim" in records and "start" not in records and "end" not in records:
            for process in self._machine.processes.values():
                if process.parent is self._parent and process.kind == "main" and process.uid == attempt.uid:
                    self._history.note_start(attempt.uid, process.pid, process.start)

    def _look(self) -> None:
        if not self._parent.alive:
            return
        watched = list(self.attempts.values())
        for one in watched:
            one.see_runner()
        self._history.refresh()
        for one in watched:
            end = one.look(self.reaped)
            if end is not None:
                self._ended(one.attempt, end)
        self._looking = bool(self.attempts)
        if self._looking:
            self._machine.world.at(LOOK_INTERVAL, self._look)
        else:
            self.reaped.clear()
        self._history.journal.retry(self._machine.world.now)
