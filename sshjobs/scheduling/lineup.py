"""The lineup: all lines of a schedule, by what the jobs in each have in common."""

from __future__ import annotations

from collections.abc import Iterable

from sshjobs.model.allocation import in_batches
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs
from sshjobs.model.spec import JobSpec
from sshjobs.scheduling.durations import Durations
from sshjobs.scheduling.hosts import ScheduledHosts
from sshjobs.scheduling.lines import Gate, GatedLine, Line, LineKey, key_of
from sshjobs.scheduling.place import Place
from sshjobs.scheduling.shelf import Shelf


class Lineup:
    """All lines: makes each when it is first asked for, and keeps the lines in the places of hosts up to date.

    :ivar shelf_of: the shelf of each line of jobs with needs
    """

    def __init__(self, hosts: ScheduledHosts, durations: Durations):
        self._hosts, self._durations = hosts, durations
        self._lines: dict[LineKey, Line] = {}
        #: By what the jobs of a line have in common, without their needs.
        self._shelves: dict[LineKey, Shelf] = {}
        self.shelf_of: dict[Line, Shelf] = {}
        #: By the name of an entry with ``max_parallel``.
        self._gates: dict[str, Gate] = {}

    def all(self) -> Iterable[Line]:
        """Return every line."""
        return self._lines.values()

    def selected(self, spec: JobSpec, only_host: str | None) -> set[str]:
        """Return the hosts on which a job may run: one set for all jobs of a selection; do not change it."""
        return self.line(spec, only_host).hosts

    def gate(self, spec: JobSpec) -> Gate:
        """Return the gate of an entry with ``max_parallel``."""
        return self._gates.setdefault(spec.entry_name, Gate(spec.max_parallel or 1))

    def line(self, spec: JobSpec, only_host: str | None, left: frozenset[str] | None = None,
             needs: Needs | None = None) -> Line:
        """Return the line that a job waits in.

        :param left: the remaining hosts, where others are left out
        """
        key = key_of(spec, only_host, left, needs)
        line = self._lines.get(key)
        return self._new_line(key, spec) if line is None else line

    def _new_line(self, key: LineKey, spec: JobSpec) -> Line:
        needs = key[-1]
        shelf = None if needs is None else self._shelf((*key[:-1], None))
        hosts = self._chosen(key) if shelf is None else shelf.hosts
        line = Line(hosts, self._durations, spec.priority, needs) if spec.max_parallel is None else GatedLine(
            hosts, self._durations, spec.priority, self.gate(spec), needs)
        self._lines[key] = line
        if shelf is not None and needs is not None:
            shelf.lines[needs], self.shelf_of[line] = line, shelf
        for name in hosts if shelf is None else ():
            self._hosts[name].lines.append(line)
        return line

    def _shelf(self, key: LineKey) -> Shelf:
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = Shelf(self._chosen(key))
            for name in shelf.hosts:
                self._hosts[name].shelves.append(shelf)
        return shelf

    def _chosen(self, key: LineKey) -> set[str]:
        _, only_host, _, _, left, _, _ = key
        if left is not None:
            return set(left)
        names = (only_host,) if only_host else self._hosts
        return {name for name in names if name in self._hosts and _matches(key, self._hosts[name].host)}

    def forget(self, line: Line) -> None:
        """Forget a line in which no job waits."""
        self._lines = {key: one for key, one in self._lines.items() if one is not line}
        if isinstance(line, GatedLine):
            line.gate.lines.remove(line)
        shelf = self.shelf_of.pop(line, None)
        if shelf is None:
            for name in line.hosts:
                self._hosts[name].lines.remove(line)
            return
        shelf.lines = {needs: one for needs, one in shelf.lines.items() if one is not line}
        if not shelf.lines:
            self._shelves = {key: one for key, one in self._shelves.items() if one is not shelf}
            for name in shelf.hosts:
                self._hosts[name].shelves.remove(shelf)

    def add_host(self, place: Place) -> None:
        """Let jobs whose selection matches a new host run there."""
        for key, line in self._lines.items():
            if line.needs is None and _selects(key, place.host):
                line.hosts.add(place.host.name)
                place.lines.append(line)
        for key, shelf in self._shelves.items():
            if _selects(key, place.host):
                shelf.hosts.add(place.host.name)
                place.shelves.append(shelf)

    def remove_host(self, place: Place) -> None:
        """Remove a host from all lines."""
        for line in place.lines:
            line.hosts.discard(place.host.name)
        for shelf in place.shelves:
            shelf.hosts.discard(place.host.name)


def _selects(key: LineKey, host: Host) -> bool:
    """Return whether the jobs of a line may run on a new host."""
    _, only_host, _, _, left, _, _ = key
    return left is None and only_host in (None, host.name) and _matches(key, host)


def _matches(key: LineKey, host: Host) -> bool:
    """Return whether the jobs of a line choose a host and can have there what they ask for: a scheduler that carries
    out each job by itself knows no leases."""
    selectors, _, _, _, _, leased, _ = key
    return host.matches(selectors) and not (leased and in_batches(host))
