"""Which jobs are on which host, and which prefetched jobs to ask back. Pure bookkeeping for the manager."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from sshjobs.model.attempt import Attempt
from sshjobs.model.spec import Job
from sshjobs.scheduling.schedule import Schedule

#: A prefetched job is asked back after so many seconds if another host has a free slot. Most start sooner, and asking
#: back costs a launch.
PATIENCE = 0.25


class Placement:
    """The jobs on each host, oldest launch first. Keeps the schedule's counts up to date."""

    def __init__(self, schedule: Schedule):
        self._schedule = schedule
        #: By host: the jobs there, with the time of their launch.
        self._on_host: dict[str, dict[Job, float]] = {}
        self._asked_back: set[Job] = set()
        #: By host: ended jobs there whose slots are free, and whose files are still being fetched.
        self._emptied: dict[str, set[Job]] = {}

    def enter(self, job: Job, host: str, now: float) -> None:
        """Note a launch. If the schedule chose the pair, it has counted it already.

        :param now: seconds of any clock that never goes back
        """
        self._on_host.setdefault(host, {})[job] = now

    def leave(self, job: Job, attempt: Attempt) -> None:
        """Note the end of an attempt: its slot is free, and the schedule learns how long it took."""
        del self._on_host[attempt.host][job]
        if attempt.started is not None and attempt.ended is not None:
            self._schedule.note_duration(job.spec, attempt.host, max(0.0, attempt.ended - attempt.started))
        emptied = self._emptied.get(attempt.host)
        if emptied and job in emptied:
            emptied.discard(job)
        else:
            self._schedule.vacate(attempt.host, job)
        self._asked_back.discard(job)

    def empty(self, job: Job, host: str) -> None:
        """Note that a job does not run any more and only its files are to be fetched, so that its slot is free. This is
        done for at most as many jobs as the host has slots: it must not fill up with files that wait."""
        emptied, slots = self._emptied.setdefault(host, set()), self._schedule.hosts.slots(host)
        if job in self._on_host.get(host, ()) and job not in emptied and len(emptied) < slots:
            emptied.add(job)
            self._schedule.vacate(host, job)

    def on(self, host: str) -> list[Job]:
        """Return the jobs whose newest attempt was launched on a host and has not ended."""
        return list(self._on_host.get(host, ()))

    def unstarted(self, host: str) -> list[Job]:
        """Return the jobs that were launched on a host and are not known to have started."""
        return [job for job in self._on_host.get(host, ()) if job.attempts[-1].started is None]

    def ask_back(self, jobs: Iterable[Job]) -> list[Job]:
        """Note that jobs are asked back from their hosts; return those that were not asked back before."""
        chosen = [job for job in jobs if job not in self._asked_back]
        self._asked_back.update(chosen)
        return chosen

    def not_started(self) -> list[Job]:
        """Return every job that is not known to have started, to be asked back. Each is returned once."""
        return self.ask_back(job for host in self._on_host for job in self.unstarted(host))

    def patience(self) -> float | None:
        """Return after how many seconds :meth:`to_take_back` should be asked again; ``None``: after the next event."""
        return None if self._schedule.overfull() is None else PATIENCE / 2

    def to_take_back(self, now: float) -> list[Job]:
        """Return prefetched jobs to be asked back: they have not started for a while, another host has a free slot, and
        no other job waits. Each is returned once."""
        host = self._schedule.overfull()
        if host is None:
            return []
        excess = self._schedule.hosts.load(host) - self._schedule.hosts.slots_now(host)
        newest = ((job, since) for job, since in reversed(self._on_host[host].items())
                  if job.attempts[-1].started is None)
        chosen = [job for job, since in islice(newest, (excess + 1) // 2)
                  if now - since > PATIENCE and job not in self._asked_back
                  and self._schedule.eligible(job.spec, job.only_host) != {host}]
        self._asked_back.update(chosen)
        return chosen
