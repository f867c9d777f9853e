"""Leases on a machine: the far side's own rules, its memory and its questions in the time of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sshjobs.gjob import wire
from sshjobs.gjob.lease import GRACE, Heard, Leases, words
from sshjobs.simulation.history import RUNNING, end_of
from sshjobs.simulation.machine import Machine

if TYPE_CHECKING:
    from sshjobs.simulation.agent import Agent


class SimHeard(Heard):
    """When a manager was last heard of, as every process of a machine can read it."""

    def __init__(self, machine: Machine):
        self._machine = machine
        self.at = machine.heard

    def refresh(self) -> None:
        self.at = self._machine.heard

    def note(self, at: float) -> OSError | None:
        self.at = self._machine.heard = max(self._machine.heard, at)
        return None

    def covers(self, lease: float) -> bool:
        return self.now() < self._machine.heard + lease

    def now(self) -> float:
        return self._machine.world.now


class Leasing:
    """What an agent does for leases, as ``crew.py`` and ``talk.py`` do it."""

    def __init__(self, agent: Agent, machine: Machine):
        self._agent, self._world = agent, machine.world
        self.leases = Leases(SimHeard(machine))
        #: Counts what the next question was set up for, so that only the newest is asked.
        self._turn = 0

    def add(self, uid: str, lease: float | None) -> None:
        """Take in an attempt."""
        if lease is not None:
            self.leases.add(uid, lease)
            self.ask()

    def first(self) -> str | None:
        """Return which attempt of the queue is to run next."""
        return next((uid for uid in self._agent.queue if self.leases.covers(uid)), None)

    def new_link(self) -> None:
        """Begin to ask over another link."""
        self.leases.new_link()
        self.ask()

    def ask(self) -> None:
        """Ask when it is time for that, and go on so."""
        self._turn += 1
        turn = self._turn

        def again() -> None:
            if turn != self._turn or not self._agent.alive or not self.leases:
                return
            asked = self.leases.ask(self._world.now)
            if asked is not None:
                self._agent.say(t="lease", at=asked)
            self._world.at(max(0.01, self.leases.ask_at - self._world.now), again)
        self._world.at(0.0, again)

    def answered(self, frame: dict[str, Any]) -> None:
        """A manager has answered."""
        at = frame["at"]
        if at > self._world.now:
            raise wire.WireError("lease: answered before it was asked")
        over, _ = self.leases.renew(at)
        for uid in over:
            lease = self.leases.of(uid) or 0.0
            attempt = self._agent.fence(uid)
            if attempt is not None:
                attempt.end = end_of(uid, "fenced", words(lease, started=False))
                self._agent.stream(uid)
            elif self._agent.attempts[uid].state == RUNNING:
                self._agent.cancel(uid, GRACE, "lease")
