"""What hosts have, and whether no more of it than that is ever in use: slots, memory and counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from sshjobs.model.host import Host
from sshjobs.model.needs import Needs
from tests.sim.host.process import Process


class Allocations:
    """Belongs to a judge.

    :ivar needs_of: what a job needs that runs
    """

    def __init__(self) -> None:
        self.needs_of: Callable[[Process], Needs] = lambda process: Needs()
        #: The host of each attempt as it was described when the attempt was launched.
        self._hosts: dict[str, Host] = {}
        #: The slots of hosts, where a person has changed them.
        self._slots: dict[str, int] = {}

    def launched(self, uid: str, host: Host) -> None:
        """Note the launch of an attempt. What was launched while a host had more slots may run on when it has fewer."""
        self._hosts[uid] = host

    def resized(self, host: str, slots: int) -> None:
        """Note that a host has another number of slots from now on."""
        self._slots[host] = slots

    def excess(self, running: Iterable[Process]) -> str | None:
        """Return what of a host more is in use than it has, by what runs there; ``None`` where nothing is."""
        here = [process for process in running if process.uid in self._hosts]
        if not here:
            return None
        needs = [self.needs_of(process) for process in here]
        hosts = [self._hosts[process.uid] for process in here]
        memory = hosts[0].memory
        slots = max(self._slots.get(hosts[0].name, 0), *(host.slots or 0 for host in hosts))
        if (cpus := sum(one.cpus for one in needs)) > slots:
            return f"{cpus} of {slots} slots"
        if memory is not None and (taken := sum(one.memory for one in needs)) > memory:
            return f"{taken:,} of {memory:,} bytes of memory"
        counts = Counter(dict(hosts[0].counts))
        for one in needs:
            counts.subtract(dict(one.counters))
        return next((f"{-left} too many of {name}" for name, left in counts.items() if left < 0), None)
