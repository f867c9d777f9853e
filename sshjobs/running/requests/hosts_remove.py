"""The request to remove hosts from the run."""

from __future__ import annotations

from dataclasses import replace

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, some_names_of, tell_hosts
from sshjobs.running.requests.target import Target, known_hosts
from sshjobs.store.change import Change


class RemoveHosts(Request):
    """Remove hosts from the run once the jobs there have ended. Jobs that can run nowhere else are skipped."""

    verb = "hosts-remove"

    def __init__(self, data: Data):
        self._names = some_names_of(data, "hosts")
        self._hosts: list[Host] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such host, or would have none left"""
        hosts = target.hosts()
        known = known_hosts(self._names, hosts)
        if all(host.removed or host.name in self._names for host in hosts):
            raise UsageError("a run needs a host", hint="add another one first, or cancel the run")
        self._hosts = [replace(host, drained=True, removed=True) for host in known]
        return Change(hosts=self._hosts), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        for host in self._hosts:
            manager.hosts.remove(host)
        tell_hosts(manager, "leaving", self._names)
