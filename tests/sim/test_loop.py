"""The event loop whose clock is the world's, when the process that it stands for dies."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from sshjobs.simulation import Program, World
from sshjobs.simulation.loop import WorldLoop


@pytest.mark.parametrize("begins", ["in a task of its own", "with a time limit"])
def test_what_a_task_of_a_dead_process_still_begins_is_taken_apart_as_well(begins: str,
                                                                          caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def close() -> None:
        try:
            await asyncio.sleep(1.0)
        finally:
            ended.append("close")

    async def converse() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            ended.append("converse")
            if begins == "in a task of its own":
                await asyncio.shield(close())
            else:
                await asyncio.wait_for(close(), 1.0)

    world = World(1, lambda launch: Program(1.0))
    loop = WorldLoop(world)
    loop.create_task(converse())
    world.run(1.0, lambda: False)
    loop.die()
    # As after any asyncio.run: asyncio makes no loop up for a thread that has none.
    asyncio.set_event_loop(None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loop.bury()
        gc.collect()
    assert [str(warning.message) for warning in told] == [] and caplog.records == []
    assert ended[0] == "converse"
