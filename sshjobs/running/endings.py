"""What the end of a job means for others of its run: those that wait for it, and all of them where the run ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from sshjobs.model.given import check_each
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, STATE_FREE, Outcome, state_for
from sshjobs.running.housekeeping import Housekeeping
from sshjobs.running.stages import Stages
from sshjobs.scheduling.delays import delay_before
from sshjobs.scheduling.failures import FAILURES, FailureLimit
from sshjobs.store import Summary

#: Reason of a job that a person cancelled while it waited.
CANCELLED_BEFORE = "cancelled by a person before it was launched"


class Endings(Housekeeping):
    """Ends jobs, and lets others run, wait or end because of that."""

    def __init__(self) -> None:
        super().__init__()
        #: Go on without jobs, for those that will be added.
        self.stays_open = False
        self.fail_fast = False
        #: How many jobs may fail before the run ends.
        self.max_failures: FailureLimit | None = None
        #: By which rule the run is ending, as it is kept in the store; nothing new starts from then on.
        self.ended_by: dict[str, Any] | None = None
        #: How many jobs of the run have failed, of how many.
        self._failed = self._total = 0
        self.stages = Stages()
        self._cancelled: set[Job] = set()
        #: Those of them that a rule of the run ends, and no person.
        self._ended_by_rule: set[Job] = set()
        #: Jobs that have ended; those that wait for them have not been looked at.
        self._ended: deque[Job] = deque()

    def line_up(self, job: Job) -> None:
        """Let a job wait for a host, or for its time; not where it waits for a person or for other jobs."""
        if not job.paused and self.stages.may_run(job):
            self.schedule.add(job, self._time_of(job), self.stages.near(job, self.paths))

    def _time_of(self, job: Job) -> float | None:
        """Return from when on a job may run, by the clock of the schedule; ``None``: it may."""
        if job.not_before is None or (left := job.not_before - self.clock.time()) <= 0:
            return None
        # The clock of this machine may have been set since another manager, or we, wrote that down.
        return self.clock.monotonic() + min(left, delay_before(job) or 0.0)

    def _recall_end(self, summary: Summary) -> None:
        """Go on with what an earlier manager knew of the end of the run."""
        self._failed = sum(summary.outcomes.get(outcome.value, 0) for outcome in FAILURES)
        self._total = summary.total
        known = summary.options.get("ended_by")
        if known is not None and summary.counts[STATE_FREE]:
            # It ended nothing but by leaving no job that waits: a person wants these to run.
            self.store.set_options(ended_by=None)
        else:
            self.ended_by = known

    def cancel(self, jobs: Iterable[Job]) -> None:
        """End these jobs. A waiting one ends at once, a launched one when its host has proved it."""
        self._cancel(check_each("jobs", jobs, Job))

    def _cancel(self, jobs: Iterable[Job], rule: str | None = None) -> None:
        """Do that; where a rule of the run wants it, not a person, note that."""
        why = CANCELLED_BEFORE if rule is None else f"not started: {rule} ended the run"
        for job in jobs:
            if job.state in FINAL_STATES:
                continue
            if job.state == STATE_FREE:
                self.schedule.remove(job)
                self._end(job, Outcome.CANCELLED, why)
            else:
                if rule is not None and job not in self._cancelled:
                    self._ended_by_rule.add(job)
                self._cancelled.add(job)
                self.network.cancel(job)
        self._see_to_followers()

    def _note_rule(self, job: Job, attempt: Attempt) -> None:
        """Note of an attempt that ended because a rule of the run wants it that no person does."""
        if job in self._ended_by_rule:
            self._ended_by_rule.discard(job)
            if attempt.outcome is Outcome.CANCELLED and self.ended_by is not None:
                attempt.cause, attempt.reason = Cause.ENDED_BY_RULE, self.ended_by["rule"]

    def withdraw(self, names: Iterable[str]) -> None:
        """Carry jobs no more that are not in the store any more. None of them is on a host."""
        wanted = set(names)
        for job in [job for job in self.jobs.objects if job.name in wanted]:
            if job.state == STATE_FREE:
                self.schedule.remove(job)
            job.outcome, job.reason, job.paused = Outcome.CANCELLED, "withdrawn by a person", None
            job.state = state_for(job.outcome)
            self.jobs.SetState(job, job.state)
            self._total -= 1
            for follower in self.stages.withdrawn(job):
                self.line_up(follower)

    def _finish(self, job: Job, outcome: Outcome, reason: str | None) -> None:
        self._end(job, outcome, reason)
        self._see_to_followers()

    def _see_to_followers(self, suspects: Iterable[Job] = ()) -> None:
        """Let those run that waited for jobs which have ended by now; skip those that cannot, of these suspects too."""
        broken = list(suspects)
        while broken or self._ended:
            for job in broken:
                if job.state == STATE_FREE and (why := self.stages.cannot_run(job)) is not None:
                    self.schedule.remove(job)
                    self._end(job, Outcome.SKIPPED, why)
            ready, broken = self.stages.ended(self._ended.popleft()) if self._ended else ([], [])
            for job in ready:
                self.line_up(job)

    def _end(self, job: Job, outcome: Outcome, reason: str | None) -> None:
        """Note the end of a job. :meth:`_see_to_followers` has to come next."""
        self._ended.append(job)
        job.outcome, job.reason, job.paused, job.not_before = outcome, reason, None, None
        if job in self._cancelled:
            self._cancelled.discard(job)
            self.store.forget_cancelled(job)
        self.books.move(job, state_for(outcome))
        self.HandleJobDone(job)
        if outcome in FAILURES:
            self._failed += 1
            self.teller.failed(job)
        if self.ended_by is not None:
            return
        if self.fail_fast and outcome is not Outcome.SUCCEEDED:
            self.fail_fast = False
            self._end_run({"rule": "fail_fast", "job": job.name})
            self._cancel(self.unfinished(), "fail_fast")
        elif self.max_failures is not None and outcome in FAILURES and self.max_failures.is_exceeded(
                self._failed, self._total):
            self._end_run({"rule": "max_failures", "limit": str(self.max_failures), "failed": self._failed})

    def _end_run(self, rule: dict[str, Any]) -> None:
        """Start nothing more. What runs goes on to its end."""
        self.ended_by = rule
        self.stays_open = False
        self.store.set_options(ended_by=rule, stays_open=False)
        self.ask_back_all()

    def ask_back_all(self) -> None:
        """Take back what its host has not started yet."""
        for job in self.placement.not_started():
            self.network.fence(job)

    def _end_waiting(self) -> None:
        """End the jobs that wait, once a rule is about to end the run."""
        if self.ended_by is None or not self.jobs.AnyInState(STATE_FREE):
            return
        for job in self.jobs.InState(STATE_FREE):
            self.schedule.remove(job)
            self._end(job, Outcome.CANCELLED, f"not started: {self.ended_by['rule']} ended the run")
        self._see_to_followers()
