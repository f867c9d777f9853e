"""The requests to pause and unpause a run, or jobs of it."""

from __future__ import annotations

from copy import copy

from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_FREE
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, names_of
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class _Pausing(Request):
    paused: bool
    urgent = True

    def __init__(self, data: Data):
        self._names = names_of(data, "jobs")
        self.chosen: list[Job] = []
        self._told: list[str] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such job"""
        target.check_jobs(self._names)
        if self._names is None:
            return Change(options={"paused": self.paused}), {"ok": True, "jobs": None}
        named = target.unfinished(self._names)
        self._told = [job.name for job in named if bool(job.paused) != self.paused]
        self.chosen = [job for job in named if bool(job.paused) != self.paused or self._may_stand(job)]
        # In the store first: the next manager must know which jobs are stopped.
        return Change(jobs=[self._changed(job) for job in self.chosen]), {"ok": True, "jobs": self._told}

    def _may_stand(self, job: Job) -> bool:
        # An earlier manager may have stopped it and died before it had written that.
        return not self.paused and job.paused is None and job.state != STATE_FREE

    def _changed(self, job: Job) -> Job:
        changed = copy(job)
        changed.paused = self._mark(job)
        return changed

    def _mark(self, job: Job) -> bool | None:
        # False for a job on a host, which must be told that the job goes on; None for a waiting one.
        return True if self.paused else None if job.state == STATE_FREE else False

    def _tell(self, manager: Manager) -> None:
        if self._names is None or self._told:
            manager.handle_act({"event": "pause", "paused": self.paused,
                                "jobs": None if self._names is None else self._told})


class Pause(_Pausing):
    """Pause the run: launch nothing more. Or, with names, pause jobs: stop those that run, and launch none that
    wait."""

    verb, paused = "pause", True

    def take_effect(self, manager: Manager) -> None:
        if self._names is None:
            manager.schedule.paused = True
            for host in manager.network.hosts:
                manager.hosts.ask_back(manager.placement.unstarted(host))
        for job in self.chosen:
            job.paused = True
            if job.state == STATE_FREE:
                manager.schedule.remove(job)
            else:
                if job.attempts[-1].started is None:
                    manager.hosts.ask_back([job])
                manager.network.pause(job, True)
        self._tell(manager)


class Unpause(_Pausing):
    """Let a paused run launch again; or, with names, let paused jobs go on."""

    verb, paused = "unpause", False

    def take_effect(self, manager: Manager) -> None:
        if self._names is None:
            manager.schedule.paused = False
        for job in self.chosen:
            job.paused = self._mark(job)
            if job.state == STATE_FREE:
                manager.line_up(job)
            else:
                manager.network.pause(job, False)
        self._tell(manager)
