"""The tally of a resume: how many launched jobs still run, how many have ended, and how many are left to run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_FREE, Outcome


class Tally:
    """Counts until every job that was launched is accounted for.

    :param launched: jobs that were on a host when the last manager went
    :param to_run: how many jobs wait to be launched
    """

    def __init__(self, launched: Iterable[Job], to_run: int):
        self._open = set(launched)
        self._counts = {"adopted": 0, "collected": 0, "to_run": to_run, "re_run": 0, "lost": 0}
        self._told = False

    def note(self, job: Job) -> None:
        """Note that a job has changed."""
        if job not in self._open or (job.state not in FINAL_STATES and job.state not in (STATE_BUSY, STATE_FREE)):
            return
        self._open.discard(job)
        lost = bool(job.attempts) and job.attempts[-1].outcome is Outcome.LOST
        self._counts["lost"] += lost
        if job.state == STATE_BUSY:
            self._counts["adopted"] += 1
        elif job.state == STATE_FREE:
            self._counts["re_run"] += 1
        elif not lost:
            self._counts["collected"] += 1

    def report(self, *, patience_is_over: bool) -> dict[str, Any] | None:
        """Return the event with the counts, once: when all jobs are accounted for, or when patience is over."""
        if self._told or (self._open and not patience_is_over):
            return None
        self._told = True
        return {"event": "resumed", **self._counts, "unknown": len(self._open)}
