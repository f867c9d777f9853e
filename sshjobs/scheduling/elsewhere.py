"""Lines of jobs that are to be tried again on another host than those that they failed on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sshjobs.model.needs import Needs
from sshjobs.model.spec import Job
from sshjobs.scheduling.lines import Line
from sshjobs.scheduling.retries import own_ends


def failed_on(job: Job) -> frozenset[str]:
    """Return the hosts on which a job is not to run again, as far as there are others."""
    if job.spec.retry_on != "elsewhere" or not job.attempts:
        return frozenset()
    return frozenset(attempt.host for attempt in job.attempts if own_ends([attempt]))


class Elsewhere:
    """Which jobs wait in lines that leave out hosts. Such a line is there as long as a job waits in it.

    :param may_come: tells whether a host can be used for a job with such needs, or may be soon
    """

    def __init__(self, may_come: Callable[[str, Needs | None], bool]):
        self._may_come = may_come
        self._line_of: dict[Job, Line] = {}

    def __bool__(self) -> bool:
        return bool(self._line_of)

    def hosts_for(self, job: Job, hosts: set[str], needs: Needs | None) -> frozenset[str] | None:
        """Return the hosts among these that a job is to be tried on; ``None`` where it need not be elsewhere, or where
        there is no other that can be used."""
        failed = failed_on(job)
        rest = frozenset(hosts - failed) if failed else frozenset[str]()
        return rest if rest and len(rest) < len(hosts) and self._any_may_come(rest, needs) else None

    def enter(self, job: Job, line: Line) -> None:
        """Note that a job waits in such a line."""
        self._line_of[job] = line

    def line_of(self, job: Job) -> Line | None:
        """Return the line that a job waits in, if that is such a line."""
        return self._line_of.get(job)

    def leave(self, job: Job) -> Line | None:
        """Note that a job waits no more; return the line that it waited in, if that was such a line."""
        return self._line_of.pop(job, None)

    def stranded(self) -> list[Job]:
        """Return the jobs none of whose other hosts can be used any more."""
        lines = {line for line in self._line_of.values() if not self._any_may_come(line.hosts, line.needs)}
        return [job for job, line in self._line_of.items() if line in lines] if lines else []

    def _any_may_come(self, hosts: Iterable[str], needs: Needs | None) -> bool:
        return any(self._may_come(host, needs) for host in hosts)
