"""The request that the manager leaves, while jobs go on."""

from __future__ import annotations

from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Leave(Request):
    """Let the manager leave at once. Launched jobs go on, and the next manager collects them."""

    verb, urgent = "leave", True

    def __init__(self, data: Data):
        pass

    def check(self, target: Target) -> tuple[Change, Data]:
        return Change(), {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        manager.leave()
