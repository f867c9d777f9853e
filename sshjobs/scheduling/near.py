"""Jobs that had better run on a certain host, because that has what they are given. None of them waits for it. Pure."""

from __future__ import annotations

from itertools import islice

from sshjobs.model.spec import Job
from sshjobs.scheduling.lines import LOOK_AHEAD, Line, Row


class Near:
    """Which host each job of a few had better run on. Operations are O(1)."""

    def __init__(self) -> None:
        self._host_of: dict[Job, str] = {}
        #: By host: the same jobs, in the order in which they came.
        self._rows: dict[str, Row] = {}
        self._entered = 0

    def __bool__(self) -> bool:
        return bool(self._host_of)

    def add(self, job: Job, host: str) -> None:
        """Note the host that a job had better run on; not where its last attempt was on that host."""
        self.forget(job)
        if not job.attempts or job.attempts[-1].host != host:
            self._host_of[job] = host
            self._rows.setdefault(host, Row()).add(job, self._entered)
            self._entered += 1

    def forget(self, job: Job) -> None:
        """Forget about a job that waits no more."""
        host = self._host_of.pop(job, None)
        if host is not None and self._rows[host].discard(job) and not self._rows[host]:
            del self._rows[host]

    def host_of(self, job: Job) -> str | None:
        """Return the host that a job had better run on."""
        return self._host_of.get(job)

    def first(self, host: str, line: Line) -> Job | None:
        """Return a job of a line that had better run on a host and whose turn it may be. Only the first few that had
        better run there are looked at."""
        row = self._rows.get(host)
        return None if row is None else line.first_of(islice(row, LOOK_AHEAD))
