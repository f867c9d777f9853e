"""The stream of events when browsers come and go at any moment, and when a look at a run fails."""

from __future__ import annotations

import asyncio
import json
import random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from sshjobs.web import events, models
from sshjobs.web.events import Events


class Runs:
    """A run that is another one at each look. While ``fails``, a look at it fails."""

    def __init__(self) -> None:
        self.looks, self.fails = 0, False

    async def watch(self, name: str) -> Any:
        return SimpleNamespace(overview=self._overview)

    async def _overview(self) -> models.Overview:
        self.looks += 1
        await asyncio.sleep(0)
        if self.fails:
            raise KeyError("nonsense")
        run = models.RunInfo.model_construct(name="r", version=self.looks)
        return models.Overview.model_construct(run=run, rate=None, seconds_left=None, ready=True, hosts=[])


async def newest(streams: Events) -> int:
    """Return which look a browser that connects now is told of first."""
    async for text in streams._events("r", 0.0, 0):
        if "data: " in text:
            return int(json.loads(text.partition("data: ")[2])["head"]["run"]["version"])
    return 0


@pytest.mark.parametrize("seed", range(5))
def test_browsers_that_leave_at_any_moment_hold_up_no_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print("seed", seed)
    rnd = random.Random(seed)
    monkeypatch.setattr(events, "TICK", 0.0)

    async def stay(streams: Events) -> None:
        async for _ in streams._events("r", 0.0, 0):
            pass

    async def play() -> None:
        runs = Runs()
        streams = Events(runs)  # type: ignore[arg-type]
        for _ in range(60):
            # As the server does it: whoever is gone is cancelled until it has ended.
            async with anyio.create_task_group() as group:
                for _ in range(rnd.randrange(1, 8)):
                    group.start_soon(stay, streams)
                for _ in range(rnd.randrange(40)):
                    await asyncio.sleep(0)
                group.cancel_scope.cancel()
        before = runs.looks
        assert await asyncio.wait_for(newest(streams), 20) > 0
        while runs.looks <= before + 1:
            await asyncio.wait_for(newest(streams), 20)
        await streams.close()

    asyncio.run(play())


def test_a_look_that_fails_ends_the_streams_so_that_browsers_ask_why(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(events, "TICK", 0.0)

    async def play() -> None:
        runs = Runs()
        streams = Events(runs)  # type: ignore[arg-type]
        assert await newest(streams) > 0
        runs.fails = True
        async for _ in streams._events("r", 0.0, 0):
            pass
        runs.fails = False
        assert await asyncio.wait_for(newest(streams), 20) > 0
        await streams.close()

    asyncio.run(play())
    assert "KeyError" in caplog.text and "please report it" in caplog.text
