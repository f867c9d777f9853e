"""Which jobs are tried again after an attempt has ended, and with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import GIVEN_BACK, LASTING, Cause
from sshjobs.model.given import LONGEST_S
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.retrying import again_after
from sshjobs.model.sizes import MAX_MEMORY
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import HOST_OUTCOMES, JOB_OUTCOMES, Outcome


def retry_wanted(job: Job, outcome: Outcome) -> bool:
    """Return whether a job is tried again after its newest attempt ended with an outcome.

    Ends that are nobody's fault count against ``host_retries``, own ends of the job against ``retries``: all of them
    together where that is a number, those of one outcome where it is a mapping.
    """
    if outcome is Outcome.SUCCEEDED:
        return False
    if job.attempts[-1].cause in LASTING or (job.spec.once and outcome is not Outcome.NEVER_STARTED):
        return False
    if is_hosts_fault(job.attempts[-1]):
        hosts_fault = [attempt for attempt in job.attempts if is_hosts_fault(attempt) and not was_given_back(attempt)]
        return len(hosts_fault) <= job.spec.host_retries
    if outcome not in JOB_OUTCOMES:
        return False
    own = own_ends(job.attempts)
    again = again_after(job.spec.retries, outcome)
    if again is None:
        return own.total() <= job.spec.retries  # type: ignore[operator]
    return own[outcome] <= again.times


def own_ends(attempts: Iterable[Attempt]) -> Counter[Outcome]:
    """Return how many attempts of a job had each of its own ends. Ends that are blamed on a host are not counted."""
    return Counter(attempt.outcome for attempt in attempts
                   if attempt.outcome in JOB_OUTCOMES and not is_hosts_fault(attempt))


def launched_with(job: Job, attempt: Attempt) -> JobSpec:
    """Return the spec with which an attempt of a job is launched: the job's, or one with more memory or time after
    earlier attempts that ran out of it.

    It follows from the earlier attempts alone, so that every manager of the run computes the same.
    """
    return _after(job.spec, () if isinstance(job.spec.retries, int) else job.attempts[:job.attempts.index(attempt)])


def needs_next(job: Job) -> Needs | None:
    """Return what the next attempt of a job needs; ``None`` for a slot and nothing else."""
    needs = needs_of(job.spec)
    return needs if needs is None or not job.attempts else needs_of(_after(job.spec, job.attempts))


def needs_now(job: Job) -> Needs | None:
    """Return what the newest attempt of a job needs."""
    needs = needs_of(job.spec)
    return needs if needs is None else needs_of(_after(job.spec, job.attempts[:-1]))


def _after(spec: JobSpec, attempts: Sequence[Attempt]) -> JobSpec:
    if isinstance(spec.retries, int):
        return spec
    memory = timeout = 1.0
    for outcome, ends in own_ends(attempts).items():
        again = again_after(spec.retries, outcome)
        # A person may have had the job tried again although it had no retries left.
        for _ in range(0 if again is None else min(ends, again.times)):
            memory, timeout = memory * again.memory, timeout * again.timeout  # type: ignore[union-attr]
    if memory == timeout == 1:
        return spec
    spec = spec.named(spec.name, spec.index)
    if spec.memory is not None:
        spec.memory = int(min(spec.memory * memory, MAX_MEMORY))
    if spec.timeout is not None:
        spec.timeout = min(spec.timeout * timeout, LONGEST_S)
    return spec


def may_be_lost(job: Job) -> bool:
    """Return whether a job would be tried again if its running attempt were lost."""
    if job.spec.once:
        return False
    lost = [attempt for attempt in job.attempts[:-1] if is_hosts_fault(attempt) and not was_given_back(attempt)]
    return len(lost) < job.spec.host_retries


def is_hosts_fault(attempt: Attempt) -> bool:
    """Return whether the end of an attempt is nobody's fault, or its host's."""
    return attempt.outcome in HOST_OUTCOMES or attempt.cause in (Cause.HOSTS_FAULT, Cause.GPU_FAILED)


def was_given_back(attempt: Attempt) -> bool:
    """Return whether an attempt was taken back so that its job can run elsewhere or later: that counts against
    nothing."""
    return attempt.cause in GIVEN_BACK
