"""The request to put the files that a person has fetched of a job in place."""

from __future__ import annotations

from copy import copy

from sshjobs.errors import UsageError
from sshjobs.model.outputs import Brought
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES
from sshjobs.network.staging.fetched import put_in_place
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Fetched(Request):
    """Put the fetched files of an attempt in place. They are already on the disk, in another directory."""

    verb = "fetched"

    def __init__(self, data: Data):
        self._name, self._n = str(data["job"]), int(data["attempt"])
        self._brought = Brought(int(data["files"]), int(data["size"]), str(data["digest"]))
        self._directory = ""

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such job, or the files are not those of its newest attempt"""
        target.check_jobs([self._name])
        with target.reader() as reader:
            [job] = reader.load([self._name])
        last = job.attempts[-1] if job.attempts else None
        if last is None or last.n != self._n:
            raise UsageError("it was started again while its files were fetched", where=self._name)
        over = is_over(job)
        if target.manager is not None and not over:
            raise UsageError("its manager brings its files", where=self._name)
        self._directory = target.paths.job_text(self._name)
        if not over or last.origin is not None:
            # The next manager collects its end, and compares the files then.
            return Change(), {"ok": True}
        known = copy(job)
        known.attempts = [*job.attempts[:-1], copy(last)]
        known.attempts[-1].brought = self._brought
        return Change(brought=[known]), {"ok": True}

    def on_disk(self, target: Target) -> None:
        put_in_place(self._directory)

    def take_effect(self, manager: Manager) -> None:
        for job in manager.jobs.objects:
            if job.name == self._name and job.attempts and job.attempts[-1].n == self._n:
                job.attempts[-1].brought = self._brought


def is_over(job: Job) -> bool:
    """Return whether a job has ended and its host keeps nothing of it for a manager."""
    return job.state in FINAL_STATES and all(attempt.released for attempt in job.attempts)
