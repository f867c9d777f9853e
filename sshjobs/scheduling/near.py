"""Jobs that prefer a certain host, because their input files are there. No job waits for such a host. Pure."""

from __future__ import annotations

from itertools import islice

from sshjobs.model.spec import Job
from sshjobs.scheduling.lines import LOOK_AHEAD, Line, Row


class Near:
    """The preferred hosts of jobs that have one. Operations are O(1)."""

    def __init__(self) -> None:
        self._host_of: dict[Job, str] = {}
        #: By host: the same jobs, in the order in which they came.
        self._rows: dict[str, Row] = {}
        self._entered = 0

    def __bool__(self) -> bool:
        return bool(self._host_of)

    def add(self, job: Job, host: str) -> None:
        """Note the preferred host of a job, unless its last attempt was there."""
        self.forget(job)
        if not job.attempts or job.attempts[-1].host != host:
            self._host_of[job] = host
            self._rows.setdefault(host, Row()).add(job, self._entered)
            self._entered += 1

    def forget(self, job: Job) -> None:
        """Forget a job that does not wait any more."""
        host = self._host_of.pop(job, None)
        if host is not None and self._rows[host].discard(job) and not self._rows[host]:
            del self._rows[host]

    def host_of(self, job: Job) -> str | None:
        """Return the preferred host of a job, ``None`` where it has none."""
        return self._host_of.get(job)

    def first(self, host: str, line: Line) -> Job | None:
        """Return a job of a line that prefers a host and may be taken now. Only the first few jobs that prefer the host
        are looked at."""
        row = self._rows.get(host)
        return None if row is None else line.first_of(islice(row, LOOK_AHEAD))
