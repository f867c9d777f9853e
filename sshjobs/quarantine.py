"""What follows from a host's ill health: it is quarantined, its failures are taken back from the jobs, and it is tried
again with one job at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sshjobs.health import HostHealth
from sshjobs.schedule import BLAMED, Schedule
from sshjobs.spec import Attempt, Job


class Quarantine:
    """Keeps jobs away from hosts that fail them.

    :param say: tells a person about a host: its name, whether it may be used, and why
    """

    def __init__(self, schedule: Schedule, hosts: Iterable[str], say: Callable[[str, bool, str], None]):
        self._schedule, self._say = schedule, say
        self._health = HostHealth(hosts)

    def add(self, host: str) -> None:
        """Take in a further host."""
        self._health.add(host)

    def note(self, job: Job, attempt: Attempt, now: float) -> list[Job]:
        """Take in an end, before it is judged. Returns other jobs that had failed by the host's fault: they are to
        be tried again. The end of ``job`` itself carries the blame in its attempt's reason."""
        before = self._health.reason(attempt.host)
        blamed = self._health.note(job, attempt, now)
        reason = self._health.reason(attempt.host)
        for one in blamed:
            end = one.attempts[-1]
            end.reason = f"{BLAMED}, not the job's{f': {end.reason}' if end.reason else ''}"
        if reason is not None and before is None:
            self._schedule.drain(attempt.host, True)
            self._say(attempt.host, False, f"in quarantine: {reason}; mend it, it is tried again by itself")
        elif reason is None and before is not None:
            self._schedule.drain(attempt.host, False)
            self._say(attempt.host, True, "a job passed there: out of quarantine")
        return [one for one in blamed if one is not job]

    def canaries(self, now: float) -> list[tuple[Job, str]]:
        """Take from the line one job for each host in quarantine whose time has come."""
        found = []
        for host in self._health.canary_due(now) if self._schedule.waiting else ():
            if self._schedule.is_up(host) and (job := self._schedule.next_for(host)) is not None:
                self._health.send_canary(host, job)
                found.append((job, host))
        return found
