"""The request to cancel jobs, or all jobs and the run."""

from __future__ import annotations

from copy import copy

from sshjobs.errors import UsageError
from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_ERROR, STATE_FREE, Outcome
from sshjobs.running.endings import CANCELLED_BEFORE
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, names_of
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Cancel(Request):
    """Cancel jobs; without names all of them, and the run."""

    verb, urgent = "cancel", True

    def __init__(self, data: Data):
        self._names = names_of(data, "jobs")
        self.chosen: list[Job] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such job; or one was launched, and the run has no manager to end it"""
        target.check_jobs(self._names)
        self.chosen = target.unfinished(self._names)
        waiting = [job for job in self.chosen if job.state == STATE_FREE]
        if target.manager is None and len(waiting) < len(self.chosen):
            raise UsageError("nobody manages the run, so nobody can end what was launched", where=target.paths.name,
                             hint=f"first: sshjobs resume {target.paths.name} --detach")
        change = Change(jobs=[_cancelled(job) for job in waiting],
                        cancel=[job for job in self.chosen if job.state != STATE_FREE],
                        options={} if self._names is not None else {"stays_open": False},
                        state=self._ending(target, len(waiting)) if target.manager is None else None)
        return change, {"ok": True}

    def _ending(self, target: Target, number: int) -> str | None:
        """Return the state of the run if no unfinished job is left after it."""
        summary = target.summary()
        if number < summary.unfinished or (summary.options.get("stays_open") and self._names is not None):
            return None
        return summary.after({STATE_FREE: -number, STATE_ERROR: number}, {Outcome.CANCELLED: number}).ending

    def take_effect(self, manager: Manager) -> None:
        if self._names is None:
            manager.stop()
            manager.stays_open = False
        for job in self.chosen:
            if job.paused:
                # Let it go on first: stopped processes do not die of TERM.
                job.paused = False
                manager.network.pause(job, False)
        manager.cancel(self.chosen)


def _cancelled(job: Job) -> Job:
    ended = copy(job)
    ended.state, ended.outcome, ended.reason = STATE_ERROR, Outcome.CANCELLED, CANCELLED_BEFORE
    ended.paused = ended.not_before = None
    return ended
