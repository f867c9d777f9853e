"""What a host has for jobs with needs beside its slots, and what of that is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.model.gpus import Gpu, GpuNeed, chosen
from sshjobs.model.host import Host
from sshjobs.model.needs import Lack, Needs
from sshjobs.model.spec import Job
from sshjobs.scheduling.gpurack import GpuRack

_INFINITE = float("inf")
_NO_GPUS = GpuNeed()


class Free(NamedTuple):
    """What one more job may take. What nobody knows is not limited."""

    cpus: int
    memory: float
    scratch: float
    counters: Mapping[str, int]
    gpus: tuple[Gpu, ...] = ()

    def fits(self, needs: Needs) -> bool:
        """Tell whether a job fits."""
        return needs.memory <= self.memory and self.fits_but_memory(needs.cpus, needs.scratch, needs.counters,
                                                                    needs.gpus)

    def fits_but_memory(self, cpus: int, scratch: int, counters: Iterable[tuple[str, int]],
                        gpus: GpuNeed = _NO_GPUS) -> bool:
        """Tell the same without a look at memory."""
        return cpus <= self.cpus and scratch <= self.scratch and all(
            number <= self.counters.get(name, 0) for name, number in counters) and (
            not gpus.number or (gpus.number <= len(self.gpus) and chosen(gpus, self.gpus) is not None))


class Room:
    """Memory, scratch, counters and GPUs of a host. Each job holds what it needs from :meth:`hold` to :meth:`free`,
    whatever becomes known about either meanwhile.

    :ivar memory: bytes; ``None`` where nobody knows, and then it is not counted; ``scratch`` alike
    :ivar gpus: which GPU is whose; as long as nobody knows of any, none is free
    """

    __slots__ = ("_counts", "_held", "_scratch_is_said", "_taken_counts", "_taken_memory", "_taken_scratch", "gpus",
                 "memory", "scratch")

    def __init__(self, host: Host):
        self.memory: int | None = host.memory
        self.scratch: int | None = host.scratch
        self._scratch_is_said = host.scratch is not None
        self._counts = dict(host.counts)
        self.gpus = GpuRack(host)
        self._held: dict[Job, Needs] = {}
        self._taken_memory = self._taken_scratch = 0
        self._taken_counts: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether a job holds anything."""
        return bool(self._held)

    def hold(self, job: Job, needs: Needs, gpus: Sequence[str] = ()) -> None:
        """Have a job hold what it needs.

        :param gpus: the UUIDs of those that it has already
        """
        self._held[job] = needs
        self._count(needs, 1)
        if needs.gpus.number:
            self.gpus.hold(job, needs.gpus, gpus)

    def free(self, job: Job) -> Needs | None:
        """Have a job hold nothing any more; return what it has held, ``None`` for nothing."""
        needs = self._held.pop(job, None)
        if needs is not None:
            self._count(needs, -1)
            if needs.gpus.number:
                self.gpus.release(job)
        return needs

    def _count(self, needs: Needs, sign: int) -> None:
        self._taken_memory += sign * needs.memory
        self._taken_scratch += sign * needs.scratch
        for name, number in needs.counters:
            self._taken_counts[name] += sign * number

    def learn(self, host: Host, memory: int | None, disk: int | None) -> None:
        """Note what a host says that it has; what its user says counts more.

        :param memory: bytes in all; ``disk``: bytes that are free; 0 and ``None`` are no answer
        """
        if host.memory is None and memory:
            self.memory = memory
        if disk and not self._scratch_is_said:
            self.note_disk(disk)

    def note_disk(self, free: int) -> None:
        """Note how much disk is free by now. Of that, what jobs hold and have not written yet is promised to them: so
        it says no more than what there is at most, until nobody holds any."""
        if self._scratch_is_said:
            return
        most = free + self._taken_scratch
        self.scratch = free if not self._taken_scratch or self.scratch is None else min(self.scratch, most)

    def left(self, slots: int) -> Free:
        """Return what is free beside these slots, which are."""
        counts = {name: number - self._taken_counts[name] for name, number in self._counts.items()}
        return Free(slots, _INFINITE if self.memory is None else self.memory - self._taken_memory,
                    _INFINITE if self.scratch is None else self.scratch - self._taken_scratch, counts,
                    self.gpus.free)

    def share(self, slots: int) -> Free:
        """Return what a job may take so that as many such jobs as there are slots fit at once: whichever of those run
        that were sent, no more is taken than there is. GPUs are never shared."""
        return Free(1, _INFINITE if self.memory is None else self.memory // max(1, slots),
                    _INFINITE if self.scratch is None else self.scratch // max(1, slots),
                    {name: number // max(1, slots) for name, number in self._counts.items()})

    def count_heavy(self, slots: int) -> int:
        """Return how many jobs hold more than their share."""
        share = self.share(slots)
        return sum(not share.fits(needs) for needs in self._held.values())

    def lacks(self, needs: Needs, slots: int) -> list[Lack]:
        """Return of what the host will never have enough, as far as that is known. Disk that is free may become more:
        only what its user says of it counts.

        :param slots: how many it has; 0 where nobody knows
        """
        has = [("cpus", needs.cpus, slots or None), ("memory", needs.memory, self.memory),
               ("scratch", needs.scratch, self.scratch if self._scratch_is_said else None),
               *((name, number, self._counts.get(name, 0)) for name, number in needs.counters)]
        return [*(Lack(what, number, there) for what, number, there in has if there is not None and number > there),
                *self.gpus.lacks(needs.gpus)]
