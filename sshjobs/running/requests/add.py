"""The request to add jobs."""

from __future__ import annotations

from sshjobs.model.spec import Job
from sshjobs.model.template import unpacked
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.target import Target
from sshjobs.running.setups import check_names
from sshjobs.running.stages import check_stages
from sshjobs.scheduling.naming import jobs_from
from sshjobs.store.change import Change
from sshjobs.store.rundir import job_directory_name


class Add(Request):
    """Add jobs after all others, with unique names and further numbers."""

    verb = "add"

    def __init__(self, data: Data):
        self._specs = unpacked(data["specs"])
        self._jobs: list[Job] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: ``hosts`` of a job match no host, no host has what one needs and none may join, or a name
            is not allowed"""
        schedule, hosts = target.schedule(), [host for host in target.hosts() if not host.removed]
        with target.reader() as reader:
            # A withdrawn job may have left files, which must not count as those of a new job of that name.
            options = reader.summary().options
            left = "last_number" in options
            self._jobs = list(jobs_from(
                self._specs, hosts, first=reader.last_number(),
                taken=lambda name: reader.job(name) is not None or (left and target.paths.job(name).exists())))
            if any(job.spec.after for job in self._jobs):
                check_stages((job.spec for job in self._jobs), reader.entries())
        check_names(self._jobs, options.get("setup") or ())
        for job in self._jobs:
            job_directory_name(job.name)
            schedule.check(job, patient=target.stays_open)
        change = Change(add=self._jobs, state=target.reopened() if self._jobs else None)
        return change, {"ok": True, "jobs": [job.name for job in self._jobs]}

    def take_effect(self, manager: Manager) -> None:
        jobs = self._jobs
        if jobs:
            manager.add(jobs)
            manager.handle_act({"event": "added", "jobs": len(jobs), "first": jobs[0].name, "last": jobs[-1].name})
