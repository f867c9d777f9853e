"""TERM, then after a grace KILL until nothing is left: of one attempt, as often as it takes."""

from __future__ import annotations

from collections.abc import Callable

from sshjobs.simulation.machine import KILL, TERM, Machine, Process

_PAUSE = 0.1


class Killer:
    """Ends processes.

    :param members: returns those that live
    :param goes_on: whether whoever kills is still there to do it
    """

    def __init__(self, machine: Machine, uid: str, members: Callable[[], list[Process]], grace: float,
                 goes_on: Callable[[], bool]):
        self._machine, self._uid, self._members, self._goes_on = machine, uid, members, goes_on
        self._turn = 0
        self.hurry(grace)

    def hurry(self, grace: float) -> None:
        """Begin, or begin again with another grace."""
        self._turn += 1
        turn = self._turn
        self._machine.world.at(0.0, lambda: self._ask(turn))
        self._machine.world.at(grace, lambda: self._kill(turn))

    def _ask(self, turn: int) -> None:
        self._send(TERM, turn)

    def _kill(self, turn: int) -> None:
        if self._send(KILL, turn):
            self._machine.world.at(_PAUSE, lambda: self._kill(turn))

    def _send(self, signal: int, turn: int) -> bool:
        """Send a signal; tell whether there was anything to send it to."""
        if turn != self._turn or not self._goes_on():
            return False
        members = self._members()
        for process in members:
            self._machine.kill(process, signal, self._uid)
        return bool(members)
