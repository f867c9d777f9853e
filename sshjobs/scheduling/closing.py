"""Hosts that are going to close: a job that is not likely to end before that is not launched there. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from sshjobs.model.spec import JobSpec
from sshjobs.scheduling.durations import Durations
from sshjobs.scheduling.hosts import ScheduledHosts
from sshjobs.scheduling.lines import Line
from sshjobs.scheduling.place import Place


class Closings:
    """When hosts close, as far as that is known.

    :ivar now: the time, by the same clock as the times of :meth:`set`
    :ivar late: hosts that got no job because none of those that wait is likely to end before they close
    """

    def __init__(self, hosts: ScheduledHosts, durations: Durations):
        self._hosts, self._durations = hosts, durations
        self.now = 0.0
        self.late: dict[str, None] = {}

    def set(self, host: str, at: float | None) -> None:
        """Note when a host closes; ``None``: it does not."""
        place = self._hosts[host]
        if at is None and place.fits is None:
            return
        self._durations.keeps_spread |= at is not None

        def fits(kind: int) -> bool:
            return at is None or (self._durations.most_of_kind(kind) or 0.0) <= at - self.now

        place.fits = None if at is None else fits
        self.look_again([host])

    def in_time(self, place: Place, lines: list[Line]) -> list[Line]:
        """Return the lines that have a job which is likely to end in time."""
        if place.fits is None:
            return lines
        left = [line for line in lines if line.has_of(place.fits)]
        if lines and not left:
            self.late[place.host.name] = None
        return left

    def allows(self, place: Place, spec: JobSpec) -> bool:
        """Return whether a job is likely to end in time on a host."""
        return place.fits is None or place.fits(self._durations.kind_of(spec))

    def look_again(self, hosts: Iterable[str] | None = None) -> None:
        """Let hosts look for jobs again: the named ones, or all that are late."""
        for host in list(self.late) if hosts is None else hosts:
            self.late.pop(host, None)
            self._hosts.set_dry(host, False)

    def forget(self, host: str) -> None:
        """Forget a host that has left."""
        self.late.pop(host, None)
