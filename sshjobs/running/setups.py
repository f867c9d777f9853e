"""Setups: the script of a run that each host runs before its first job.

To a host a setup is an attempt like any other: it is claimed once, its output is sent back, and if the manager dies,
the next one continues. It is no job of the run: no summary counts it, and if it fails, the host is not used, as if it
could not be reached.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sshjobs.errors import HostError, UsageError
from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import explain
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import FINAL_STATES, Outcome
from sshjobs.network.contract import NetworkContract
from sshjobs.running.books import Books
from sshjobs.scheduling.retries import retry_wanted
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store.setups import SetupRow, setup_name
from sshjobs.views.wording import ending, told

#: Job numbers from here on are those of setups: a run has fewer jobs, and hosts accept no longer numbers.
FIRST_NUMBER = 900_000_001
#: Seconds to wait before a setup that did not start is sent again.
PAUSE_S = 5.0


def setup_job(script: Sequence[str], host: str, number: int) -> Job:
    """Return the setup of a host as a job for the network. It runs without the host's ``wrap``."""
    job = Job(JobSpec(list(script), name=setup_name(host), wrap=[]), number - 1)
    job.only_host = host
    return job


def check_names(jobs: Iterable[Job], script: Sequence[str]) -> None:
    """Check that no job has the name of a setup of the same run.

    :raises UsageError: one has
    """
    for job in jobs if script else ():
        if job.name.startswith(setup_name("")):
            raise UsageError("a job cannot be called so", where=job.name,
                             why="in a run with a setup that is what the setups of hosts are called",
                             hint="choose another name")


def why_failed(host: str, attempt: Attempt, job: Job, hint: str) -> HostError:
    """Return the error for a host whose setup has failed."""
    said, _ = told(job.stdout, job.stderr)
    end = ending(attempt.outcome and attempt.outcome.value, attempt.exit_status, attempt.signal,
                 explain(attempt.cause, attempt.reason))
    return HostError("setup", host, "its setup failed", why=f"{end}: {said}" if said else end, hint=hint, lasting=True)


