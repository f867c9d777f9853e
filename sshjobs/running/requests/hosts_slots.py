"""The request to change how many jobs hosts take at a time."""

from __future__ import annotations

from dataclasses import replace

from sshjobs.errors import UsageError
from sshjobs.model.given import MAX_SLOTS
from sshjobs.model.host import Host
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, some_names_of, tell_hosts
from sshjobs.running.requests.target import Target, known_hosts
from sshjobs.store.change import Change


class SetSlots(Request):
    """Change how many jobs hosts take at a time; what runs there is left alone."""

    verb = "hosts-slots"

    def __init__(self, data: Data):
        self._names, self._slots = some_names_of(data, "hosts"), data["slots"]
        self._hosts: list[Host] = []

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such host, or none can have so many"""
        slots = self._slots
        if isinstance(slots, bool) or not isinstance(slots, int) or not 1 <= slots <= MAX_SLOTS:
            raise UsageError(f"slots cannot be {slots!r}", hint=f"use 1 to {MAX_SLOTS}")
        self._hosts = [replace(host, slots=slots) for host in known_hosts(self._names, target.hosts())]
        return Change(hosts=self._hosts), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        for host in self._hosts:
            manager.hosts.set_slots(host, self._slots)
        tell_hosts(manager, "slots", self._names, self._slots)
