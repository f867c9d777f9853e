"""Sizes of memory as people write them: ``512M``, ``4G``."""

from __future__ import annotations

import re

#: Bytes in each unit, smallest first.
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
#: The least and the most memory that a job can need, in bytes. Less means that a unit was forgotten.
MIN_MEMORY, MAX_MEMORY = 1 << 20, 1 << 50

_SIZE = r"(?i)\s*([0-9]{1,16}(?:\.[0-9]{1,6})?)\s*(?:([KMGT])(?:iB|B)?)?\s*"


def parse_memory(value: str | int) -> int:
    """Return a size in bytes from a number of bytes, or from text such as ``512M`` or ``4G``.

    Units are K, M, G and T, each 1024 times the one before; ``GB`` and ``GiB`` mean the same as ``G``.

    :raises ValueError: it is no size, or not within the limits; the message follows the name of the key
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f" must be a size, got {value!r:.40}; write 512M or 4G")
    found = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
    if isinstance(value, str) and found is None:
        raise ValueError(f" must be a size, got {value!r:.40}; write 512M or 4G")
    size = value if isinstance(value, int) else 0 if found is None else int(
        float(found[1]) * UNITS.get((found[2] or "").upper(), 1))
    if size < MIN_MEMORY:
        raise ValueError(f" must be at least 1M, got {size:,} bytes; write a unit: 512M or 4G")
    if size > MAX_MEMORY:
        raise ValueError(f" must be at most {format_memory(MAX_MEMORY)}, got {value!r:.40}; write 512M or 4G")
    return size


def parse_kept(value: str | int) -> int:
    """Return how many bytes of an output ``value`` says are kept: as :func:`parse_memory`, but any number from 0 on.

    :raises ValueError: it means none, or it is not within the limits; the text stands behind the name of the key
    """
    found = re.fullmatch(_SIZE, value) if isinstance(value, str) else None
    if isinstance(value, bool) or not (found or isinstance(value, int)):
        raise ValueError(f" must be a size, got {value!r:.40}; write 64K or 10M")
    size = value if isinstance(value, int) else 0 if found is None else int(
        float(found[1]) * UNITS.get((found[2] or "").upper(), 1))
    if not 0 <= size <= MAX_MEMORY:
        raise ValueError(f" must be from 0 to {format_memory(MAX_MEMORY)}, got {value!r:.40}; write 64K or 10M")
    return size


def format_memory(size: int) -> str:
    """Return a size as :func:`parse_memory` reads it, in the largest unit that shows it exactly: ``4G``, ``1536M``."""
    for unit in reversed(UNITS):
        if size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return str(size)
