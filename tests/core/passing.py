"""How many other jobs are launched while a job waits."""

from __future__ import annotations

from sshjobs.model.spec import Job
from sshjobs.scheduling.schedule import Schedule


def launches_before(made: Schedule, job: Job) -> int:
    """Fill the hosts, let a job wait, and end the oldest of the others again and again; return how many are launched before the job is."""
    running = list(iter(made.next, None))
    made.add(job)
    passed = 0
    while True:
        oldest, host = running.pop(0)
        made.vacate(host, oldest)
        found = list(iter(made.next, None))
        running += found
        if any(launched is job for launched, _ in found):
            return passed
        passed += len(found)
