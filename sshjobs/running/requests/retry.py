"""The request to try jobs again."""

from __future__ import annotations

from copy import copy

from sshjobs.model.spec import Job, may_start_over, start_over
from sshjobs.model.states import FINAL_STATES, STATE_ERROR
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, names_of
from sshjobs.running.requests.target import Target
from sshjobs.running.stages import revived_with, still_broken
from sshjobs.store.change import Change


class Retry(Request):
    """Let jobs that ended without success wait for a host again; without names all of them."""

    verb = "retry"

    def __init__(self, data: Data):
        self._names = names_of(data, "jobs")
        self._chosen: list[Job] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such job"""
        target.check_jobs(self._names)
        with target.reader() as reader:
            names = [row.name for row in reader.jobs([STATE_ERROR])] if self._names is None else self._names
            ended = [job for job in reader.load(names) if job.state == STATE_ERROR]
            able = [job for job in ended if may_start_over(job)]
            broken = still_broken(able, {job.name for job in able}, reader)
            chosen = [job for job in able if job.name not in broken]
            # Jobs that were skipped because of these get another chance.
            self._chosen = [*chosen, *revived_with(chosen, reader)]
        again = [copy(job) for job in self._chosen]
        for job in again:
            start_over(job)
        change = Change(jobs=again, state=target.reopened() if again else None)
        return change, {"ok": True, "jobs": [job.name for job in again],
                        "refused": [job.name for job in ended if not may_start_over(job)], "blocked": dict(broken)}

    def take_effect(self, manager: Manager) -> None:
        here = {job.name: job for job in manager.jobs.objects if job.state in FINAL_STATES}
        for job in self._chosen:
            manager.try_again(here.get(job.name, job))
        if self._chosen:
            manager.handle_act({"event": "again", "jobs": [job.name for job in self._chosen]})
