"""Pipes to a child process: every byte in order, nobody left waiting, nobody kept from working."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.network.transport import pipes
from sshjobs.network.transport.pipes import SIZE, PipeReader, PipeWriter

LIMIT = 30.0
DATA = os.urandom(1 << 20) * 8


def played(play: Callable[[], Awaitable[Any]]) -> Any:
    """What a scene in an event loop came to."""
    return asyncio.run(asyncio.wait_for(play(), LIMIT))


def a_pipe() -> tuple[Any, Any]:
    reading, writing = os.pipe()
    return open(reading, "rb", buffering=0), open(writing, "wb", buffering=0)


def in_a_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def write_out(pipe: Any) -> None:
    with pipe:
        rest = memoryview(DATA)
        while rest:
            rest = rest[pipe.write(rest):]


def test_much_is_read_in_order_to_its_end() -> None:
    async def play() -> bytes:
        near, far = a_pipe()
        thread, reader, found = in_a_thread(lambda: write_out(far)), PipeReader(near), []
        while data := await reader.read():
            found.append(data)
        reader.close()
        thread.join()
        return b"".join(found)
    assert played(play) == DATA


def test_others_work_while_much_is_read() -> None:
    async def play() -> tuple[int, int]:
        near, far = a_pipe()
        thread, reader, reads, turns = in_a_thread(lambda: write_out(far)), PipeReader(near), 0, 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1
        task = asyncio.ensure_future(other())
        while await reader.read():
            reads += 1
        task.cancel()
        reader.close()
        thread.join()
        return reads, turns
    reads, turns = played(play)
    assert 0 < reads <= turns


def written(write: Callable[[PipeWriter], Awaitable[None]]) -> bytes:
    """What comes out of a pipe when a scene writes into it."""
    async def play() -> bytes:
        far, near = a_pipe()
        found: list[bytes] = []
        thread, writer = in_a_thread(lambda: found.append(far.readall())), PipeWriter(near)
        await write(writer)
        writer.close()
        await asyncio.get_running_loop().run_in_executor(None, thread.join)
        far.close()
        return found[0]
    return bytes(played(play))


@pytest.mark.parametrize("splice", [True, False])
def test_a_file_is_written_as_it_is_and_what_it_has_lost_as_nuls(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splice: bool) -> None:
    if not splice:
        monkeypatch.setattr(pipes, "_splice", None)
    path = tmp_path / "file"
    path.write_bytes(DATA)
    length, part = len(DATA) + 300_000, 1 << 18

    async def write(writer: PipeWriter) -> None:
        with open(path, "rb") as file:
            for offset in range(0, length, part):
                await writer.write(b"%d" % offset)
                there = await writer.write_file(file.fileno(), offset, min(part, length - offset))
                assert there == (offset + part <= len(DATA))
    whole = DATA + bytes(300_000)
    assert written(write) == b"".join(b"%d" % offset + whole[offset:offset + part]
                                      for offset in range(0, length, part))


def test_much_is_written_in_order() -> None:
    async def write(writer: PipeWriter) -> None:
        for start in range(0, len(DATA), 100_000):
            await writer.write(DATA[start:start + 100_000])
    assert written(write) == DATA


def test_whoever_waits_for_a_reader_that_goes_is_told() -> None:
    async def play() -> None:
        far, near = a_pipe()
        writer = PipeWriter(near)
        waiting = asyncio.ensure_future(writer.write(DATA))
        await asyncio.sleep(0)
        far.close()
        with pytest.raises(BrokenPipeError):
            await waiting
        writer.close()
    played(play)


def test_whoever_waits_for_a_pipe_that_is_closed_is_woken() -> None:
    async def play() -> None:
        (near, other), (far, mine) = a_pipe(), a_pipe()
        reader, writer = PipeReader(near), PipeWriter(mine)
        reading, writing = asyncio.ensure_future(reader.read()), asyncio.ensure_future(writer.write(DATA))
        await asyncio.sleep(0)
        for pipe in (reader, writer, reader, writer):
            pipe.close()
        assert await reading == b""
        with pytest.raises(BrokenPipeError):
            await writing
        with pytest.raises(BrokenPipeError):
            await writer.write(b"more")
        for end in (other, far):
            end.close()
    played(play)


@pytest.mark.skipif(pipes._SET_SIZE is None, reason="only Linux lets programs choose the size of pipes")
def test_a_pipe_is_wide_while_much_comes_and_only_so_many_are() -> None:
    async def play() -> None:
        pairs = [a_pipe() for _ in range(pipes.MOST_WIDE + 2)]
        readers = [PipeReader(near) for near, _ in pairs]
        for reader, (_, far) in zip(readers, pairs, strict=True):
            far.write(b"x" * SIZE)
            assert len(await reader.read()) == SIZE
        assert sum(reader._wide for reader in readers) == pipes.MOST_WIDE
        for reader, (_, far) in zip(readers, pairs, strict=True):
            far.write(b"x")
            assert await reader.read() == b"x"
        assert not any(reader._wide for reader in readers)
        for reader, (_, far) in zip(readers, pairs, strict=True):
            reader.close()
            far.close()
        assert PipeReader._wide_ones == 0
    played(play)
