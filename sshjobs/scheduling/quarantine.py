"""Quarantine of hosts that fail their jobs: their failures do not count against the jobs, and they are tried again with
one job at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.scheduling.health import HostHealth
from sshjobs.scheduling.schedule import Schedule


class Quarantine:
    """Keeps jobs away from hosts that fail them. Whether a person has drained a host is not touched.

    :param say: tells a person about a host: its name, whether it may be used, and why
    """

    def __init__(self, schedule: Schedule, hosts: Iterable[str], say: Callable[[str, bool, str], None]):
        self._schedule, self._say = schedule, say
        #: Hosts that jobs are kept away from.
        self._kept_away: set[str] = set()
        self._health = HostHealth(hosts, schedule.usable_for)

    def add(self, host: str) -> None:
        """Add a host."""
        self._health.add(host)

    def remove(self, host: str) -> None:
        """Note that a host has left the run."""
        self._kept_away.discard(host)
        self._health.remove(host)

    def note(self, job: Job, attempt: Attempt, now: float) -> list[Job]:
        """Note an end, before it is judged. Return other jobs whose failures are now blamed on their host: they are to
        be tried again. For ``job`` itself the cause of its attempt says so."""
        # Only these hosts can change: the one of the end, and a suspect one where the job failed before.
        health, calm = self._health, self._health.calm
        if calm and attempt.outcome is Outcome.SUCCEEDED:
            health.note_success(attempt.host)
            return []
        concerned = [attempt.host] if calm else health.concerned(job, attempt)
        before = [_Look(host, False, False, False) if calm else self._look(host) for host in concerned]
        blamed = health.note(job, attempt, now)
        if calm and health.calm:
            # The usual case: no host is suspect.
            return []
        for end in blamed.values():
            end.cause = Cause.HOSTS_FAULT
        for look in before:
            self._settle(look)
        return [one for one in blamed if one is not job]

    def note_start(self, job: Job, attempt: Attempt) -> None:
        """Note that an attempt has started."""
        if self._health.full(attempt.host) is not None:
            before = self._look(attempt.host)
            self._health.note_start(job, attempt)
            self._settle(before)

    def trust(self, host: str) -> None:
        """Use a host again, because a person says that it is mended."""
        before = self._look(host)
        self._health.trust(host)
        self._settle(before, "used again: a person says so")

    def is_quarantined(self, host: str) -> bool:
        """Return whether a host is in quarantine."""
        return self._health.reason(host) is not None

    def why(self, host: str) -> str | None:
        """Return why a host is in quarantine, ``None`` where it is not."""
        return self._health.reason(host)

    def _look(self, host: str) -> _Look:
        health = self._health
        return _Look(host, health.is_suspect(host), health.reason(host) is not None, health.full(host) is not None)

    def _settle(self, before: _Look, because: str = "a job passed there: out of quarantine") -> None:
        """Keep jobs away from a host or let them in again, and tell a person.

        :param before: its health before the change
        :param because: why it is not in quarantine any more, if it was
        """
        host, after = before.host, self._look(before.host)
        if after.suspect != before.suspect:
            (self._kept_away.add if after.suspect else self._kept_away.discard)(host)
            self._schedule.keep_away(host, after.suspect)
        if after.quarantined and not before.quarantined:
            self._say(host, False, f"in quarantine: {self._health.reason(host)}; mend it, it is tried again by itself")
        elif before.quarantined and not after.quarantined:
            self._say(host, True, because)
        if after.full and not before.full:
            self._say(host, False, f"{self._health.full(host)}: waits; make room, it goes on by itself")
        elif before.full and not after.full:
            self._say(host, not after.quarantined, "there is room again")
        self._forgive_all()

    def _forgive_all(self) -> None:
        """If every host is suspect, the jobs are to blame: let them in everywhere again."""
        if not self._kept_away or self._schedule.hosts.any_usable():
            return
        # Except hosts without room, which could not start any.
        for host in [host for host in self._kept_away if self._health.full(host) is None]:
            self._health.forgive(host)
            self._schedule.keep_away(host, False)
            self._kept_away.discard(host)
            self._say(host, True, "used again: no host is left on which jobs do not fail")

    def canaries(self, now: float) -> list[tuple[Job, str]]:
        """Take one job from the lines for each host in quarantine whose next try is due, except on drained hosts."""
        found = []
        for host in self._health.canary_due(now) if self._schedule.waiting else ():
            if (job := self._schedule.next_for(host)) is not None:
                self._health.send_canary(host, job)
                found.append((job, host))
        return found


class _Look(NamedTuple):
    """A host's health at one moment."""

    host: str
    suspect: bool
    quarantined: bool
    full: bool
