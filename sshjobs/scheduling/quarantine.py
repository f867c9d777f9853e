"""What follows from a host's ill health: it is quarantined, its failures are taken back from the jobs, and it is tried
again with one job at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sshjobs.model.spec import Attempt, Job
from sshjobs.scheduling.health import HostHealth
from sshjobs.scheduling.schedule import BLAMED, Schedule


class Quarantine:
    """Keeps jobs away from hosts that fail them.

    :param say: tells a person about a host: its name, whether it may be used, and why
    """

    def __init__(self, schedule: Schedule, hosts: Iterable[str], say: Callable[[str, bool, str], None]):
        self._schedule, self._say = schedule, say
        #: Hosts that get nothing because of us, not because a person said so.
        self._drained: set[str] = set()
        #: Whether any host has ever been suspect: nearly always none has, and then nothing is looked up.
        self._any = False
        self._health = HostHealth(hosts, self._may_go_elsewhere)

    def add(self, host: str) -> None:
        """Take in a further host."""
        self._health.add(host)

    def remove(self, host: str) -> None:
        """Note that a host has left the run."""
        self._drained.discard(host)

    def note(self, job: Job, attempt: Attempt, now: float) -> list[Job]:
        """Take in an end, before it is judged. Returns other jobs that had failed by the host's fault: they are to
        be tried again. The end of ``job`` itself carries the blame in its attempt's reason."""
        suspects = {host for host in self._schedule.hosts if self._health.is_suspect(host)} if self._any else set()
        quarantined = {host for host in suspects if self._health.reason(host) is not None}
        full = {host for host in suspects if self._health.full(host) is not None}
        blamed = self._health.note(job, attempt, now)
        if not blamed and not self._any and not self._health.is_suspect(attempt.host):
            # As nearly always: nothing was ever wrong with any host.
            return []
        for end in blamed.values():
            end.reason = f"{BLAMED}, not the job's{f': {end.reason}' if end.reason else ''}"
        # Only these can have changed: the host of the end, and the one that the job spoke about.
        self._settle({attempt.host, *suspects}, suspects, quarantined, full)
        return [one for one in blamed if one is not job]

    def note_start(self, job: Job, attempt: Attempt) -> None:
        """Take in that an attempt has started."""
        if self._any and self._health.full(attempt.host) is not None:
            self._health.note_start(job, attempt)
            quarantined = {attempt.host} if self._health.reason(attempt.host) is not None else set[str]()
            self._settle({attempt.host}, {attempt.host}, quarantined, {attempt.host})

    def _settle(self, hosts: set[str], suspects: set[str], quarantined: set[str], full: set[str]) -> None:
        """Keep jobs away from hosts or let them in again, and say so; what was known before is given."""
        for host in hosts:
            reason = self._health.reason(host)
            if self._health.is_suspect(host) and host not in suspects and not self._schedule.is_drained(host):
                self._schedule.drain(host, True)
                self._drained.add(host)
            elif not self._health.is_suspect(host) and host in self._drained:
                self._drained.discard(host)
                self._schedule.drain(host, False)
            if reason is not None and host not in quarantined:
                self._say(host, False, f"in quarantine: {reason}; mend it, it is tried again by itself")
            elif reason is None and host in quarantined:
                self._say(host, True, "a job passed there: out of quarantine")
            self._say_of_room(host, host in full)
            self._any = self._any or self._health.is_suspect(host)
        self._forgive_all()

    def _say_of_room(self, host: str, was_full: bool) -> None:
        now_full = self._health.full(host)
        if now_full is not None and not was_full:
            self._say(host, False, f"{now_full}: waits; make room, it goes on by itself")
        elif now_full is None and was_full:
            self._say(host, self._health.reason(host) is None, "there is room again")

    def _forgive_all(self) -> None:
        """Where no host is left that is beyond suspicion, it is the jobs that fail: none is kept away any more."""
        if not self._drained or any(self._schedule.is_up(host) and not self._schedule.is_drained(host)
                                    for host in self._schedule.hosts):
            return
        # But a host without room could start none of them.
        for host in [host for host in self._drained if self._health.full(host) is None]:
            self._health.forgive(host)
            self._schedule.drain(host, False)
            self._drained.discard(host)
            self._say(host, True, "used again: no host is left on which jobs do not fail")

    def _may_go_elsewhere(self, job: Job, host: str) -> bool:
        return any(self._schedule.is_up(other) and not self._schedule.is_drained(other) and other != host
                   for other in self._schedule.eligible(job.spec, job.only_host))

    def canaries(self, now: float) -> list[tuple[Job, str]]:
        """Take from the line one job for each host in quarantine whose time has come."""
        found = []
        for host in self._health.canary_due(now) if self._schedule.waiting else ():
            if self._schedule.is_up(host) and (job := self._schedule.next_for(host)) is not None:
                self._health.send_canary(host, job)
                found.append((job, host))
        return found
