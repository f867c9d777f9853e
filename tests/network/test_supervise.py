"""What works in the background does not die without being heard."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable

import pytest

from sshjobs.errors import HostError, LocalError
from sshjobs.network.contract import HERE, Warned
from sshjobs.network.supervise import Supervisor, Threads, start_thread
from sshjobs.network.trouble import MOST_TOLD, LocalTrouble


def in_a_loop(play: Callable[[Supervisor], object]) -> list[BaseException]:
    """Let something happen in a loop with a supervisor; return what this was told of."""
    failed: list[BaseException] = []

    async def main() -> None:
        supervisor = Supervisor(asyncio.get_running_loop(), failed.append)
        play(supervisor)
        for _ in range(5):
            await asyncio.sleep(0)
    asyncio.run(main())
    return failed


async def die() -> None:
    raise ZeroDivisionError("by nothing")


async def sleep() -> None:
    await asyncio.sleep(3600)


def test_a_task_that_dies_is_told_and_one_that_is_cancelled_is_not() -> None:
    assert [repr(error) for error in in_a_loop(lambda supervisor: supervisor.start(die()))] == [
        "ZeroDivisionError('by nothing')"]
    assert in_a_loop(lambda supervisor: supervisor.start(sleep()).cancel()) == []


def test_a_callback_of_the_loop_that_dies_is_told() -> None:
    failed = in_a_loop(lambda supervisor: asyncio.get_running_loop().call_soon(lambda: 1 // 0))
    assert [type(error) for error in failed] == [ZeroDivisionError]


def test_a_thread_that_dies_is_told() -> None:
    failed: list[BaseException] = []
    start_thread("t", lambda: 1 // 0, failed.append).join(30)
    assert [type(error) for error in failed] == [ZeroDivisionError]


def test_a_thread_that_cannot_be_started_is_trouble_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(LocalError, match="no further thread can be started on this machine"):
        start_thread("t", lambda: None, lambda error: None)


def test_what_blocks_returns_or_raises_where_it_is_waited_for() -> None:
    async def main() -> None:
        threads = Threads(2)
        assert await asyncio.gather(*(threads.do(functools.partial(pow, n, 2)) for n in range(5))) == [0, 1, 4, 9, 16]
        with pytest.raises(ZeroDivisionError):
            await threads.do(lambda: 1 // 0)
    asyncio.run(main())


def troubled(errors: list[LocalError | HostError], monkeypatch: pytest.MonkeyPatch) -> tuple[list[Warned], int]:
    """Do something that fails with each of these, then does not; return what was told, and how often it was tried."""
    monkeypatch.setattr("sshjobs.network.trouble.RETRY_S", 0.0)
    told: list[Warned] = []
    tries = 0

    async def act() -> str:
        nonlocal tries
        tries += 1
        if tries <= len(errors):
            raise errors[tries - 1]
        return "done"
    asyncio.run(LocalTrouble(told.append, Threads(1).do).outwait(act))
    return told, tries


def test_trouble_that_passes_is_told_once_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told, tries = troubled([LocalError("no room"), LocalError("no room"), LocalError("no file", hint="close some")], monkeypatch)
    assert told == [Warned(HERE, "no room; waiting"), Warned(HERE, "no file; waiting; close some")]
    assert tries == 4


def test_no_trouble_of_many_files_is_told_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told, tries = troubled([LocalError("no room", where=str(n)) for n in range(100)], monkeypatch)
    assert (len(told), tries) == (MOST_TOLD, 101)


@pytest.mark.parametrize("error", [LocalError("gone", passing=False), HostError("x", "h", "a host's own")])
def test_what_waiting_cannot_help_is_raised(error: LocalError | HostError, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)):
        troubled([error], monkeypatch)
