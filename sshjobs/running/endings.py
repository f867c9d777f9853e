"""What the end of a job means for other jobs: for those that wait for it, and for all of them if the run ends."""

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

#: The reason of a job that a person cancelled while it waited.
CANCELLED_BEFORE = "cancelled by a person before it was launched"


class Endings(Housekeeping):
    """Ends jobs, and lets others run, wait or be skipped as a consequence."""

    def __init__(self) -> None:
        super().__init__()
        #: Go on without jobs: more may be added.
        self.stays_open = False
        self.fail_fast = False
        #: How many jobs may fail before the run ends.
        self.max_failures: FailureLimit | None = None
        #: The rule that is ending the run, as it is stored. From then on nothing new is launched.
        self.ended_by: dict[str, Any] | None = None
        #: How many jobs of the run have failed; how many jobs it has.
        self._failed = self._total = 0
        self.stages = Stages()
        self._cancelled: set[Job] = set()
        #: Those of them that a rule of the run cancels, and no person.
        self._ended_by_rule: set[Job] = set()
        #: Ended jobs whose followers (jobs that wait for them) have not been looked at yet.
        self._ended: deque[Job] = deque()

    def line_up(self, job: Job) -> None:
        """Let a job wait for a host, or for the end of its delay, unless it is paused or waits for other jobs."""
        if not job.paused and self.stages.may_run(job):
            self.schedule.add(job, self._time_of(job), self.stages.near(job, self.paths))

    def _time_of(self, job: Job) -> float | None:
        """Return when the delay of a job ends, by the clock of the schedule; ``None``: it has none."""
        if job.not_before is None or (left := job.not_before - self.clock.time()) <= 0:
            return None
        # Limited, because this machine's clock may have been set since the time was stored.
        return self.clock.monotonic() + min(left, delay_before(job) or 0.0)

    def _recall_end(self, summary: Summary) -> None:
        """Continue with the rule by which an earlier manager was ending the run."""
        self._failed = sum(summary.outcomes.get(outcome.value, 0) for outcome in FAILURES)
        self._total = summary.total
        known = summary.options.get("ended_by")
        if known is not None and summary.counts[STATE_FREE]:
            # That manager had ended all waiting jobs, so a person has added or retried those that wait now.
            self.store.set_options(ended_by=None)
        else:
            self.ended_by = known

    def cancel(self, jobs: Iterable[Job]) -> None:
        """Cancel these jobs. A waiting one ends at once, a launched one when its host has reported its end."""
        self._cancel(check_each("jobs", jobs, Job))

    def _cancel(self, jobs: Iterable[Job], rule: str | None = None) -> None:
        """Cancel jobs.

        :param rule: the rule of the run that asks for it; ``None``: a person does
        """
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
        """Set the cause of an attempt that was cancelled by a rule of the run, not by a person."""
        if job in self._ended_by_rule:
            self._ended_by_rule.discard(job)
            if attempt.outcome is Outcome.CANCELLED and self.ended_by is not None:
                attempt.cause, attempt.reason = Cause.ENDED_BY_RULE, self.ended_by["rule"]

    def withdraw(self, names: Iterable[str]) -> None:
        """Forget jobs that were removed from the store. None of them is on a host."""
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
        """Let jobs run that waited for jobs which have ended; skip those that cannot run any more.

        :param suspects: further jobs that may have to be skipped
        """
        broken = list(suspects)
        if not broken and not self.stages.any():
            self._ended.clear()
        while broken or self._ended:
            for job in broken:
                if job.state == STATE_FREE and (why := self.stages.cannot_run(job)) is not None:
                    self.schedule.remove(job)
                    self._end(job, Outcome.SKIPPED, why)
            ready, broken = self.stages.ended(self._ended.popleft()) if self._ended else ([], [])
            for job in ready:
                self.line_up(job)

    def _end(self, job: Job, outcome: Outcome, reason: str | None) -> None:
        """Note the end of a job. The caller must call :meth:`_see_to_followers` afterwards."""
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
        """Launch nothing more, by a rule of the run. Running jobs go on to their ends."""
        self.ended_by = rule
        self.stays_open = False
        self.store.set_options(ended_by=rule, stays_open=False)
        self.ask_back_all()

    def ask_back_all(self) -> None:
        """Take back all launches that have not started on their hosts."""
        for job in self.placement.not_started():
            self.network.fence(job)

    def _end_waiting(self) -> None:
        """End the waiting jobs, if a rule is ending the run."""
        if self.ended_by is None or not self.jobs.AnyInState(STATE_FREE):
            return
        for job in self.jobs.InState(STATE_FREE):
            self.schedule.remove(job)
            self._end(job, Outcome.CANCELLED, f"not started: {self.ended_by['rule']} ended the run")
        self._see_to_followers()
