"""The request to take jobs out of the run, as if they had never been added."""

from __future__ import annotations

from collections import Counter

from sshjobs.errors import UsageError
from sshjobs.model.spec import Job, never_started
from sshjobs.model.states import FINAL_STATES, STATE_FREE
from sshjobs.running.manager import Manager
from sshjobs.running.requests.base import Data, Request, some_names_of
from sshjobs.running.requests.target import Target
from sshjobs.store.change import Change


class Withdraw(Request):
    """Take jobs that never started out of the run. Their names are free again, their numbers are not."""

    verb = "withdraw"

    def __init__(self, data: Data):
        self._names = some_names_of(data, "jobs")
        self._chosen: list[Job] = []
        self._counts: dict[str, int] = {}

    def check(self, target: Target) -> tuple[Change, Data]:
        """:raises UsageError: the run has no such job, or one has started, or may have"""
        name = target.paths.name
        with target.reader() as reader:
            chosen, last = reader.load(self._names), reader.last_number()
        missing = set(self._names) - {job.name for job in chosen}
        if missing:
            raise UsageError(f"no job is called {min(missing)!r}", where=name, hint=f"see: sshjobs status {name} --all")
        for job in chosen:
            if job.state != STATE_FREE and job.state not in FINAL_STATES:
                raise UsageError("it is on its way to a host, or runs there", where=job.name,
                                 hint=f"first: sshjobs cancel {name} {job.name}")
            if not never_started(job):
                raise UsageError("it has started, so it stays in the run", where=job.name)
        self._chosen = chosen
        left = target.summary().after(
            {state: -number for state, number in Counter(job.state for job in chosen).items()},
            {outcome: -number for outcome, number in Counter(job.outcome for job in chosen).items() if outcome})
        self._counts = left.counts
        over = target.manager is None and not left.unfinished and not left.options.get("stays_open")
        change = Change(withdraw=chosen, options={"last_number": last}, state=left.ending if over else None)
        return change, {"ok": True, "jobs": [job.name for job in chosen]}

    def take_effect(self, manager: Manager) -> None:
        manager.withdraw([job.name for job in self._chosen])
        manager.handle_act({"event": "withdrawn", "jobs": len(self._chosen), "counts": self._counts})
