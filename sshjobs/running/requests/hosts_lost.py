"""The request to declare hosts lost."""

from __future__ import annotations

from sshjobs.errors import UsageError
from sshjobs.model.causes import Cause, explain
from sshjobs.model.spec import Job
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, some_names_of, tell_hosts
from sshjobs.running.requests.target import Target, known_hosts
from sshjobs.store.change import Change


class LoseHosts(Request):
    """Declare all attempts on hosts lost, because a person says that the hosts will not come back."""

    verb = "hosts-lost"

    def __init__(self, data: Data):
        self._names = some_names_of(data, "hosts")
        self._gone: list[Job] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: a host answers, so that it can be asked; or the run has no manager, which would know"""
        manager = target.manager
        if manager is None:
            raise UsageError("nobody manages the run, so nobody has missed the host", where=target.paths.name,
                             hint=f"first: sshjobs resume {target.paths.name} --detach")
        for host in known_hosts(self._names, target.hosts()):
            if manager.schedule.hosts.is_up(host.name):
                raise UsageError("the host answers", where=host.name, hint="drain or remove it, or cancel its jobs")
        self._gone = [job for name in self._names for job in manager.placement.on(name)]
        return Change(), {"ok": True, "jobs": [job.name for job in self._gone]}

    def take_effect(self, manager: Manager) -> None:
        for job in self._gone:
            manager.give_up(job, explain(Cause.DECLARED_LOST, None) or "")
        tell_hosts(manager, "lost", self._names)
