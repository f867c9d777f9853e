"""The request to launch nothing more, upon which the manager leaves once the running jobs have ended."""

from __future__ import annotations

from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Stop(Request):
    """Let the manager launch nothing more, take back launches that have not started, and leave when the rest has ended.
    The next manager goes on."""

    verb, urgent = "stop", True

    def __init__(self, data: Data):
        pass

    def check(self, target: Target) -> tuple[Change, Data]:
        return Change(), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        manager.stop()
