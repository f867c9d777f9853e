"""Output on its way from a machine to the manager."""

from __future__ import annotations

import zlib

from sshjobs.gjob import wire
from sshjobs.simulation.disk import Disk
from sshjobs.simulation.history import Attempt
from sshjobs.simulation.pipe import Connection

#: Bytes of one piece of output.
PIECE = 1 << 16


def send_output(link: Connection, disk: Disk, attempt: Attempt, feed: list[int]) -> None:
    """Send what is new of both streams.

    :param feed: the offsets that the link has; they move on
    """
    for index in (0, 1):
        size = disk.size(attempt.uid, index + 1)
        position = feed[index] - attempt.lost[index]
        if size < position:
            # What was sent is not there any more; the manager's offset counts it all the same.
            attempt.lost[index] += position - size
            position = size
        while position < size:
            data = disk.read(attempt.uid, index + 1, position, min(size, position + PIECE))
            head = {"t": "out", "id": attempt.uid, "s": index + 1, "off": feed[index], "n": len(data),
                    "crc": zlib.crc32(data)}
            link.down.write(wire.encode(head, data))
            position += len(data)
            feed[index] += len(data)
