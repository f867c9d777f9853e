"""The peers from PyPI, each doing the same work: ``python peers.py NAME ARGUMENT…`` prints the seconds that it took.

Runs under the environment of the peers, so it imports nothing of ours. What a peer needs before the first job (a
cluster, connections) is made before the clock starts.
"""

from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TRUE = "/bin/true"


def dask(jobs: str, workers: str, threads: str) -> float:
    """Tasks that run a program, on a local cluster."""
    distributed: Any = importlib.import_module("distributed")
    with distributed.LocalCluster(n_workers=int(workers), threads_per_worker=int(threads), processes=True,
                                  dashboard_address=None) as cluster, distributed.Client(cluster) as client:
        # One for each thread first, so that every worker has imported what it needs.
        client.gather(client.map(_spawn, range(int(workers) * int(threads)), pure=False))
        began = time.perf_counter()
        statuses = client.gather(client.map(_spawn, range(int(jobs)), pure=False))
        taken = time.perf_counter() - began
    assert not any(statuses)
    return taken


def _spawn(number: int) -> int:
    return subprocess.call([TRUE], stdin=subprocess.DEVNULL)


def hyperqueue(jobs: str, workers: str, slots: str) -> float:
    """Tasks of one job on local workers, each writing its two output files as by default."""
    hq: Any = importlib.import_module("hyperqueue")
    cluster_module: Any = importlib.import_module("hyperqueue.cluster")
    # What it leaves in TMPDIR is deleted with that.
    work = tempfile.mkdtemp()
    with hq.LocalCluster(server_dir=str(Path(work) / "server")) as cluster:
        for _ in range(int(workers)):
            cluster.start_worker(cluster_module.WorkerConfig(cores=int(slots)))
        client = cluster.client()
        _hq_job(hq, client, Path(work) / "warm", int(workers) * int(slots))
        began = time.perf_counter()
        _hq_job(hq, client, Path(work) / "true", int(jobs))
        return time.perf_counter() - began


def _hq_job(hq: Any, client: Any, directory: Path, tasks: int) -> None:
    directory.mkdir()
    job = hq.Job(default_workdir=directory)
    for _ in range(tasks):
        job.program([TRUE])
    client.wait_for_jobs([client.submit(job)])


def fabric(jobs: str, slots: str, config: str, *hosts: str) -> float:
    """A thread for each slot with a connection of its own, which is open before."""
    fabric_module: Any = importlib.import_module("fabric")
    paramiko: Any = importlib.import_module("paramiko")
    ssh_config = paramiko.SSHConfig.from_path(config)
    settings = fabric_module.Config(ssh_config=ssh_config)
    connections = [fabric_module.Connection(host, config=settings) for host in hosts for _ in range(int(slots))]
    for connection in connections:
        connection.open()
    numbers = iter(range(int(jobs)))
    lock = threading.Lock()

    def work(connection: Any) -> None:
        while True:
            with lock:
                if next(numbers, None) is None:
                    return
            connection.run(TRUE, hide=True, in_stream=False)

    threads = [threading.Thread(target=work, args=(connection,)) for connection in connections]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    for connection in connections:
        connection.close()
    return taken


def asyncssh(jobs: str, slots: str, config: str, *hosts: str) -> float:
    """A task for each slot, over one connection a host, which is open before."""
    module: Any = importlib.import_module("asyncssh")
    numbers = iter(range(int(jobs)))

    async def work(connection: Any) -> None:
        for _ in numbers:
            await connection.run(TRUE, check=True)

    async def whole() -> float:
        connections = [await module.connect(host, config=[config]) for host in hosts]
        began = time.perf_counter()
        await asyncio.gather(*(work(one) for one in connections for _ in range(int(slots))))
        taken = time.perf_counter() - began
        for one in connections:
            one.close()
            await one.wait_closed()
        return taken

    return asyncio.run(whole())


_PEERS: dict[str, Callable[..., float]] = {"dask": dask, "hyperqueue": hyperqueue, "fabric": fabric,
                                           "asyncssh": asyncssh}

if __name__ == "__main__":
    print(_PEERS[sys.argv[1]](*sys.argv[2:]))
