"""Where a run stands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sshjobs.model.states import STATE_BUSY, STATE_ERROR, STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.store.identity import ManagerIdentity

#: States of a run in which nothing more happens unless a person wants it.
RUN_OVER = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Summary:
    """Where a run stands, in as few words as for a run of ten jobs.

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
    :ivar options: what the run was started with, and what people changed in that since
    :ivar commit: number of the newest commit that this is the state of
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
        """Return what an event ``end`` says of the rule that ended the run, where one did."""
        rule = self.options.get("ended_by")
        return {} if rule is None else {"rule": rule}

    def after(self, counts: Mapping[str, int], outcomes: Mapping[str, int]) -> Summary:
        """Return where the run stands when these are added to its counts."""
        states = {state: number + counts.get(state, 0) for state, number in self.counts.items()}
        ended = Counter(self.outcomes)
        ended.update({str(outcome): number for outcome, number in outcomes.items()})
        return replace(self, counts=states, outcomes={outcome: number for outcome, number in ended.items() if number})

    @property
    def ending(self) -> str:
        """The state of the run when every job is over, from how they ended: done, failed or cancelled."""
        if self.counts[STATE_ERROR] == 0:
            return "done"
        return "cancelled" if set(self.outcomes) <= {Outcome.SUCCEEDED, Outcome.CANCELLED} else "failed"


def shown_state(stored: str, counts: dict[str, int], attended: bool, *, stays_open: bool = False) -> str:
    """Return the state of a run that users see.

    What its manager wrote last holds while the manager lives, and for good once it is ``done``, ``failed`` or
    ``cancelled`` and every job has ended. Otherwise the manager is gone before the end: the run is ``unattended``
    while jobs may still run, ``interrupted`` while jobs wait; if all had ended, it is ``done`` or ``failed`` all the
    same.

    :param attended: its manager lives
    :param stays_open: more jobs are expected, so that it is not over with the last one
    """
    over = not (counts[STATE_BUSY] or counts[STATE_UNKNOWN] or counts[STATE_FREE])
    if attended or (over and stored not in ("running", "interrupted")):
        return stored
    if counts[STATE_BUSY] or counts[STATE_UNKNOWN]:
        return "unattended"
    if counts[STATE_FREE] or stays_open:
        return "interrupted"
    return "failed" if counts[STATE_ERROR] else "done"
