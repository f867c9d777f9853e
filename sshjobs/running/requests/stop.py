"""An end for the launching, and for the manager once what runs has ended."""

from __future__ import annotations

from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Stop(Request):
    """Have the manager launch nothing more, take back what has not started, and leave when the rest has ended. The next
    manager goes on."""

    verb, urgent = "stop", True

    def __init__(self, data: Data):
        pass

    def check(self, target: Target) -> tuple[Change, Data]:
        return Change(), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        manager.stop()
