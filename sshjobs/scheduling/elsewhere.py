"""Lines of jobs that are to be tried again on another host than those that they failed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sshjobs.model.needs import Needs
from sshjobs.model.spec import Job
from sshjobs.scheduling.lines import Line
from sshjobs.scheduling.retries import own_ends


def failed_on(job: Job) -> frozenset[str]:
    """Return the hosts on which a job failed and should not run again if there are others."""
    if job.spec.retry_on != "elsewhere" or not job.attempts:
        return frozenset()
    return frozenset(attempt.host for attempt in job.attempts if own_ends([attempt]))


class Elsewhere:
    """Jobs that wait in lines which leave out hosts. Such a line exists as long as a job waits in it.

    :param may_come: returns whether a host can be used for a job with such needs, now or soon
    """

    def __init__(self, may_come: Callable[[str, Needs | None], bool]):
        self._may_come = may_come
        self._line_of: dict[Job, Line] = {}

    def __bool__(self) -> bool:
        return bool(self._line_of)

    def hosts_for(self, job: Job, hosts: set[str], needs: Needs | None) -> frozenset[str] | None:
        """Return which of these hosts a job is to be tried on; ``None`` for all of them: it has not failed on any, or
        no other can be used."""
        failed = failed_on(job)
        rest = frozenset(hosts - failed) if failed else frozenset[str]()
        return rest if rest and len(rest) < len(hosts) and self._any_may_come(rest, needs) else None

    def enter(self, job: Job, line: Line) -> None:
        """Note that a job waits in such a line."""
        self._line_of[job] = line

    def line_of(self, job: Job) -> Line | None:
        """Return the line that a job waits in, if it leaves out hosts."""
        return self._line_of.get(job)

    def leave(self, job: Job) -> Line | None:
        """Note that a job does not wait any more; return its line, if it left out hosts."""
        return self._line_of.pop(job, None)

    def stranded(self) -> list[Job]:
        """Return the waiting jobs whose other hosts cannot be used any more."""
        lines = {line for line in self._line_of.values() if not self._any_may_come(line.hosts, line.needs)}
        return [job for job, line in self._line_of.items() if line in lines] if lines else []

    def _any_may_come(self, hosts: Iterable[str], needs: Needs | None) -> bool:
        return any(self._may_come(host, needs) for host in hosts)
