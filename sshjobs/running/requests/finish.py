"""The request to let a run that stays open end with its last job."""

from __future__ import annotations

from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Finish(Request):
    """Let a run that stays open end with the last of its jobs."""

    verb = "finish"

    def __init__(self, data: Data):
        pass

    def check(self, target: Target) -> tuple[Change, Data]:
        change = Change(options={"stays_open": False})
        if target.manager is None and not (summary := target.summary()).unfinished:
            change = change._replace(state=summary.ending)
        return change, {"ok": True}

    def take_effect(self, manager: Manager) -> None:
        manager.stays_open = False
