"""The checksum of a whole stream is that of its pieces, however it was cut."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from sshjobs.network.protocol.checksum import combined


@given(st.lists(st.binary(max_size=3000), max_size=8))
def test_pieces_make_the_checksum_of_the_whole(pieces: list[bytes]) -> None:
    crc = 0
    for piece in pieces:
        crc = combined(crc, zlib.crc32(piece), len(piece))
    assert crc == zlib.crc32(b"".join(pieces))


def test_long_pieces_too() -> None:
    first, second = bytes(range(256)) * 4096, b"\0" * (1 << 20)
    assert combined(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)
