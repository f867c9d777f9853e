"""Computes the crc32 of a stream from those of its pieces, so that each byte is read only once.

The same as zlib's ``crc32_combine``, which Python does not offer: polynomials over GF(2), the lowest power in the
highest bit.
"""

from __future__ import annotations

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def combined(first: int, second: int, size: int) -> int:
    """Return the crc32 of two pieces in a row, from that of each.

    :param size: bytes of the second
    """
    return _times(_shift(size), first) ^ second if first else second


@lru_cache(maxsize=1024)
def _shift(size: int) -> int:
    """Return x to the power of 8 * size."""
    power, square = _ONE, 1 << 23
    while size:
        if size & 1:
            power = _times(square, power)
        square = _times(square, square)
        size >>= 1
    return power


def _times(a: int, b: int) -> int:
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
    return product
