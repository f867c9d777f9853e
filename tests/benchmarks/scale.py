"""What a job costs the manager as work grows, on the simulated network: ``python -m tests.benchmarks.scale``.

Prints CPU per job (simulated hosts included) and the memory that a job takes, for growing numbers of jobs and hosts.
What a host costs once (to be contacted, to be let go of) is taken off: each figure is the difference between a run and
one of half its jobs on the same hosts. Every run has a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from sshjobs.host import Host
from sshjobs.manager import Manager
from sshjobs.network.sim import Program, World
from sshjobs.network.sim.files import NoFiles
from sshjobs.network.sim.machine import Machine
from sshjobs.network.simulated import SimulatedNetwork
from sshjobs.spec import JobSpec
from tests.benchmarks.measure import Figure, about, tell

SLOTS = 8
#: How far work has to grow for the mark to be met.
WHOLE = {"jobs": 1_000_000, "hosts": 10_000}


class Cost(NamedTuple):
    """What a run took: CPU seconds, those until the first launch could leave included, and bytes of memory."""

    cpu: float
    memory: float

    def a_job(self, half: Cost, jobs: int) -> Cost:
        """Return what each of the jobs took that the half of this run did not have."""
        return Cost((self.cpu - half.cpu) / jobs, (self.memory - half.memory) / jobs)


def measure(jobs: int, hosts: int, seconds: float = 10.0) -> Cost:
    """Carry out a run."""
    world = World(1, lambda launch: Program(seconds))
    chosen = [Host(f"h{number}", slots=SLOTS) for number in range(hosts)]
    for host in chosen:
        world.machines[host.name] = Machine(world, host.name)
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        before, began = _most_memory(), time.process_time()
        manager = Manager(60.0)
        spec = JobSpec(argv=["true"], name="job")
        manager.Setup((spec for _ in range(jobs)), SimulatedNetwork(directory, chosen, world, NoFiles()))
        manager.ProcessJobs()
        assert manager.summary is not None and manager.summary.counts["done"] == jobs
        return Cost(time.process_time() - began, _most_memory() - before)


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def marginal(jobs: int, hosts: int) -> Cost:
    """Return what a job costs in a run of so many on so many hosts: CPU seconds and bytes."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        half = fresh.apply(measure, (jobs // 2, hosts))
        return fresh.apply(measure, (jobs, hosts)).a_job(half, jobs - jobs // 2)


def figures(by_jobs: dict[int, Cost], by_hosts: dict[int, Cost]) -> list[Figure]:
    """Return what the page shows of both tables."""
    what, told = "a job in a simulated run", []
    for costs, of in ((by_jobs, "jobs"), (by_hosts, "hosts")):
        if costs:
            dearest = max(cost.cpu for cost in costs.values()) / costs[min(costs)].cpu
            told.append(Figure(f"{what}: CPU, the dearest of {min(costs):,} to {max(costs):,} {of} against the fewest",
                               [dearest], "×", 1.3 if max(costs) >= WHOLE[of] else None))
    if by_jobs:
        told.append(Figure(f"{what}: memory, {max(by_jobs):,} jobs", [by_jobs[max(by_jobs)].memory], "bytes", 1024))
    return told + [Figure(f"{what}: CPU, {number:,} {of}", [cost.cpu * 1e6], "µs")
                   for costs, of in ((by_jobs, "jobs"), (by_hosts, "hosts")) for number, cost in costs.items()]


def main() -> None:
    """Print both tables, and keep the figures for the report where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--jobs", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--hosts", type=int, nargs="*", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    before, by_jobs, by_hosts = about(), {}, {}
    print("  jobs on 100 hosts   CPU a job   memory a job")
    for jobs in options.jobs:
        # So few jobs take too little time for one run to tell it.
        cost = by_jobs[jobs] = marginal(jobs, 100 if jobs > 1_000 else 10)
        print(f"{jobs:19,}   {cost.cpu * 1e6:6.0f} us   {cost.memory:6.0f} bytes", flush=True)
    print("hosts, 40 jobs each (at least 20,000)   CPU a job")
    for hosts in options.hosts:
        cost = by_hosts[hosts] = marginal(max(20_000, 40 * hosts), hosts)
        print(f"{hosts:37,}   {cost.cpu * 1e6:6.0f} us", flush=True)
    tell("scale", 1, before, figures(by_jobs, by_hosts), options.json)


if __name__ == "__main__":
    main()
