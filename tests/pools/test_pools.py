"""One interface on four engines: what a map promises holds on each of them."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from sshjobs.pools.base import BasePool, PoolError
from sshjobs.pools.chunks import RemoteTraceback
from tests.hints import tries
from tests.pools.engines import ENGINES, Started

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    directory = tmp_path_factory.mktemp(request.param)
    with ENGINES[request.param](directory) as made:
        made.kind = request.param
        yield made


@pytest.fixture
def pool(engine: Started) -> Iterator[BasePool]:
    with engine.pool() as made:
        yield made


def square(n: int) -> int:
    return n * n


def note(path: str, value: Any) -> None:
    with open(path, "a") as file:
        file.write(f"{value}\n")


def test_a_map_returns_in_the_order_of_the_items(pool: BasePool) -> None:
    assert pool.map(square, range(1000)) == [n * n for n in range(1000)]
    assert pool.map(square, []) == []
    assert pool.map(lambda n: n + 1, iter([1, 2, 3]), chunksize=1) == [2, 3, 4]
    assert list(pool.imap(square, range(20), chunksize=3)) == [n * n for n in range(20)]
    assert sorted(pool.imap_unordered(square, range(20))) == [n * n for n in range(20)]


def test_an_imap_takes_items_as_they_are_needed(pool: BasePool) -> None:
    taken = []

    def items() -> Iterator[int]:
        for n in count():
            taken.append(n)
            yield n

    found = pool.imap(square, items(), chunksize=2)
    assert taken == []
    assert list(islice(found, 50)) == [n * n for n in range(50)]
    assert len(taken) <= 50 + 2 * (pool.window + 1)
    found.close()  # type: ignore[attr-defined]
    assert pool.map(square, range(5)) == [0, 1, 4, 9, 16], "what was given up does not come back"


def test_an_unordered_imap_does_not_wait_for_what_is_slow(pool: BasePool, tmp_path: Path) -> None:
    go = tmp_path / "go"

    def wait_for_go(n: int) -> int:

        while n == 0 and not os.path.exists(go):
            time.sleep(0.01)
        return n

    found = pool.imap_unordered(wait_for_go, range(6), chunksize=1)
    first = [next(found) for _ in range(4)]
    assert 0 not in first
    go.touch()
    assert sorted([*first, *found]) == list(range(6))


def test_what_a_function_raises_is_raised_in_its_place(pool: BasePool) -> None:
    def divide(n: int) -> float:
        return 12 / n

    found = pool.imap(divide, [1, 2, 0, 3], chunksize=1)
    assert [next(found), next(found)] == [12, 6]
    with pytest.raises(ZeroDivisionError) as caught:
        next(found)
    assert isinstance(caught.value.__cause__, RemoteTraceback) and "in divide" in str(caught.value.__cause__)
    with pytest.raises(ZeroDivisionError):
        pool.map(divide, range(-50, 50))
    assert pool.map(divide, [3]) == [4]


@tries("leave out what only lives in this process")
def test_what_cannot_be_sent_is_told(pool: BasePool) -> None:
    frame = sys._getframe()
    with pytest.raises(PoolError, match="the function cannot be sent.*leave out"):
        pool.map(lambda n: frame, [1])
    with pytest.raises((PoolError, TypeError), match="cannot pickle|cannot be pickled|pickle"):
        pool.map(lambda n: sys._getframe(), [1])
    for wrong in (lambda: pool.map(square, [1], chunksize=0), lambda: pool.map(3, [1])):  # type: ignore[arg-type]
        with pytest.raises(PoolError):
            wrong()
    assert pool.map(square, [3]) == [9]


def test_a_chunk_that_takes_too_long_is_done_again_elsewhere(pool: BasePool, tmp_path: Path) -> None:
    ledger = str(tmp_path / "ledger")
    pool.poll_timeout = 2.0

    def hang_once(n: int) -> int:

        if n == 3 and not os.path.exists(ledger):
            note(ledger, os.getpid())
            while not os.path.exists(ledger + ".go"):
                time.sleep(0.02)
        elif n == 3:
            note(ledger, os.getpid())
        return n

    try:
        assert pool.map(hang_once, range(8), chunksize=1) == list(range(8))
    finally:
        Path(ledger + ".go").touch()
    pids = Path(ledger).read_text().split()
    assert len(pids) >= 2 and pids[0] != pids[1]


def test_a_worker_that_is_killed_in_the_middle_takes_no_result_with_it(engine: Started, pool: BasePool) -> None:
    # The last one of an engine: there is one worker less from now on.
    pool.poll_timeout = 3.0 if engine.kind == "zmq" else 60.0

    def slow(n: int) -> int:
        import time

        time.sleep(0.002)
        return n * n

    found = pool.imap(slow, range(1000))
    first = list(islice(found, 100))
    engine.workers[0].kill()
    assert first + list(found) == [n * n for n in range(1000)]
