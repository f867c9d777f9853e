"""A shelf of lines of jobs with needs: finds the largest that fits without looking at each."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from sshjobs.model.gpus import GpuNeed
from sshjobs.model.needs import Needs
from sshjobs.scheduling.lines import Line, is_closed
from sshjobs.scheduling.room import Free

#: The needs of a job without memory.
_Rest = tuple[int, int, tuple[tuple[str, int], ...], GpuNeed]


class Shelf:
    """Lines that differ only in the needs of their jobs. A search for the largest that fits takes one step for each
    different need without memory, with a binary search among the sizes of memory in each.

    :param hosts: the hosts of all its lines: one set, shared by them
    """

    def __init__(self, hosts: set[str]):
        self.hosts = hosts
        #: All lines; those in which a job waits.
        self.lines: dict[Needs, Line] = {}
        self._waiting: dict[Needs, Line] = {}
        #: By the needs without memory: the sizes of memory that waiting jobs need, ascending.
        self._memories: dict[_Rest, list[int]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def is_closed(self) -> bool:
        """Whether its jobs have to wait for others of their entry."""
        return any(is_closed(line) for line in list(self.lines.values())[:1])

    def needs(self) -> Iterable[Needs]:
        """Return the needs of jobs that wait."""
        return self._waiting.keys()

    def put(self, line: Line) -> None:
        """Note that a job waits in a line."""
        needs = line.needs
        if needs is not None and needs not in self._waiting:
            self._waiting[needs] = line
            insort(self._memories.setdefault(_rest_of(needs), []), needs.memory)

    def drop(self, line: Line) -> None:
        """Note that no job waits in a line any more."""
        needs = line.needs
        if needs is None or self._waiting.pop(needs, None) is None:
            return
        rest = _rest_of(needs)
        memories = self._memories[rest]
        del memories[bisect_left(memories, needs.memory)]
        if not memories:
            del self._memories[rest]

    def largest(self, free: Free) -> Line | None:
        """Return the line of the largest jobs that fit, ``None`` where none fit."""
        found: Needs | None = None
        for (cpus, scratch, counters, gpus), memories in self._memories.items():
            if not free.fits_but_memory(cpus, scratch, counters, gpus):
                continue
            at = bisect_right(memories, free.memory)
            if at:
                needs = Needs(cpus, memories[at - 1], scratch, counters, gpus)
                found = needs if found is None or needs.size() > found.size() else found
        return None if found is None else self._waiting[found]


def _rest_of(needs: Needs) -> _Rest:
    return needs.cpus, needs.scratch, needs.counters, needs.gpus
