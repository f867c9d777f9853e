"""The request to add hosts."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.model.allocation import renumbered
from sshjobs.model.host import Host
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, tell_hosts
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class AddHosts(Request):
    """Add hosts to a run."""

    verb = "hosts-add"

    def __init__(self, data: Data):
        self._hosts = [Host.from_dict(host) for host in data["hosts"]]

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: a host is in the run already"""
        there = {host.name: host for host in target.hosts()}
        # An allocation gets a new number if the run has one with its number already.
        self._hosts = renumbered(self._hosts, there)
        for host in self._hosts:
            known = there.get(host.name)
            # Without a manager, removed hosts are in the list, and can be added again.
            if known is not None and (target.manager is not None or not known.removed):
                raise UsageError(f"the host {'is leaving the run' if known.removed else 'is in the run already'}",
                                 where=host.name, hint="to use it again after a drain: sshjobs hosts undrain")
        return Change(hosts=self._hosts), {"ok": True, "hosts": [host.name for host in self._hosts]}

    def take_effect(self, manager: Manager) -> None:
        for host in self._hosts:
            manager.hosts.add(host)
        tell_hosts(manager, "added", [host.name for host in self._hosts])


def host_data(host: Host) -> dict[str, Any]:
    """Return a host as plain data."""
    return asdict(host)
