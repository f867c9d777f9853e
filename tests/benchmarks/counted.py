"""Our command, counting what it does: ``python -m tests.benchmarks.counted COUNTS.json run jobs.yaml …``.

Counts are the same on a fast machine and a slow one, or nearly, so tests may hold them to limits; times may not be.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sshjobs.cli import main
from sshjobs.network.protocol import frames
from sshjobs.network.transport.base import ProcessStream

COUNTS: Counter[str] = Counter()
#: What Python says when it is about to start a process, by whatever function.
_STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}


def _hear(event: str, _: tuple[Any, ...]) -> None:
    if event in _STARTS:
        COUNTS["processes"] += 1


def _count_frames() -> None:
    encode, feed = frames.encode, frames.Decoder.feed

    def counted_encode(frame: Any, body: bytes = b"") -> bytes:
        COUNTS["frames_out"] += 1
        return encode(frame, body)

    def counted_feed(self: frames.Decoder, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        for found in feed(self, data):
            COUNTS["frames_in"] += 1
            yield found

    frames.encode, frames.Decoder.feed = counted_encode, counted_feed  # type: ignore[method-assign]


def _count_bytes() -> None:
    read, write, write_file = ProcessStream.read, ProcessStream.write, ProcessStream.write_file

    async def counted_read(self: ProcessStream) -> bytes:
        data = await read(self)
        COUNTS["reads"] += 1
        COUNTS["bytes_in"] += len(data)
        return data

    async def counted_write(self: ProcessStream, data: bytes) -> None:
        COUNTS["writes"] += 1
        COUNTS["bytes_out"] += len(data)
        await write(self, data)

    async def counted_write_file(self: ProcessStream, file: int, offset: int, size: int) -> bool:
        COUNTS["bytes_out"] += size
        return await write_file(self, file, offset, size)

    ProcessStream.read, ProcessStream.write = counted_read, counted_write  # type: ignore[method-assign]
    ProcessStream.write_file = counted_write_file  # type: ignore[method-assign]


if __name__ == "__main__":
    into = Path(sys.argv.pop(1))
    sys.addaudithook(_hear)
    _count_frames()
    _count_bytes()
    try:
        sys.exit(main())
    finally:
        into.write_text(json.dumps(COUNTS))
