"""The requests to drain hosts, and to use them again."""

from __future__ import annotations

from dataclasses import replace

from sshjobs.model.host import Host
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, some_names_of, tell_hosts
from sshjobs.running.requests.target import Target, known_hosts
from sshjobs.store.change import Change


class DrainHosts(Request):
    """Launch nothing more on hosts; what runs there goes on."""

    verb = "hosts-drain"

    def __init__(self, data: Data):
        self._names = some_names_of(data, "hosts")
        self._hosts: list[Host] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such host"""
        self._hosts = [replace(host, drained=True) for host in known_hosts(self._names, target.hosts())]
        return Change(hosts=self._hosts), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        for host in self._hosts:
            manager.hosts.drain(host)
        tell_hosts(manager, "drained", self._names)


class UndrainHosts(Request):
    """Use hosts again that were drained, removed or in quarantine: a person has mended them."""

    verb = "hosts-undrain"

    def __init__(self, data: Data):
        self._names = some_names_of(data, "hosts")
        self._hosts: list[Host] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such host"""
        known = known_hosts(self._names, target.hosts())
        self._hosts = [replace(host, drained=False, removed=False) for host in known]
        return Change(hosts=self._hosts), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        for host in self._hosts:
            manager.hosts.use_again(host)
        tell_hosts(manager, "undrained", self._names)
