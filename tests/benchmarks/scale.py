"""What a job costs the manager as work grows, on the simulated network: ``python -m tests.benchmarks.scale``.

Prints CPU per job (simulated hosts included) and the memory that a job takes, for growing numbers of jobs and hosts.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import time
import tracemalloc

from sshjobs.host import Host
from sshjobs.manager import Manager
from sshjobs.network.sim import Program, World
from sshjobs.network.sim.files import NoFiles
from sshjobs.network.sim.machine import Machine
from sshjobs.network.simulated import SimulatedNetwork
from sshjobs.spec import JobSpec


def measure(jobs: int, hosts: int, *, seconds: float = 10.0, memory: bool = False) -> tuple[float, float]:
    """Carry out a run; return microseconds of CPU a job, and bytes a job (0 where they were not asked for)."""
    world = World(1, lambda launch: Program(seconds))
    chosen = [Host(f"h{number}", slots=8) for number in range(hosts)]
    for host in chosen:
        world.machines[host.name] = Machine(world, host.name)
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        manager = Manager(60.0)
        spec = JobSpec(argv=["true"], name="job")
        gc.collect()
        if memory:
            tracemalloc.start()
        manager.Setup((spec for _ in range(jobs)), SimulatedNetwork(directory, chosen, world, NoFiles()))
        size = tracemalloc.get_traced_memory()[0] if memory else 0
        tracemalloc.stop()
        began = time.process_time()
        manager.ProcessJobs()
        assert manager.summary is not None and manager.summary.counts["done"] == jobs
        return (time.process_time() - began) / jobs * 1e6, size / jobs


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--hosts", type=int, nargs="+", default=[10, 100, 1_000, 10_000])
    options = parser.parse_args()
    print("jobs on 100 hosts   CPU a job   memory a job")
    for jobs in options.jobs:
        cost, _ = measure(jobs, 100)
        _, size = measure(jobs, 100, memory=True) if jobs <= 10_000 else (0.0, 0.0)
        print(f"{jobs:17,}   {cost:6.0f} us   {f'{size:6.0f} bytes' if size else ''}", flush=True)
    print("hosts, 100,000 jobs   CPU a job")
    for hosts in options.hosts:
        print(f"{hosts:19,}   {measure(100_000, hosts)[0]:6.0f} us", flush=True)


if __name__ == "__main__":
    main()
