"""Which jobs are tried again after an attempt has ended."""

from __future__ import annotations

from sshjobs.model.causes import GIVEN_BACK, LASTING, Cause
from sshjobs.model.spec import Attempt, Job
from sshjobs.model.states import HOST_OUTCOMES, JOB_OUTCOMES, Outcome


def retry_wanted(job: Job, outcome: Outcome) -> bool:
    """Tell whether a job whose newest attempt ended so is to be tried again.

    Ends that are nobody's fault count against ``host_retries``, the job's own ends against ``retries``.
    """
    if job.attempts[-1].cause in LASTING or (job.spec.once and outcome is not Outcome.NEVER_STARTED):
        return False
    hosts_fault = [attempt for attempt in job.attempts if is_hosts_fault(attempt) and not was_given_back(attempt)]
    if is_hosts_fault(job.attempts[-1]):
        return len(hosts_fault) <= job.spec.host_retries
    if outcome not in JOB_OUTCOMES:
        return False
    own = sum(1 for attempt in job.attempts if attempt.outcome in JOB_OUTCOMES) - sum(
        1 for attempt in hosts_fault if attempt.outcome in JOB_OUTCOMES)
    return own <= job.spec.retries


def may_be_lost(job: Job) -> bool:
    """Tell whether a job whose newest attempt has not ended would be tried again if that were lost."""
    if job.spec.once:
        return False
    lost = [attempt for attempt in job.attempts[:-1] if is_hosts_fault(attempt) and not was_given_back(attempt)]
    return len(lost) < job.spec.host_retries


def is_hosts_fault(attempt: Attempt) -> bool:
    """Tell whether an attempt ended so that it is nobody's fault, or that of its host."""
    return attempt.outcome in HOST_OUTCOMES or attempt.cause is Cause.HOSTS_FAULT


def was_given_back(attempt: Attempt) -> bool:
    """Tell whether an attempt ended only so that its job may run elsewhere, or later: that counts against nothing."""
    return attempt.cause in GIVEN_BACK
