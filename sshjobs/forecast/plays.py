"""A run played on hosts that are numbers: jobs that come at their times, need more than a slot, and take their time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sshjobs.model.needs import Needs
from sshjobs.scheduling.durations import SLOW

_SLOT = Needs()


class PlayHost(NamedTuple):
    """A host.

    :ivar slowness: how many times as long jobs take there
    :ivar memory: bytes; ``None``: not counted; ``scratch`` alike
    """

    name: str
    slots: int
    slowness: float = 1.0
    memory: int | None = None
    scratch: int | None = None
    counts: Mapping[str, int] = {}

    def lacks(self, needs: Needs) -> bool:
        """Tell whether it will never have what a job needs."""
        return (needs.cpus > self.slots or (self.memory is not None and needs.memory > self.memory)
                or (self.scratch is not None and needs.scratch > self.scratch)
                or any(number > self.counts.get(name, 0) for name, number in needs.counters))


class PlayJob(NamedTuple):
    """A job.

    :ivar seconds: how long it takes on a host of usual speed; ``likely`` is what is known of that before
    :ivar hosts: places of the hosts that it may run on; ``None``: all
    """

    seconds: float
    likely: float
    submit: float = 0.0
    needs: Needs | None = None
    hosts: frozenset[int] | None = None


class Played(NamedTuple):
    """What came of a play.

    :ivar end: when the last job ended, in seconds
    :ivar busy: for each host its seconds of slots in use
    :ivar waits: for how long jobs waited for a host, rising
    """

    end: float
    busy: list[float]
    waits: list[float]


class _Free:
    """What is free on a host."""

    __slots__ = ("counts", "cpus", "memory", "scratch")

    def __init__(self, host: PlayHost):
        self.cpus, self.memory, self.scratch = host.slots, host.memory, host.scratch
        self.counts = dict(host.counts)

    def fits(self, needs: Needs) -> bool:
        return (needs.cpus <= self.cpus and (self.memory is None or needs.memory <= self.memory)
                and (self.scratch is None or needs.scratch <= self.scratch)
                and all(number <= self.counts.get(name, 0) for name, number in needs.counters))

    def take(self, needs: Needs, sign: int) -> None:
        self.cpus -= sign * needs.cpus
        if self.memory is not None:
            self.memory -= sign * needs.memory
        if self.scratch is not None:
            self.scratch -= sign * needs.scratch
        for name, number in needs.counters:
            self.counts[name] -= sign * number


class Play:
    """One play. The longest kind that waits starts first, of jobs with needs the largest that fits, on any host with
    room; a slow host gets nothing near the end that faster ones will have run before.

    :param jobs: every one of which a host can take
    """

    def __init__(self, hosts: Sequence[PlayHost], jobs: Sequence[PlayJob], rng: random.Random):
        self._hosts, self._jobs, self._rng = hosts, jobs, rng
        self._free = [_Free(host) for host in hosts]
        #: Hosts with a free slot, in any order, and the place of each of them.
        self._idle = [at for at, host in enumerate(hosts) if host.slots]
        self._place = {at: n for n, at in enumerate(self._idle)}
        #: Jobs that wait, by what they need and where they may run: the longest first.
        self._waiting: dict[tuple[Needs, frozenset[int] | None], list[tuple[float, int]]] = {}
        self._left = len(jobs)
        self._fastest = min((host.slowness for host in hosts), default=1.0)
        self._brisk = sum(host.slots for host in hosts if host.slowness <= SLOW * self._fastest)

    def run(self) -> Played:
        """Play it."""
        arriving = sorted(range(len(self._jobs)), key=lambda n: self._jobs[n].submit)
        ends: list[tuple[float, int, int]] = []
        busy, waits, now, at = [0.0] * len(self._hosts), list[float](), 0.0, 0
        while at < len(arriving) or ends or self._left:
            while at < len(arriving) and self._jobs[arriving[at]].submit <= now:
                self._arrive(arriving[at])
                at += 1
            for n, host in self._starts():
                job, needs = self._jobs[n], self._jobs[n].needs or _SLOT
                seconds = job.seconds * self._hosts[host].slowness
                heapq.heappush(ends, (now + seconds, host, n))
                busy[host] += seconds * needs.cpus
                waits.append(now - job.submit)
            after = [ends[0][0]] if ends else []
            after += [self._jobs[arriving[at]].submit] if at < len(arriving) else []
            if not after:
                break
            now = min(after)
            while ends and ends[0][0] <= now:
                _, host, n = heapq.heappop(ends)
                self._give_back(host, self._jobs[n].needs or _SLOT)
        return Played(now, busy, sorted(waits))

    def _arrive(self, n: int) -> None:
        job = self._jobs[n]
        heapq.heappush(self._waiting.setdefault((job.needs or _SLOT, job.hosts), []), (-job.likely, n))

    def _starts(self) -> Iterator[tuple[int, int]]:
        """Yield each job that starts now, with its host."""
        for key in sorted(self._waiting, key=lambda key: key[0], reverse=True) if self._idle else ():
            line = self._waiting[key]
            while line and (host := self._room(*key)) is not None:
                n = heapq.heappop(line)[1]
                self._left -= 1
                free = self._free[host]
                free.take(key[0], 1)
                if free.cpus <= 0:
                    last = self._idle.pop()
                    place = self._place.pop(host)
                    if last != host:
                        self._idle[place] = last
                        self._place[last] = place
                yield n, host
            if not line:
                del self._waiting[key]

    def _room(self, needs: Needs, hosts: frozenset[int] | None) -> int | None:
        """Return a host with room for a job, any of them."""
        number = len(self._idle)
        begin = self._rng.randrange(number) if number else 0
        for n in range(number):
            at = self._idle[(begin + n) % number]
            # What may not run on any host has none to wait for.
            if (hosts is None or at in hosts) and self._free[at].fits(needs) and not (
                    hosts is None and needs == _SLOT and self._too_slow(at)):
                return at
        return None

    def _too_slow(self, at: int) -> bool:
        slow = self._hosts[at].slowness / self._fastest
        return slow > SLOW and slow > self._left / self._brisk + 2.0

    def _give_back(self, host: int, needs: Needs) -> None:
        self._free[host].take(needs, -1)
        if host not in self._place:
            self._place[host] = len(self._idle)
            self._idle.append(host)
