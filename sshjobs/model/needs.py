"""What a job needs of its host while it is there, and what a host lacks of that."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sshjobs.model.gpus import GpuNeed, need_of
from sshjobs.model.several import KEY, Gathering
from sshjobs.model.sizes import format_memory

if TYPE_CHECKING:
    from sshjobs.model.spec import JobSpec

#: The highest amount of a counter; the most counters of a job or a host.
MAX_COUNT, MAX_COUNTERS = 1_000_000, 32
#: The names of counters; names that are not allowed, because they have a key or an option of their own.
COUNTER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
OWN_KEYS = ("cpus", "memory", "scratch", "slots", "gpus")


class Needs(NamedTuple):
    """What a job needs of its host.

    :ivar cpus: slots
    :ivar memory: bytes; ``scratch``: bytes of free disk
    :ivar counters: the amount of each counter, in the order of their names
    :ivar gpus: GPUs, for this job alone
    """

    cpus: int = 1
    memory: int = 0
    scratch: int = 0
    counters: tuple[tuple[str, int], ...] = ()
    gpus: GpuNeed = GpuNeed()

    def size(self) -> tuple[GpuNeed, int, int, int, tuple[tuple[str, int], ...]]:
        """Return the sort key of needs: the largest come first. GPUs count most, as there are fewest of them."""
        return self.gpus, self.cpus, self.memory, self.scratch, self.counters

    def __str__(self) -> str:
        words = [f"cpus: {self.cpus}"] if self.cpus > 1 else []
        words += [f"{key}: {format_memory(size)}" for key, size in (("memory", self.memory), ("scratch", self.scratch))
                  if size]
        words += [f"gpus: {self.gpus}"] if self.gpus.number else []
        words += [f"{name}: {number}" for name, number in self.counters]
        return ", ".join(words)


class Lack(NamedTuple):
    """A resource of which a host has less than a job needs.

    :ivar what: ``cpus``, ``memory``, ``scratch``, ``gpus`` or the name of a counter
    :ivar words: further explanation
    """

    what: str
    needs: int
    has: int
    words: str = ""

    def __str__(self) -> str:
        """How much the host has, in words."""
        if self.what == "cpus":
            return f"{self.has} slot{'s' * (self.has != 1)}"
        if self.what == "memory":
            return f"{shown_size(self.has)} of memory"
        if self.what == "scratch":
            return f"{shown_size(self.has)} of free disk"
        if self.what == "gpus":
            such = f"{self.has} such GPU{'s' * (self.has != 1)}"
            text = such if self.has else "no such GPU" if self.words else "no GPU"
            return f"{text} ({self.words})" if self.words else text
        return f"{self.has} of {self.what}" if self.has else f"no {self.what}"

    @property
    def ratio(self) -> float:
        """The needed amount divided by the one that is there."""
        return self.needs / self.has if self.has else float("inf")


def no_host_has(needs: Needs | None, host: str, lacks: Sequence[Lack]) -> str:
    """Return the message that no host has what a job needs.

    :param host: the host that comes nearest
    :param lacks: what that host lacks
    """
    return f"no host has what it needs ({needs}): {host}, the nearest, has {' and '.join(map(str, lacks))}"


def shown_size(size: int) -> str:
    """Return a size for a person, rounded down: ``31.2G``."""
    for unit, letter in ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M")):
        if size >= unit:
            return f"{size * 10 // unit / 10:g}{letter}"
    return f"{size} bytes"


def needs_of(spec: JobSpec) -> Needs | None:
    """Return what a job needs; ``None`` for one slot and nothing else."""
    # Called for every job, so the usual case, without needs, is quick.
    cpus, memory, scratch, counters, gpus = spec.cpus, spec.memory, spec.scratch, spec.needs, spec.gpus
    if (cpus is None or cpus == 1) and memory is None and scratch is None and not counters and gpus is None:
        return None
    return Needs(cpus or 1, memory or 0, scratch or 0, tuple(sorted(counters.items())), need_of(gpus))


def checked_counters(value: Any) -> dict[str, int]:
    """Return the value of the key ``needs``: amounts of counters by name.

    :raises ValueError: it is no such value; the message follows the name of the key
    """
    if not isinstance(value, Mapping):
        # In other tools ``needs`` is what a job waits for.
        waits = ", or after: NAME where it waits for another job" if isinstance(value, (str, list)) else ""
        raise ValueError(f" must be a mapping of counters to numbers, got {value!r:.40}; "
                         f"write needs: {{license: 1}}{waits}")
    if len(value) > MAX_COUNTERS:
        raise ValueError(f" names {len(value):,} counters, the limit is {MAX_COUNTERS}; name fewer")
    told = Gathering()
    for name, number in value.items():
        with told.at(name, KEY):
            if name in OWN_KEYS:
                raise ValueError(f" cannot count {name}" + ("" if name == "slots" else
                                 f", which is a key of its own; write {name}: beside needs:"))
            if not isinstance(name, str) or not COUNTER.fullmatch(name):
                raise ValueError(f" cannot count {name!r:.40}; "
                                 "use letters, digits, '_' and '-', and begin with a letter")
        with told.at(name):
            if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_COUNT:
                raise ValueError(f" {name!s:.40} must be a whole number from 1 to {MAX_COUNT:,}, got {number!r:.40}")
    told.end()
    return dict(value)
