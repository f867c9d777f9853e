"""The summary of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from sshjobs.model.states import STATE_BUSY, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.store.identity import ManagerIdentity

#: Final states of a run: nothing more happens unless a person wants it.
RUN_OVER = ("done", "failed", "cancelled")


class Summary(NamedTuple):
    """The summary of a run, of the same size for ten jobs and for a million.

    :ivar run: the run's name
    :ivar uid: 32 hex digits by which the hosts know it
    :ivar created: when it was made, seconds since the epoch
    :ivar state: as shown: running, unattended, interrupted, done, failed or cancelled (:func:`shown_state`)
    :ivar stored_state: as the last manager wrote it
    :ivar counts: how many jobs are in each state; every state is in it
    :ivar outcomes: how many jobs ended with each outcome; only those that occur
    :ivar epoch: number of the newest manager, 0 before the first
    :ivar manager: the newest manager
    :ivar until: when it left by itself; ``None`` while it works or when it was killed
    :ivar options: the options with which the run was started, and changes of people since
    :ivar commit: number of the newest commit that is in it
    """

    run: str
    uid: str
    created: float
    state: str
    stored_state: str
    counts: dict[str, int]
    outcomes: dict[str, int]
    epoch: int
    manager: ManagerIdentity | None
    until: float | None
    options: dict[str, Any]
    commit: int

    @property
    def total(self) -> int:
        """How many jobs the run has."""
        return sum(self.counts.values())

    @property
    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return self.counts[STATE_FREE] + self.counts[STATE_BUSY] + self.counts[STATE_UNKNOWN]

    def rule(self) -> dict[str, Any]:
        """Return what the event ``end`` says about the rule that ended the run; empty if none did."""
        rule = self.options.get("ended_by")
        return {} if rule is None else {"rule": rule}

    def after(self, counts: Mapping[str, int], outcomes: Mapping[str, int]) -> Summary:
        """Return the summary with these numbers added to its counts."""
        states = {state: number + counts.get(state, 0) for state, number in self.counts.items()}
        ended = Counter(self.outcomes)
        ended.update({str(outcome): number for outcome, number in outcomes.items()})
        return self._replace(counts=states, outcomes={outcome: number for outcome, number in ended.items() if number})

    @property
    def ending(self) -> str:
        """The state of the run when every job is over, from how they ended: done, failed or cancelled."""
        if self.counts[STATE_ERROR] == 0:
            return "done"
        return "cancelled" if set(self.outcomes) <= {Outcome.SUCCEEDED, Outcome.CANCELLED} else "failed"


def shown_state(stored: str, counts: dict[str, int], attended: bool, *, stays_open: bool = False) -> str:
    """Return the state of a run that users see.

    The state that its manager wrote last is right while the manager lives, and for good if it is ``done``, ``failed``
    or ``cancelled`` and every job has ended. Otherwise the manager has gone before the end: the run is ``unattended``
    while jobs may still run, and ``interrupted`` while jobs wait. If all jobs have ended, it is ``done`` or ``failed``.

    :param attended: its manager lives
    :param stays_open: more jobs may be added, so that the run is not over with the last one
    """
    over = not (counts[STATE_BUSY] or counts[STATE_UNKNOWN] or counts[STATE_FREE])
    if attended or (over and stored not in ("running", "interrupted")):
        return stored
    if counts[STATE_BUSY] or counts[STATE_UNKNOWN]:
        return "unattended"
    if counts[STATE_FREE] or stays_open:
        return "interrupted"
    return "failed" if counts[STATE_ERROR] else "done"
