"""Functions on hosts, beside what they must take: ``python -m tests.benchmarks.functions``, by hand.

1,000 calls of ``time.sleep(0.1)`` over real sshd on 4 hosts with 2 slots each, after connecting: beside the 12.5 s that
they must take. 10,000 items by ``ClusterPool.map`` on dask: beside ``Client.map`` of the same items.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sshjobs import Executor
from tests.lab import HostOptions, Lab
from tests.pools.engines import dask

HOSTS, SLOTS, CALLS, NAP, ITEMS, TIMES = 4, 2, 1000, 0.1, 10_000, 3


def measure(act: Callable[[], object]) -> float:
    """Seconds of the median of some times."""
    found = []
    for _ in range(TIMES):
        began = time.monotonic()
        act()
        found.append(time.monotonic() - began)
    return statistics.median(found)


def naps(directory: Path) -> str:
    """Calls over ssh, beside what they must take."""
    ideal = CALLS * NAP / (HOSTS * SLOTS)
    with Lab(HOSTS, options=HostOptions(python=sys.executable)) as lab:
        hosts = [f"{host.name} slots={SLOTS}" for host in lab.hosts]
        with Executor(hosts, ssh_config=str(lab.ssh_config), results_dir=directory) as executor:
            # Every slot is used once: connected, and its fork server is there.
            list(executor.map(time.sleep, [0.5] * HOSTS * SLOTS))
            took = measure(lambda: list(executor.map(time.sleep, [NAP] * CALLS)))
    return f"{CALLS} naps of {NAP} s on {HOSTS} x {SLOTS} slots: {took:.2f} s, {took / ideal:.3f} of {ideal:.1f} s"


def square(n: int) -> int:
    return n * n


def items(directory: Path) -> str:
    """Items on dask."""
    with dask(directory) as engine, engine.pool() as pool:
        client = pool._client  # type: ignore[attr-defined]
        pool.map(square, range(100))
        theirs = measure(lambda: client.gather(client.map(square, range(ITEMS), pure=False)))
        ours = measure(lambda: pool.map(square, range(ITEMS)))
    return f"{ITEMS} items on dask: ClusterPool.map {ours:.2f} s, Client.map {theirs:.2f} s, {ours / theirs:.2f} of it"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        print(naps(Path(made)), flush=True)
        print(items(Path(made)), flush=True)
