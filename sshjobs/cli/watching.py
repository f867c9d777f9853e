"""Follows a run that another process manages: reads the run's store and passes events to a view."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sshjobs.errors import EXIT_INTERRUPTED, EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.model.states import STATE_BUSY, STATE_ERROR, STATE_FREE, STATE_UNKNOWN
from sshjobs.store.reader import RunReader
from sshjobs.store.rows import AttemptRow, HostRow, JobRow
from sshjobs.store.summary import Summary

Event = dict[str, Any]

#: How often, in seconds, the store is checked for a commit.
INTERVAL = 0.1
#: How often, in seconds, hosts, manager and clock are checked.
SLOW_INTERVAL = 1.0
#: For how many jobs attempts are read at a time.
_PAGE = 1_000


def code_of(state: str) -> int:
    """Return the exit code of a run that ended in a state."""
    return {"done": EXIT_OK, "failed": EXIT_JOBS_FAILED, "cancelled": EXIT_JOBS_FAILED}.get(state, EXIT_INTERRUPTED)


class Watcher:
    """Follows a run. Events between two looks are passed on in the order in which they must have happened; a state that
    lasted for less than that may be missed.

    :param tell: called with each event, in the form of the run's own manager
    """

    def __init__(self, reader: RunReader, tell: Callable[[Event], None]):
        self._reader, self._tell = reader, tell
        self._commit = self._last = 0
        #: The jobs that are on a host, by number, with the number of the attempt.
        self._live: dict[int, int] = {}
        self._failed: set[int] = set()
        self._hosts: dict[str, tuple[Any, ...]] = {}
        #: By host, since when it does not answer.
        self._silent: dict[str, float | None] = {}
        #: What people have asked of the run and its hosts, as far as events were passed on.
        self._paused, self._drained = False, set[str]()
        #: How many slots hosts have that have no number of their own.
        self._slots: int | None = None

    def follow(self) -> int:
        """Wait until the run is over or its manager gone; return its exit code. The end is passed on as an event, too.
        """
        self._begin()
        slow = time.monotonic()
        while True:
            if self._reader.news():
                self._look()
            if time.monotonic() - slow >= SLOW_INTERVAL:
                slow = time.monotonic()
                self._look_at_hosts()
                self._tell({"event": "wait"})
            summary = self._reader.summary()
            self._tell_pause(summary)
            if summary.state != "running":
                self._look()
                return self._end(summary)
            time.sleep(INTERVAL)

    def _begin(self) -> None:
        with self._reader.snapshot():
            summary = self._reader.summary()
            self._slots = summary.options.get("slots")
            self._commit, self._last, self._total = summary.commit, self._reader.last_number(), summary.total
            live = list(self._reader.jobs([STATE_BUSY, STATE_UNKNOWN]))
            self._failed = {job.number for job in self._reader.jobs([STATE_ERROR])}
            hosts = [row.host.name for row in self._reader.hosts() if not row.host.removed]
        self._tell({"event": "run", "run": summary.run, "directory": str(self._reader.paths.root),
                    "jobs": summary.total, "counts": summary.counts, "hosts": hosts})
        self._tell_pause(summary)
        self._look_at_hosts()
        for job, attempts in self._with_attempts(live):
            self._live[job.number] = len(attempts)
            self._tell_job("started" if job.state == STATE_BUSY else "unknown", job, attempts)

    def _tell_pause(self, summary: Summary) -> None:
        paused = bool(summary.options.get("paused"))
        if paused != self._paused:
            self._paused = paused
            self._tell({"event": "pause", "paused": paused, "jobs": None})

    def _end(self, summary: Summary) -> int:
        code = code_of(summary.state)
        self._tell({"event": "end", "run": summary.run, "directory": str(self._reader.paths.root),
                    "state": summary.state, "counts": summary.counts, "outcomes": summary.outcomes,
                    "exit_code": code})
        return code

    def _look(self) -> None:
        with self._reader.snapshot():
            added = [job.name for job in self._reader.jobs(after=self._last)]
            if added:
                self._tell({"event": "added", "jobs": len(added), "first": added[0], "last": added[-1]})
            self._last, self._total = self._reader.last_number(), self._total + len(added)
            self._commit, jobs = self._reader.changed_since(self._commit)
            for job, attempts in self._with_attempts(jobs):
                self._take(job, attempts)
            summary = self._reader.summary()
            if summary.total < self._total:
                self._tell({"event": "withdrawn", "jobs": self._total - summary.total, "counts": summary.counts})
                self._total = summary.total

    def _with_attempts(self, jobs: Sequence[JobRow]) -> list[tuple[JobRow, list[AttemptRow]]]:
        found = []
        for start in range(0, len(jobs), _PAGE):
            page = jobs[start : start + _PAGE]
            attempts = self._reader.attempts_of(job.number for job in page)
            found += [(job, attempts[job.number]) for job in page]
        return found

    def _take(self, job: JobRow, attempts: list[AttemptRow]) -> None:
        """Pass on what must have happened to a job since the last look."""
        if job.number in self._failed:
            # Only a retry changes a job that has failed, even where it has failed again since.
            self._failed.discard(job.number)
            self._tell({"event": "again", "jobs": [job.name]})
        known = self._live.pop(job.number, 0)
        if job.state == STATE_FREE:
            if known:
                self._tell_job("retry", job, attempts)
            return
        if len(attempts) > known:
            if known:
                self._tell_job("retry", job, attempts)
            self._tell({"event": "launch", "job": job.name, "host": job.host, "attempt": len(attempts)})
        if job.state in (STATE_BUSY, STATE_UNKNOWN):
            self._live[job.number] = len(attempts)
            if job.state == STATE_UNKNOWN:
                self._tell_job("unknown", job, attempts)
            elif attempts and attempts[-1].started is not None:
                self._tell_job("started", job, attempts)
            return
        if job.state == STATE_ERROR:
            self._failed.add(job.number)
        self._tell_job(job.state, job, attempts)

    def _tell_job(self, word: str, job: JobRow, attempts: list[AttemptRow]) -> None:
        seconds = None
        if attempts and attempts[-1].started is not None and attempts[-1].ended is not None:
            seconds = round(max(0.0, attempts[-1].ended - attempts[-1].started), 3)
        self._tell({"event": word, "job": job.name, "host": job.host, "state": job.state, "outcome": job.outcome,
                    "exit_status": job.exit_status, "signal": job.signal, "attempts": len(attempts),
                    "seconds": seconds, "reason": job.reason})

    def _look_at_hosts(self) -> None:
        for row in self._reader.hosts():
            slots = row.host.slots or self._slots or (row.facts or {}).get("cores")
            name, now = row.host.name, (row.state, row.since, row.reason, slots)
            before, self._hosts[name] = self._hosts.get(name), now
            if row.state is not None and before != now and not row.host.removed:
                self._tell(_host_event(row, slots))
            if row.host.drained != (name in self._drained) and not row.host.removed:
                self._drained ^= {name}
                self._tell({"event": "hosts", "change": "drained" if row.host.drained else "undrained", "hosts": [name],
                            "slots": None})
            if row.silent != self._silent.get(name):
                self._silent[name] = row.silent
                seconds = None if row.silent is None else max(0.0, time.time() - row.silent)
                self._tell({"event": "silent", "host": name, "seconds": seconds})


def _host_event(row: HostRow, slots: int | None) -> Event:
    if row.state == "up":
        return {"event": "host", "host": row.host.name, "state": "up", "facts": row.facts or {}, "slots": slots}
    # The store keeps the reason only in words.
    return {"event": "host", "host": row.host.name, "state": row.state, "kind": None, "reason": row.reason}
