"""The room of a host beside its slots: memory, scratch, counters and GPUs, and how much of it jobs hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sshjobs.model.gpus import Gpu, GpuNeed, chosen
from sshjobs.model.host import Host
from sshjobs.model.needs import Lack, Needs
from sshjobs.model.sharing import Part
from sshjobs.model.spec import Job
from sshjobs.scheduling.gpurack import GpuRack

_INFINITE = float("inf")
_NO_GPUS = GpuNeed()
_NO_PARTS: Mapping[str, Part] = {}


class Free(NamedTuple):
    """What one more job may take. Unknown amounts do not limit it."""

    cpus: int
    memory: float
    scratch: float
    counters: Mapping[str, int]
    gpus: tuple[Gpu, ...] = ()

    def without(self, lacking: Collection[str]) -> Free:
        """Return the same without what is not to be taken: ``memory``, ``scratch``, ``gpus``, ``count.NAME``."""
        if not lacking:
            return self
        return Free(self.cpus, 0 if "memory" in lacking else self.memory, 0 if "scratch" in lacking else self.scratch,
                    {name: 0 if f"count.{name}" in lacking else number for name, number in self.counters.items()},
                    () if "gpus" in lacking else self.gpus)

    def fits(self, needs: Needs) -> bool:
        """Tell whether a job fits."""
        return needs.memory <= self.memory and self.fits_but_memory(needs.cpus, needs.scratch, needs.counters,
                                                                    needs.gpus)

    def fits_but_memory(self, cpus: int, scratch: int, counters: Iterable[tuple[str, int]],
                        gpus: GpuNeed = _NO_GPUS) -> bool:
        """Return whether a job fits, apart from its memory."""
        return cpus <= self.cpus and scratch <= self.scratch and all(
            number <= self.counters.get(name, 0) for name, number in counters) and (
            not gpus.number or (gpus.number <= len(self.gpus) and chosen(gpus, self.gpus) is not None))


class Room:
    """Memory, scratch, counters and GPUs of a host. A job holds what it needs from :meth:`hold` to :meth:`free`, even
    if the host's figures or the job's needs change meanwhile.

    :ivar memory: in bytes; ``None``: unknown, and not counted; ``scratch`` likewise
    :ivar gpus: which job has which GPU; until the host has reported its GPUs, none is free
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
        """Let a job hold what it needs.

        :param gpus: the UUIDs of the GPUs that it has already
        """
        self._held[job] = needs
        self._count(needs, 1)
        if needs.gpus.number:
            self.gpus.hold(job, needs.gpus, gpus)

    def free(self, job: Job) -> Needs | None:
        """Release what a job holds; return that, ``None`` for nothing."""
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
        """Note what a host reports. What its user says takes precedence.

        :param memory: all its memory in bytes; ``disk``: its free disk in bytes; 0 and ``None``: unknown
        """
        if host.memory is None and memory:
            self.memory = memory
        if disk and not self._scratch_is_said:
            self.note_disk(disk)

    def note_disk(self, free: int) -> None:
        """Note how much disk is free now. While jobs hold scratch, part of that is promised to them and not written
        yet: then the figure can only lower what the host has."""
        if self._scratch_is_said:
            return
        most = free + self._taken_scratch
        self.scratch = free if not self._taken_scratch or self.scratch is None else min(self.scratch, most)

    def has_gpus(self, needs: Needs) -> bool:
        """Tell whether there are GPUs for a job that no other job of ours has."""
        return not needs.gpus.number or chosen(needs.gpus, self.gpus.free) is not None

    def left(self, slots: int, parts: Mapping[str, Part] = _NO_PARTS) -> Free:
        """Return what is free, with so many free slots.

        :param parts: of what the host gives this run a part
        """
        def free(what: str, number: int | None, taken: int) -> float:
            part = parts.get(what)
            number = number if part is None else part.has + part.stalled
            return _INFINITE if number is None else number - taken

        counts = {name: int(free(f"count.{name}", number, self._taken_counts[name]))
                  for name, number in self._counts.items()}
        return Free(slots, free("memory", self.memory, self._taken_memory),
                    free("scratch", self.scratch, self._taken_scratch), counts,
                    tuple(gpu for gpu in self.gpus.free if not ("gpus" in parts and gpu.held)))

    def share(self, slots: int) -> Free:
        """Return the share of one slot: if no job takes more, all jobs that were sent fit at the same time, whichever
        of them run. GPUs are never shared."""
        return Free(1, _INFINITE if self.memory is None else self.memory // max(1, slots),
                    _INFINITE if self.scratch is None else self.scratch // max(1, slots),
                    {name: number // max(1, slots) for name, number in self._counts.items()})

    def count_heavy(self, slots: int) -> int:
        """Return how many jobs hold more than the share of one slot."""
        share = self.share(slots)
        return sum(not share.fits(needs) for needs in self._held.values())

    def lacks(self, needs: Needs, slots: int) -> list[Lack]:
        """Return what the host will never have enough of, as far as that is known. Free disk may grow, so only what the
        host's user says about it counts.

        :param slots: its slots; 0: unknown
        """
        has = [("cpus", needs.cpus, slots or None), ("memory", needs.memory, self.memory),
               ("scratch", needs.scratch, self.scratch if self._scratch_is_said else None),
               *((name, number, self._counts.get(name, 0)) for name, number in needs.counters)]
        return [*(Lack(what, number, there) for what, number, there in has if there is not None and number > there),
                *self.gpus.lacks(needs.gpus)]
