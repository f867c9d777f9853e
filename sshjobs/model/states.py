"""The five states of a job, the outcomes, and the allowed moves between states.

Imports nothing of ours. The store, the link and every view use these very strings.
"""

from __future__ import annotations

from enum import Enum

#: Waiting to be launched, or waiting to be launched again.
STATE_FREE = "free"
#: Launched (its intent is committed) and not yet over.
STATE_BUSY = "busy"
#: Over, and it succeeded.
STATE_DONE = "done"
#: Launched, but its host cannot be asked at the moment. Never means failure.
STATE_UNKNOWN = "unknown"
#: Over, in any other way than success.
STATE_ERROR = "error"

#: Every state, in the seed's order.
STATES = [STATE_FREE, STATE_BUSY, STATE_DONE, STATE_UNKNOWN, STATE_ERROR]

#: The states that a job never leaves by itself (``retry`` is a person's act).
FINAL_STATES = frozenset((STATE_DONE, STATE_ERROR))


class Outcome(str, Enum):
    """Why a job or an attempt ended. A job that has not ended has no outcome (``None``)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    NEVER_STARTED = "never_started"
    LOST = "lost"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    def __str__(self) -> str:
        return self.value


#: Outcomes that are nobody's fault: retried by default, up to ``host_retries`` times.
HOST_OUTCOMES = frozenset((Outcome.LOST, Outcome.NEVER_STARTED))

#: A job's own outcomes: retried only by its ``retries``.
JOB_OUTCOMES = frozenset((Outcome.FAILED, Outcome.SIGNALLED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY))

#: The allowed moves of a job: by state, the states that may follow it.
MOVES: dict[str, frozenset[str]] = {
    STATE_FREE: frozenset((STATE_BUSY, STATE_ERROR)),
    STATE_BUSY: frozenset((STATE_FREE, STATE_DONE, STATE_UNKNOWN, STATE_ERROR)),
    STATE_UNKNOWN: frozenset((STATE_FREE, STATE_BUSY, STATE_DONE, STATE_ERROR)),
    STATE_DONE: frozenset(),
    STATE_ERROR: frozenset((STATE_FREE,)),
}


def state_for(outcome: Outcome) -> str:
    """Return the final state that belongs to an outcome."""
    return STATE_DONE if outcome is Outcome.SUCCEEDED else STATE_ERROR
