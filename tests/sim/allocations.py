"""What hosts have, and whether no more of it than that is ever in use: slots, memory, counters and GPUs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.spec import Job
from tests.sim.host.cards import gpus_of
from tests.sim.host.machine import Machine
from tests.sim.host.process import Process

#: Seconds before its start within which a job's host looks whether somebody else is on its GPUs.
LOOKED_WITHIN = 4.0


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

    def promised(self, host: Host, job: Job, there: Sequence[Job]) -> str | None:
        """Return of what a host is promised more than it has by the launch of a job; ``None``: of nothing. Jobs that are
        sent ahead wait there for a slot: whichever of them get one, no more is taken than there is.

        :param there: those that were launched there and have not ended, as far as the manager knows, with that one
        """
        slots = self._slots.get(host.name, host.slots or 0)
        needs, own = [needs_of(one.spec) or Needs() for one in there], needs_of(job.spec) or Needs()
        most = sum(sorted((one.memory for one in needs), reverse=True)[:slots])
        if own.memory and host.memory is not None and most > host.memory:
            return f"{most:,} of {host.memory:,} bytes of memory"
        for name, number in dict(host.counts).items() if own.counters else ():
            if (taken := sum(sorted((dict(one.counters).get(name, 0) for one in needs), reverse=True)[:slots])) > number:
                return f"{taken} of {number} {name}"
        gpus = Counter(uuid for one in there for uuid in one.attempts[-1].gpus or ())
        return next((f"{uuid} twice" for uuid, count in gpus.items() if count > 1), None)

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

    @staticmethod
    def gpus_taken_twice(machine: Machine, running: Iterable[Process]) -> str | None:
        """Return which GPU of a host the job that has just started there has beside somebody else, or is none of the host's."""
        here = [process for process in running if process.machine is machine]
        for uuid in gpus_of(here[-1]):
            if machine.cards is None or uuid not in machine.cards.uuids:
                return f"{uuid}, which it does not have"
            if sum(uuid in gpus_of(process) for process in here) > 1:
                return f"{uuid} twice"
            stranger, since = machine.cards.strangers.get(uuid, (None, 0.0))
            if stranger is not None and stranger.alive and since < machine.world.now - LOOKED_WITHIN:
                return f"{uuid}, which somebody else has used for {machine.world.now - since:.1f} s"
        return None
