"""Packing: which job comes first where jobs need more than a slot. The largest that fits, and none waits for ever.

While large jobs wait, small ones fill the gaps between those that run. A line that was passed over by as many launches
as the hosts have slots comes first wherever it fits. After twice as many launches a host is kept for it: nothing else
is launched there until one of its jobs fits. Where other runs hold some of the host, the job is launched at once, and
waits there for its turn.
"""

from __future__ import annotations

from sshjobs.scheduling.hosts import ScheduledHosts
from sshjobs.scheduling.lines import Line, is_closed
from sshjobs.scheduling.place import Place


class Packing:
    """Chooses among lines, as soon as any job has needs.

    An operation is O(1) in jobs, hosts and lines, and linear in shelves. To keep a host all hosts are looked at, once
    in as many launches as there are slots.
    """

    def __init__(self, hosts: ScheduledHosts):
        self._hosts = hosts
        #: How many jobs were launched.
        self._launches = 0
        #: The lines in which jobs wait and for which no host is kept, with the number of the launch since which they
        #: wait, in that order.
        self._since: dict[Line, int] = {}
        #: By line: the host that is kept for it, with that number.
        self._kept: dict[Line, tuple[str, int]] = {}

    # -- lines ---------------------------------------------------------------------------------------------------

    def waits(self, line: Line) -> None:
        """Note that a job waits in a line."""
        if line not in self._kept and not is_closed(line):
            self._since.setdefault(line, self._launches)

    def emptied(self, line: Line) -> None:
        """Note that no job waits in a line, or that none of its jobs may be launched now."""
        self._since.pop(line, None)
        if line in self._kept:
            self._hosts.keep_for(self._kept.pop(line)[0], None)

    def launched(self, line: Line) -> None:
        """Note that a job of a line is launched. If another line was passed over for too long, keep a host for it."""
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
        """Return the line that has waited longest, if it was passed over by ``times`` as many launches as the hosts
        have slots."""
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
                # By name as well, so that the choice does not depend on how this process hashes text.
                if found is None or (missing, name) < (least, found):
                    found, least = name, missing
        return found

    # -- hosts ---------------------------------------------------------------------------------------------------

    def offers(self, place: Place) -> list[Line]:
        """Return the lines from which a job may be taken for a host now, best first."""
        if place.kept_for is not None and place.fits is not None and not place.kept_for.has_of(place.fits):
            # The host closes before any job of that line would end.
            self.lost(place.host.name)
        if place.kept_for is not None:
            return [place.kept_for] if place.has_room(place.kept_for) or place.may_wait(place.kept_for) else []
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
        """Keep a host for no line any more, because its jobs cannot be launched there now."""
        line = self._hosts[host].kept_for
        if line is not None:
            since = self._kept.pop(line)[1]
            self._hosts.keep_for(host, None)
            self._since = {line: since, **self._since}
