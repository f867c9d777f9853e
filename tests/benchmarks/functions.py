"""Functions on hosts: calls of ``Executor`` beside what they must take, and maps of pools beside dask's own.

1,000 calls of ``time.sleep(0.1)`` over real sshd on 4 hosts with 2 slots each, after connecting, must take 12.5 s. Pools
have two workers on this machine, and no ssh.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sshjobs import Executor
from tests.benchmarks.measure import Figure, Ledger, fresh, main, scratch
from tests.lab import BaseLab, HostOptions, Lab
from tests.pools.engines import ENGINES

HOSTS, SLOTS, CALLS, NAP, ITEMS = 4, 2, 1000, 0.1, 10_000
IDEAL = CALLS * NAP / (HOSTS * SLOTS)


def square(number: int) -> int:
    return number * number


def seconds(act: Callable[[], list[Any]], wanted: list[Any]) -> float:
    """How long something takes that returns what it should.

    :raises RuntimeError: the figure would be that of something else
    """
    began = time.perf_counter()
    found = act()
    taken = time.perf_counter() - began
    if found != wanted:
        raise RuntimeError("that is not what it should return")
    return taken


def calls(lab: BaseLab, work: Path) -> dict[str, float]:
    """Seconds of 1,000 naps and of 1,000 calls that do next to nothing, each of them a call of its own."""
    hosts = [f"{host.name} slots={SLOTS}" for host in lab.hosts]
    with Executor(hosts, ssh_config=str(lab.ssh_config), results_dir=fresh(work)) as executor:
        # Every slot is used once: connected, and its fork server is there.
        list(executor.map(time.sleep, [0.5] * HOSTS * SLOTS))
        busy = time.process_time()
        naps = seconds(lambda: list(executor.map(time.sleep, [NAP] * CALLS)), [None] * CALLS)
        busy = time.process_time() - busy
        short = seconds(lambda: list(executor.map(square, range(CALLS))), [square(number) for number in range(CALLS)])
    return {"naps": naps, "cpu": 1000 * busy / CALLS, "short": CALLS / short}


def maps(pools: dict[str, Any], client: Any, *, backwards: bool) -> dict[str, float]:
    """Seconds of 10,000 items by ``Client.map`` of dask, and by ``ClusterPool.map`` on each engine."""
    wanted = [square(number) for number in range(ITEMS)]
    contestants: dict[str, Callable[[], float]] = {
        "Client.map": lambda: seconds(lambda: client.gather(client.map(square, range(ITEMS), pure=False)), wanted),
        **{name: lambda pool=pool: seconds(lambda: pool.map(square, range(ITEMS)), wanted)  # type: ignore[misc]
           for name, pool in pools.items()}}
    return {name: contestants[name]() for name in (reversed(contestants) if backwards else contestants)}


@contextmanager
def all_pools(work: Path) -> Iterator[dict[str, Any]]:
    """A pool on each engine, which has been used once."""
    with ExitStack() as stack:
        pools = {}
        for name, engine in ENGINES.items():
            directory = work / name
            directory.mkdir()
            pools[name] = stack.enter_context(stack.enter_context(engine(directory)).pool())
            pools[name].map(square, range(100))
        yield pools


def measure(rounds: int) -> list[Figure]:
    with scratch() as work:
        with Lab(HOSTS, options=HostOptions(python=sys.executable)) as lab:
            called = Ledger([calls(lab, work) for _ in range(rounds)])
        with all_pools(work) as pools:
            mapped = Ledger([maps(pools, pools["dask"]._client, backwards=bool(n % 2)) for n in range(rounds)])
    naps = f"{CALLS:,} calls of {NAP:g} s by `Executor.map`, {HOSTS} hosts × {SLOTS} slots, after connecting"
    items = f"{ITEMS:,} items of `x * x`"
    return [
        Figure(naps, [value / IDEAL for value in called.column("naps")], "× ideal", 1.15),
        Figure(f"{items}, 2 workers: `ClusterPool.map` on dask against `Client.map`", mapped.ratios("dask", "Client.map"), "×", 1.2),
        Figure(f"{naps}: of a slot, besides the call", [1000 * (value - IDEAL) * HOSTS * SLOTS / CALLS for value in called.column("naps")], "ms a call"),
        Figure(f"{naps}: CPU of the program that calls, without ssh", called.column("cpu"), "ms a call"),
        Figure(f"{CALLS:,} calls of `x * x` by `Executor.map`, {HOSTS} hosts × {SLOTS} slots", called.column("short"), "calls/s"),
        Figure(f"{items}, 2 workers: `Client.map` of dask", mapped.column("Client.map"), "s"),
        *(Figure(f"{items}, 2 workers: `ClusterPool.map` on {name}", mapped.column(name), "s") for name in ENGINES),
    ]


if __name__ == "__main__":
    main("functions", measure, 3)
