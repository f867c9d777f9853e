"""What the end of an attempt means for its job: the job's end, or another try."""

from __future__ import annotations

from typing import NamedTuple

from sshjobs.model.causes import explain
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.scheduling.retries import retry_wanted


class Verdict(NamedTuple):
    """``again``: the job is to be tried again; else ``outcome`` is its end. ``reason``: in words."""

    again: bool
    outcome: Outcome
    reason: str | None


def judge(job: Job, *, cancelled: bool) -> Verdict:
    """Return what becomes of a job whose newest attempt has just ended.

    :param cancelled: a person has cancelled the job: it is not tried again, and if it never ran its outcome is
        ``cancelled``
    """
    attempt = job.attempts[-1]
    outcome, reason = attempt.outcome, explain(attempt.cause, attempt.reason)
    if outcome is None:
        raise ValueError(f"attempt {attempt.uid} has not ended")
    if cancelled:
        gone = outcome in (Outcome.NEVER_STARTED, Outcome.LOST)
        return Verdict(False, Outcome.CANCELLED if gone else outcome, reason)
    if retry_wanted(job, outcome):
        why = f": {reason}" if reason else ""
        return Verdict(True, outcome, f"attempt {attempt.n} ended {outcome}{why}")
    return Verdict(False, outcome, reason)
