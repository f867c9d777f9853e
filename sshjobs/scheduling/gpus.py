"""The GPUs of all hosts, as the schedule sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from sshjobs.model.gpus import GpuReport
from sshjobs.model.spec import Job
from sshjobs.scheduling.hosts import ScheduledHosts


class ScheduledGpus:
    """What is asked and told about GPUs.

    :param changed: called with the name of a host of whose GPUs something became known
    :ivar wanted: a job needs some, so that hosts are to tell of theirs
    :ivar awaited: launch nothing before hosts have told of theirs
    """

    def __init__(self, hosts: ScheduledHosts, changed: Callable[[str], None]):
        self._hosts, self._changed = hosts, changed
        self.wanted = self.awaited = False

    def note(self, host: str, report: GpuReport) -> None:
        """Note what a host has told."""
        self._hosts.note_gpus(host, report)
        self._changed(host)

    def set_aside(self, host: str, uuids: Iterable[str], why: str) -> None:
        """Give no job these of a host any more, because they do not work."""
        self._hosts[host].room.gpus.set_aside(uuids, why)
        self._hosts.look_again(host)
        self._changed(host)

    def trust(self, host: str) -> None:
        """Give jobs all of a host again: a person has mended it."""
        self._hosts[host].room.gpus.trust()
        self._hosts.look_again(host)
        self._changed(host)

    def of(self, job: Job, host: str) -> tuple[str, ...]:
        """Return the UUIDs of those that a job has on a host."""
        return self._hosts[host].room.gpus.of(job)

    def are_known(self, host: str) -> bool:
        """Tell whether it is known which a host has."""
        return self._hosts[host].room.gpus.known

    def are_waited_for(self, host: str) -> bool:
        """Tell whether a job waits that may run on a host and needs some."""
        return host in self._hosts and any(needs.gpus.number for shelf in self._hosts[host].shelves
                                           for needs in shelf.needs())

    def waiting(self, host: str, most: int) -> Iterator[tuple[Job, str]]:
        """Yield jobs that wait because others use those of a host, each with who that is, so many at most."""
        place = self._hosts[host]
        for shelf in place.shelves:
            for needs in list(shelf.needs()):
                if most > 0 and (words := place.room.gpus.waits_for(needs.gpus)) is not None:
                    jobs = shelf.lines[needs].jobs()[:most]
                    most -= len(jobs)
                    yield from ((job, words) for job in jobs)
