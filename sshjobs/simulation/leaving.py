"""When an agent goes of itself: as ``sshjobs/gjob/agent/agent.py`` decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sshjobs.simulation.history import ENDED, History

if TYPE_CHECKING:
    from sshjobs.simulation.agent import Agent

#: Seconds without a link and without anything to do after which it goes; at once where nobody has spoken to it.
IDLE_EXIT = 60.0


class Leaving:
    """Belongs to one agent.

    :ivar used: it has forked a runner
    """

    def __init__(self, agent: Agent, history: History):
        self._agent, self._history = agent, history
        self.used = False
        self._turn = 0

    def consider(self, *, parted: bool = False) -> None:
        """Begin to count, where there is neither a link nor work; what has ended waits on the disk.

        :param parted: a link was lost just now
        """
        self._turn += 1
        turn, agent = self._turn, self._agent

        def leave() -> None:
            if turn == self._turn and agent.alive and not self._is_needed():
                if not self._history.journal.retry(agent.world.now):
                    self.consider()
                    return
                # What an earlier agent has left must be remembered.
                if self._is_unused():
                    agent.machine.disk.clear()
                    agent.world.point("agent.forgotten", agent.machine)
                agent.leave()
        if not self._is_needed():
            at_once = parted and not agent.spoken_to and self._is_unused()
            agent.world.at(0.0 if at_once else IDLE_EXIT, leave)

    def _is_unused(self) -> bool:
        return not self.used and not self._agent.attempts and not self._history.released

    def _is_needed(self) -> bool:
        return self._agent.linked or any(attempt.state != ENDED for attempt in self._agent.attempts.values())