class Setups:
    """Keeps jobs from each host until its setup has succeeded in its present boot.

    :param script: lines; without any, hosts need no setup
    :param say: called with an event about a setup
    :param block: blocks a host
    """

    def __init__(self, script: Sequence[str], network: NetworkContract, schedule: Schedule, books: Books,
                 say: Callable[[dict[str, Any]], None], block: Callable[[str, HostError], None]):
        self._script, self._network, self._schedule = list(script), network, schedule
        self._books, self._say, self._block = books, say, block
        self._jobs: dict[str, Job] = {}
        self._number = FIRST_NUMBER
        #: Hosts without a setup so far; hosts whose setup runs, as far as is known; hosts where it has failed.
        self._todo = dict[str, None]()
        self._running: dict[str, Attempt] = {}
        self.failed: set[str] = set()
        #: The facts in each host's last ``welcome``; the boot to which each attempt was sent.
        self._facts: dict[str, dict[str, Any]] = {}
        self._sent_to: dict[Attempt, str] = {}
        self._not_before: dict[str, float] = {}
        self._ending = False

    def add(self, hosts: Iterable[str]) -> None:
        """Add hosts, which need their setup unless an earlier manager has done it."""
        for host in hosts if self._script else ():
            if host not in self._jobs:
                self._jobs[host] = setup_job(self._script, host, self._number)
                self._jobs[host].paths = self._books.paths
                self._number += 1
            self._todo[host] = None
            self._schedule.prepare(host, False)

    def recall(self, rows: Iterable[SetupRow]) -> list[Job]:
        """Note the setups of an earlier manager; call this before :meth:`add`. Return those to ask the hosts about."""
        for row in rows if self._script else ():
            job = self._jobs.setdefault(row.host, setup_job(self._script, row.host, row.number))
            job.paths = self._books.paths
            job.attempts.append(row.attempt)
            self._sent_to[row.attempt] = row.boot
            self._number = max(self._number, row.number + 1)
            if row.attempt.state in FINAL_STATES:
                row.attempt.released = True
        begun = [job for job in self._jobs.values() if job.attempts[-1].state not in FINAL_STATES]
        for job in begun:
            attempt = job.attempts[-1]
            self._running[attempt.host] = attempt
            self._books.unreleased[attempt] = job
        return begun

    # -- hosts ---------------------------------------------------------------------------------------------------

    def up(self, host: str, facts: dict[str, Any]) -> bool:
        """Note that a host can be reached, before it gets jobs; return whether its setup is done."""
        job = self._jobs.get(host)
        if job is None:
            return True
        self._facts[host] = facts
        self._network.launch_for_boot(host, facts["boot"])
        newest = job.attempt
        ready = newest is not None and newest.outcome is Outcome.SUCCEEDED and self._sent_to[newest] == facts["boot"]
        if ready:
            self._todo.pop(host, None)
        else:
            self._todo[host] = None
        self._schedule.prepare(host, ready)
        return ready

    def forgive(self, host: str) -> dict[str, Any] | None:
        """Try the setup of a host again although it has failed; return the host's facts, ``None`` if it has not
        failed."""
        if host not in self.failed:
            return None
        self.failed.discard(host)
        return self._facts.get(host)

    def remove(self, host: str) -> None:
        """Forget a host that has left."""
        self._todo.pop(host, None)
        self._running.pop(host, None)

    # -- setups --------------------------------------------------------------------------------------------------

    def launch(self, now: float) -> None:
        """Launch the setups of hosts for which jobs wait. They leave once their intent is committed."""
        for host in [host for host in self._todo if self._is_due(host, now)]:
            job, self._ending = self._jobs[host], False
            attempt = job.new_attempt(host, secrets.token_hex(16))
            self._running[host], self._sent_to[attempt] = attempt, self._facts[host]["boot"]
            self._books.unreleased[attempt] = job
            self._books.store.touch_setup(job, attempt, self._sent_to[attempt])
            job.id_ = self._network.LaunchJob(job, host)
            self._tell(host, attempt)

    def _is_due(self, host: str, now: float) -> bool:
        return (host not in self._running and host not in self.failed and host in self._facts
                and self._schedule.is_wanted(host) and self._not_before.get(host, now) <= now)

    def within(self, now: float) -> float | None:
        """Return after how many seconds :meth:`launch` is to be called again; ``None``: after the next event."""
        due = [at for host, at in self._not_before.items() if host in self._todo and at > now]
        return min(due) - now if due else None

    def take(self, jobs: Sequence[Job], now: float) -> list[Job]:
        """Handle changes of setups among these jobs; return the other jobs."""
        if not self._running:
            return list(jobs)
        for job in (job for job in jobs if job.index + 1 >= FIRST_NUMBER):
            attempt = job.attempts[-1]
            self._books.store.touch_setup(job, attempt, self._sent_to[attempt])
            if attempt.state in FINAL_STATES and self._running.get(attempt.host) is attempt:
                del self._running[attempt.host]
                self._books.ended([attempt])
                self._end(job, attempt, now)
        return [job for job in jobs if job.index + 1 < FIRST_NUMBER]

    def _end(self, job: Job, attempt: Attempt, now: float) -> None:
        host, outcome = attempt.host, attempt.outcome
        assert outcome is not None
        self._tell(host, attempt)
        if outcome is Outcome.SUCCEEDED:
            if self._sent_to[attempt] == self._facts.get(host, {}).get("boot"):
                self._todo.pop(host, None)
                self._schedule.prepare(host, True)
        elif retry_wanted(job, outcome):
            self._not_before[host] = now + PAUSE_S
        elif not self._ending:
            self.failed.add(host)
            self._block(host, why_failed(host, attempt, job, hint=f"see {job.stderr}, mend it, "
                                                                  f"then: sshjobs resume {self._books.paths.name}"))

    def end(self, usable: Callable[[str], bool]) -> bool:
        """Cancel setups for which no job waits any more; return whether any runs on a reachable host."""
        if not self._ending:
            self._ending = True
            for host in self._running:
                self._network.cancel(self._jobs[host])
        return any(map(usable, self._running))

    def _tell(self, host: str, attempt: Attempt) -> None:
        self._say({"event": "setup", "host": host, "attempt": attempt.n,
                   "outcome": attempt.outcome and attempt.outcome.value, "exit_status": attempt.exit_status,
                   "signal": attempt.signal, "reason": explain(attempt.cause, attempt.reason),
                   "seconds": None if attempt.seconds is None else round(attempt.seconds, 3)})
