"""Which job goes first on a host where jobs need more than a slot: the largest that fits, and none waits for ever.

While large jobs wait, small ones fill what is left between those that run. A line that was passed over by as many
launches as the hosts have slots comes first wherever it fits; after twice as many it has a host kept for it: nothing
else is launched there until one of its jobs fits.
"""

from __future__ import annotations

from sshjobs.scheduling.hosts import ScheduledHosts
from sshjobs.scheduling.lines import Line, is_closed
from sshjobs.scheduling.place import Place


class Packing:
    """Chooses among lines. There is one as soon as a job has needs.

    An operation is O(1) in jobs, hosts and lines, but for the number of shelves; to keep a host takes a look at each of
    them, once in as many launches as there are slots.
    """

    def __init__(self, hosts: ScheduledHosts):
        self._hosts = hosts
        #: How many jobs were launched.
        self._launches = 0
        #: The lines in which jobs wait and that no host is kept for, with the number of the launch since which they
        #: wait, in that order.
        self._since: dict[Line, int] = {}
        #: The host that is kept for a line, with that number.
        self._kept: dict[Line, tuple[str, int]] = {}

    # -- lines ---------------------------------------------------------------------------------------------------

    def waits(self, line: Line) -> None:
        """Note that a job waits in a line."""
        if line not in self._kept and not is_closed(line):
            self._since.setdefault(line, self._launches)

    def emptied(self, line: Line) -> None:
        """Note that no job waits in a line, or that none of it may be launched for now."""
        self._since.pop(line, None)
        if line in self._kept:
            self._hosts.keep_for(self._kept.pop(line)[0], None)

    def launched(self, line: Line) -> None:
        """Note that a job of a line is launched. Where others have been passed over for too long, keep a host."""
        self._launches += 1
        self.emptied(line)
        if line:
            self.waits(line)
        while (first := self._passed_over(2)) is not None:
            since, host = self._since.pop(first), self._host_for(first)
            if host is None:
                self._since[first] = self._launches
            else:
                self._kept[first] = host, since
                self._hosts.keep_for(host, first)

    def _passed_over(self, times: int) -> Line | None:
        """Return the line that has waited for longest, if it was passed over by so many times as many launches as the
        hosts have slots."""
        for line, since in self._since.items():
            return line if self._launches - since >= times * max(1, self._hosts.brisk_slots) else None
        return None

    def _host_for(self, line: Line) -> str | None:
        """Return the host that is likely to have room for a job of a line soonest; ``None`` where none can be kept."""
        if any(other.priority > line.priority for other in self._since):
            return None
        cpus = 1 if line.needs is None else line.needs.cpus
        found, least = None, 0
        for name in line.hosts:
            place = self._hosts[name]
            if (place.usable and place.kept_for is None and place.deferred_until is None and not place.lacks(line.needs)
                    and place.may_have(line.needs) and (place.fits is None or line.has_of(place.fits))):
                missing = max(0, place.load + cpus - place.slots)
                # By name as well: which one must not hang on how this process hashes text.
                if found is None or (missing, name) < (least, found):
                    found, least = name, missing
        return found

    # -- hosts ---------------------------------------------------------------------------------------------------

    def offers(self, place: Place) -> list[Line]:
        """Return the lines that a job may be taken from for a host by now, the first of them first."""
        if place.kept_for is not None and place.fits is not None and not place.kept_for.has_of(place.fits):
            # It closes before any job of that line would be over.
            self.lost(place.host.name)
        if place.kept_for is not None:
            return [place.kept_for] if place.has_room(place.kept_for) else []
        free = place.free()
        lines = [line for line in place.lines if line and not is_closed(line)]
        for shelf in place.shelves:
            if shelf and not shelf.is_closed and (line := shelf.largest(free)) is not None:
                lines.append(line)
        due = self._passed_over(1)
        if due is not None and due not in lines and place.host.name in due.hosts and (
                due.needs is None or free.fits(due.needs)):
            lines.append(due)
        return sorted(lines, key=lambda line: (-line.priority, line is not due, line.size_rank()))

    def lost(self, host: str) -> None:
        """Keep a host for nobody any more, as nothing can be launched there for now, or not what it was kept for."""
        line = self._hosts[host].kept_for
        if line is not None:
            since = self._kept.pop(line)[1]
            self._hosts.keep_for(host, None)
            self._since = {line: since, **self._since}
