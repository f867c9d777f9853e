"""The GPUs of one host: which of them jobs have, and which of the others are free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sshjobs.model.allocation import in_batches
from sshjobs.model.gpus import BUSY_FROM, Gpu, GpuNeed, GpuReport, chosen, in_words, selected
from sshjobs.model.host import Host
from sshjobs.model.needs import Lack
from sshjobs.model.spec import Job

#: A host that has told of no GPU yet is believed that it cannot find out when it says so for this time in a row: the
#: driver may be busy, or just be loaded.
BELIEVED = 3


class GpuRack:
    """Which GPU is whose. A job has those that it was given from :meth:`hold` to :meth:`free`, whatever the host tells
    meanwhile; so no GPU is given to two.

    :ivar known: the host has told what it has, or its user says that it has none to give
    """

    __slots__ = ("_aside", "_busy_from", "_free", "_gpus", "_holders", "_in_vain", "_of", "_only", "_trouble", "known")

    def __init__(self, host: Host):
        # Which GPU is free on a node that a scheduler has yet to choose, nobody can tell.
        self._only = () if in_batches(host) else host.gpus
        self._busy_from = BUSY_FROM if host.gpu_busy is None else host.gpu_busy
        self.known = self._only == ()
        self._gpus: tuple[Gpu, ...] = ()
        #: What was in the way when the host was last asked, in words; how often in a row something was.
        self._trouble: str | None = None
        self._in_vain = 0
        #: By UUID: who has it; by job: which it has.
        self._holders: dict[str, Job] = {}
        self._of: dict[Job, tuple[str, ...]] = {}
        #: By UUID: why it is not used any more.
        self._aside: dict[str, str] = {}
        self._free: tuple[Gpu, ...] | None = ()

    # -- what the host tells -------------------------------------------------------------------------------------

    def note(self, report: GpuReport) -> None:
        """Note what the host has told. Where it could not find out, those that it has are as they were, but none of
        them can be known to be free."""
        found = selected(report.gpus, self._only)
        if report.trouble is None or found or not self.known:
            # One that is not shown any more may be lost: what is broken has a name to be told by.
            gone = [gpu._replace(trouble="the driver does not show it any more") for gpu in self._gpus
                    if gpu.uuid not in {one.uuid for one in found}]
            self._gpus = (*found, *gone)
            self._trouble = report.trouble if not found else None
        else:
            self._trouble = report.trouble
        self._in_vain = 0 if report.trouble is None or found else self._in_vain + 1
        self.known = self.known or self._in_vain in (0, BELIEVED)
        self._free = None

    def set_aside(self, uuids: Iterable[str], why: str) -> None:
        """Give nobody these any more, because a job has failed on them: where the host says which are broken, those."""
        uuids = set(uuids)
        broken = [gpu.uuid for gpu in self._gpus if gpu.uuid in uuids and gpu.trouble is not None]
        self._aside.update(dict.fromkeys(broken or uuids, why))
        self._free = None

    def trust(self) -> None:
        """Give those that were set aside to jobs again: a person has mended the host."""
        self._aside.clear()
        self._free = None

    # -- what jobs have ------------------------------------------------------------------------------------------

    def hold(self, job: Job, need: GpuNeed, given: Sequence[str] = ()) -> None:
        """Give a job what it needs.

        :param given: what it has already, where another manager has given it
        """
        if not given:
            given = [gpu.uuid for gpu in chosen(need, self.free) or ()]
        self._of[job] = tuple(given)
        self._holders.update(dict.fromkeys(given, job))
        self._free = None

    def release(self, job: Job) -> None:
        """Take back what a job has."""
        for uuid in self._of.pop(job, ()):
            if self._holders.get(uuid) is job:
                del self._holders[uuid]
        self._free = None

    def of(self, job: Job) -> tuple[str, ...]:
        """Return the UUIDs of what a job has."""
        return self._of.get(job, ())

    # -- what is left --------------------------------------------------------------------------------------------

    @property
    def free(self) -> tuple[Gpu, ...]:
        """The GPUs that the next job may be given."""
        if self._free is None:
            self._free = () if self._trouble is not None else tuple(
                gpu for gpu in self._sound() if gpu.uuid not in self._holders and self.taken_by(gpu) is None)
        return self._free

    def _sound(self) -> tuple[Gpu, ...]:
        return tuple(gpu for gpu in self._gpus if self.broken(gpu) is None)

    def taken_by(self, gpu: Gpu) -> str | None:
        """Return who beside our jobs keeps a GPU from being free, in words."""
        return None if gpu.uuid in self._holders else gpu.taken_by(self._busy_from)

    def broken(self, gpu: Gpu) -> str | None:
        """Return why a GPU cannot be used, in words."""
        return self._aside.get(gpu.uuid, gpu.trouble)

    def may_have(self, need: GpuNeed) -> bool:
        """Tell whether a job can have what it needs as soon as enough of our own jobs have ended."""
        return not need.number or (self._trouble is None and chosen(
            need, [gpu for gpu in self._sound() if self.taken_by(gpu) is None]) is not None)

    def lacks(self, need: GpuNeed) -> list[Lack]:
        """Return what the host will never have of what a job needs, as far as that is known."""
        if not need.number:
            return []
        if not self.known:
            least = len(self._only or ())
            return [Lack("gpus", need.number, least, "gpus= says so")] if 0 < least < need.number else []
        sound = self._sound()
        if self._trouble is not None and self._gpus:
            return []
        fitting = sum(gpu.fits(need) for gpu in sound)
        if fitting >= need.number:
            return []
        words = in_words(sound) if sound else self._trouble or "; ".join(
            f"GPU {gpu.label}: {self.broken(gpu)}" for gpu in self._gpus)
        return [Lack("gpus", need.number, fitting, f"it has {words}" if sound else words)]

    def waits_for(self, need: GpuNeed) -> str | None:
        """Return for whom a job waits that needs more than is free, in words; ``None``: for our own jobs, or nobody."""
        if not need.number or chosen(need, self.free) is not None:
            return None
        if self._trouble is not None:
            return self._trouble
        taken = [f"GPU {gpu.label} is in use: {by}" for gpu in self._sound()
                 if gpu.fits(need) and (by := self.taken_by(gpu)) is not None]
        return "; ".join(taken) or None

    def gpus(self) -> tuple[Gpu, ...]:
        """Return all of them, as the host last told."""
        return self._gpus
