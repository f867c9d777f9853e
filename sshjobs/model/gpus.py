"""GPUs of hosts, what jobs need of them, and which of them a job is given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sshjobs.model.several import KEY, Gathering
from sshjobs.model.sizes import format_memory, parse_memory

#: The most GPUs that a job can need, and that are counted of a host.
MAX_GPUS = 256
#: Bytes of a GPU's memory that may be in use while it still counts as free: a desktop's, say, or a driver's own.
BUSY_FROM = 500 << 20
#: What a GPU of a host may be called: by its number (of a MIG instance ``0:1``), or by its UUID.
#: Not compiled here: few jobs need one.
SELECTOR = r"(?i)(?:gpu)?([0-9]{1,3}(?::[0-9]{1,2})?)|((?:GPU|MIG)-[A-Za-z0-9./-]{1,90})"
_TYPE = r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,63}"
_PIECE = re.compile(r"[a-z0-9]+")
_KEYS = ("count", "memory", "type")


class GpuNeed(NamedTuple):
    """Which GPUs a job needs.

    :ivar number: how many; 0 is none
    :ivar memory: bytes that each must have; 0: any
    :ivar type: words of the name that each must have; empty: any
    """

    number: int = 0
    memory: int = 0
    type: str = ""

    def __str__(self) -> str:
        if not self.memory and not self.type:
            return str(self.number)
        parts = [f"count: {self.number}"] if self.number > 1 else []
        parts += [f"memory: {format_memory(self.memory)}"] if self.memory else []
        parts += [f"type: {self.type}"] if self.type else []
        return f"{{{', '.join(parts)}}}"


class Gpu(NamedTuple):
    """One GPU of a host, or one MIG instance of a GPU, as the host last told.

    :ivar uuid: what it is called for good, and what a job is given
    :ivar label: its number there, ``0``, or ``0:1`` for an instance
    :ivar memory: bytes that it has; ``used``: that are in use; ``None`` where nobody knows
    :ivar whole: it is no instance
    :ivar by: who uses it, in words: somebody's processes; ``None``: nobody
    :ivar trouble: why it cannot be used, in words; ``None``: it can
    :ivar held: a job of another run has it, and nobody else is on it: jobs wait for it on the host, as for slots
    """

    uuid: str
    label: str
    name: str
    memory: int | None
    used: int | None = None
    whole: bool = True
    by: str | None = None
    trouble: str | None = None
    held: bool = False

    def fits(self, need: GpuNeed) -> bool:
        """Tell whether it is one that a job needs."""
        # A program of CUDA's sees no more than one instance.
        return ((self.whole or need.number < 2) and (not need.memory or (self.memory or 0) >= need.memory)
                and (not need.type or is_of_type(self.name, need.type)))

    def taken_by(self, busy_from: int) -> str | None:
        """Return who keeps it from being free, in words; ``None``: nobody.

        :param busy_from: bytes in use from which on it is not free
        """
        if self.held:
            return None
        if self.by is None and self.used is not None and self.used > busy_from:
            return f"{self.used >> 20} MiB of its memory, and no process is shown"
        return self.by


class GpuReport(NamedTuple):
    """What a host told of its GPUs.

    :ivar gpus: in the order of the driver
    :ivar trouble: what was in the way of finding out, in a line; ``None``: nothing
    """

    gpus: tuple[Gpu, ...] = ()
    trouble: str | None = None


def chosen(need: GpuNeed, free: Sequence[Gpu]) -> tuple[Gpu, ...] | None:
    """Return the GPUs that a job is given of those that are free, ``None`` where they do not suffice: those with least
    memory that do, so that larger ones stay for who needs them, and all of one name where that can be. What jobs of
    other runs have comes last."""
    fitting = sorted((gpu for gpu in free if gpu.fits(need)), key=lambda gpu: (gpu.held, gpu.memory or 0))
    if len(fitting) < need.number:
        return None
    if need.number > 1:
        by_name: dict[str, list[Gpu]] = {}
        for gpu in fitting:
            by_name.setdefault(gpu.name, []).append(gpu)
        fitting = next((alike for alike in by_name.values() if len(alike) >= need.number), fitting)
    return tuple(fitting[:need.number])


@lru_cache(4096)
def is_of_type(name: str, wanted: str) -> bool:
    """Tell whether a GPU's name has the words of a type, one after the other: ``NVIDIA A100-SXM4-40GB`` is of the types
    ``a100`` and ``A100-SXM4``, and not of ``a10``. Whether they are written as one word makes no difference."""
    pieces, text = _PIECE.findall(name.lower()), "".join(_PIECE.findall(wanted.lower()))
    for first in range(len(pieces)):
        joined = ""
        for piece in pieces[first:]:
            joined += piece
            if joined == text:
                return True
            if not text.startswith(joined):
                break
    return False


def checked_need(value: Any) -> dict[str, Any]:
    """Return what a job says of GPUs, spelt out: ``count``, and ``memory`` and ``type`` where they matter.

    :raises ValueError: it cannot be that; the text says what is wrong, to stand behind the name of the key
    """
    if not isinstance(value, Mapping):
        return {"count": _count(value, "")}
    if not value:
        raise ValueError(" is an empty mapping; write gpus: 1, or {count: 1, memory: 20G, type: a100}")
    told = Gathering()
    for key in value:
        with told.at(key, KEY):
            if key not in _KEYS:
                raise ValueError(f" has no {key!r:.40}; there are count, memory and type")
    found: dict[str, Any] = {}
    with told.at("count"):
        found["count"] = _count(value.get("count", 1), " count")
    if (memory := value.get("memory")) is not None:
        with told.at("memory"):
            try:
                found["memory"] = parse_memory(memory)
            except ValueError as error:
                raise ValueError(f" memory{error}") from None
    if (kind := value.get("type")) is not None:
        with told.at("type"):
            if not isinstance(kind, (str, int)) or isinstance(kind, bool) or not re.fullmatch(_TYPE, str(kind)):
                raise ValueError(f" type cannot be {kind!r:.40}; write words of the GPU's name: a100, rtx 3090")
            found["type"] = str(kind)
    told.end()
    return found


def _count(value: Any, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_GPUS:
        more = "; leave the key out for none" if value == 0 and value is not False else ""
        raise ValueError(f"{what} must be a whole number from 1 to {MAX_GPUS}, got {value!r:.40}{more}")
    return value


def need_of(held: Mapping[str, Any] | None) -> GpuNeed:
    """Return what a spec holds under ``gpus`` as what is counted with."""
    return GpuNeed(held["count"], held.get("memory", 0), held.get("type", "")) if held else _NONE


_NONE = GpuNeed()


def checked_selection(text: str) -> tuple[str, ...]:
    """Return which GPUs of a host may be used, as ``gpus=`` in a hosts file says it; none for ``0`` and ``none``.

    :raises ValueError: it says nothing of the kind; the text stands behind the name of the option
    """
    if text.lower() in ("0", "none"):
        return ()
    if text.isascii() and text.isdigit():
        raise ValueError(f" cannot be {text:.40}, which may mean so many or that one; write gpus=gpu{text:.3} for that "
                         "one, gpus=0,1 for several, gpus=0 for none")
    words = [word for word in text.split(",") if word]
    found: list[str] = []
    for word in words:
        match = re.fullmatch(SELECTOR, word)
        if match is None:
            raise ValueError(f" cannot be '{word:.40}'; write gpus=0,1 (numbers), UUIDs, or gpus=0 for none")
        found.append(match[1] or match[2])
    if not found:
        raise ValueError(" names none; write gpus=0,1, or gpus=0 for none")
    if len(set(found)) < len(found):
        raise ValueError(" names one twice; name it once")
    if len(found) > MAX_GPUS:
        raise ValueError(f" names {len(found):,}, the limit is {MAX_GPUS}")
    return tuple(found)


def selected(gpus: Iterable[Gpu], only: Sequence[str] | None) -> tuple[Gpu, ...]:
    """Return the GPUs that may be used.

    :param only: numbers and UUIDs; ``None``: all
    """
    if only is None:
        return tuple(gpus)
    wanted = {word.lower() for word in only}
    return tuple(gpu for gpu in gpus if wanted & {gpu.uuid.lower(), gpu.label, gpu.label.partition(":")[0]})


def in_words(gpus: Sequence[Gpu]) -> str:
    """Return GPUs for a person: ``2 × NVIDIA A100-SXM4-40GB (40G)``."""
    counts: dict[tuple[str, int], int] = {}
    for gpu in gpus:
        key = gpu.name, round((gpu.memory or 0) / (1 << 30))
        counts[key] = counts.get(key, 0) + 1
    return ", ".join(f"{f'{number} × ' if number > 1 else ''}{name}{f' ({size}G)' if size else ''}"
                     for (name, size), number in counts.items())
