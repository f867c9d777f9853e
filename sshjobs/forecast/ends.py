"""When a run will end: its jobs are put on slots, again and again, each time in another of the possible worlds."""

from __future__ import annotations

import heapq
import random
from collections.abc import Hashable, Iterable, Sequence
from math import sqrt
from typing import NamedTuple

from sshjobs.forecast.lengths import Draw, Lengths
from sshjobs.scheduling.durations import SLOW

#: How often everything is drawn, at most and at least; and how many lengths are drawn in all at most.
MOST_DRAWS, FEWEST_DRAWS, MOST_LENGTHS = 200, 40, 60_000
#: The last so many jobs for each slot, and so many of all, are put on slots one by one. Those before are work.
LAST_OF_A_SLOT, LAST = 2, 400
#: Lengths that the work of all those before is drawn from.
_SAMPLE = 120


class Forecast(NamedTuple):
    """In how many seconds something ends: one time in ten within ``p10``, half the time within ``p50``, nine times in
    ten within ``p90``."""

    p10: float
    p50: float
    p90: float

    @classmethod
    def of(cls, ends: Iterable[float]) -> Forecast:
        """Return what several plays tell."""
        found = sorted(ends)
        return cls(*(_quantile(found, share) for share in (0.1, 0.5, 0.9)))


class Slots(NamedTuple):
    """A host with so many slots."""

    host: Hashable
    number: int


class Running(NamedTuple):
    """A job that has run for so many seconds."""

    kind: Hashable
    host: Hashable
    seconds: float


class Waiting(NamedTuple):
    """Jobs of a kind that wait."""

    kind: Hashable
    number: int


def forecast(lengths: Lengths, hosts: Sequence[Slots], running: Sequence[Running], waiting: Sequence[Waiting],
             rng: random.Random) -> Forecast | None:
    """Return when the last job will have ended; ``None`` where nothing is known of lengths, or jobs wait and there is
    no slot.

    It takes no longer for a million jobs than for some thousand: of what waits only the last jobs are looked at one by
    one. The longest kinds start first, as they do in a run.

    :param waiting: kinds in any order
    """
    slots = sum(one.number for one in hosts)
    jobs = sum(one.number for one in waiting)
    if not lengths.known or (jobs and not slots):
        return None
    order = sorted(waiting, key=lambda one: -lengths.usual(one.kind))
    each = min(jobs, max(LAST, LAST_OF_A_SLOT * slots)) + len(running) + _SAMPLE
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, MOST_LENGTHS // max(1, each)))
    numbers = {one.kind: one.number for one in waiting}
    return Forecast.of(_end(lengths.draw(rng, numbers), hosts, running, order, jobs, rng) for _ in range(draws))


def _end(draw: Draw, hosts: Sequence[Slots], running: Sequence[Running], order: Sequence[Waiting], jobs: int,
         rng: random.Random) -> float:
    """Return when all has ended in one world."""
    free: dict[Hashable, list[float]] = {one.host: [0.0] * one.number for one in hosts}
    end = 0.0
    for job in running:
        left = draw.seconds_left(job.kind, job.host, job.seconds)
        end = max(end, left)
        if idle := free.get(job.host):
            heapq.heapreplace(idle, max(left, idle[0]))
    slots = [(at, draw.slowness(host)) for host, several in free.items() for at in several]
    last = min(jobs, max(LAST, LAST_OF_A_SLOT * len(slots)))
    if jobs > last:
        slots = _after_work(slots, _work(draw, order, jobs - last, rng))
    return max(end, _play(slots, _last(draw, order, last)))


def _work(draw: Draw, order: Sequence[Waiting], number: int, rng: random.Random) -> float:
    """Return the seconds of the first so many jobs, on a host of usual speed: their sum varies as sums do."""
    total = 0.0
    for one in order:
        here = min(one.number, number)
        if here <= 0:
            break
        number -= here
        some = [draw.seconds(one.kind) for _ in range(min(here, _SAMPLE))]
        mean = sum(some) / len(some)
        spread = sqrt(sum((length - mean) ** 2 for length in some) / len(some) / here)
        total += here * max(0.1 * mean, rng.gauss(mean, spread))
    return total


def _after_work(slots: Sequence[tuple[float, float]], work: float) -> list[tuple[float, float]]:
    """Return from when on slots are free once work was shared out so that all end at the same time."""
    rising = sorted(slots)
    speed, done, level = 0.0, 0.0, 0.0
    for n, (at, slow) in enumerate(rising):
        more = speed * (at - level)
        if n and done + more >= work:
            break
        done, level, speed = done + more, at, speed + 1.0 / slow
    level += (work - done) / speed
    return [(max(at, level), slow) for at, slow in rising]


def _last(draw: Draw, order: Sequence[Waiting], number: int) -> Iterable[float]:
    """Yield the lengths of the last so many jobs, on a host of usual speed."""
    skip = sum(one.number for one in order) - number
    for one in order:
        here = max(0, one.number - skip)
        skip = max(0, skip - one.number)
        for _ in range(here):
            yield draw.seconds(one.kind)


def _play(slots: Sequence[tuple[float, float]], lengths: Iterable[float]) -> float:
    """Put jobs on slots one after the other, each on that which is free first; return when the last has ended."""
    heap, todo, end = list(slots), list(lengths), 0.0
    heapq.heapify(heap)
    fastest = min((slow for _, slow in heap), default=1.0)
    brisk = sum(slow <= SLOW * fastest for _, slow in heap)
    for n, length in enumerate(todo):
        at, slow = heap[0]
        # Near the end a slow host gets nothing that faster ones will have run before.
        while slow > SLOW * fastest and slow / fastest > (len(todo) - n) / brisk + 2.0:
            heapq.heappop(heap)
            at, slow = heap[0]
        at += length * slow
        end = max(end, at)
        heapq.heapreplace(heap, (at, slow))
    return end


def _quantile(rising: Sequence[float], share: float) -> float:
    at = share * (len(rising) - 1)
    low = int(at)
    high = min(low + 1, len(rising) - 1)
    return rising[low] + (at - low) * (rising[high] - rising[low])
