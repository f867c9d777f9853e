"""What a job costs the manager as work grows, on the simulated network: ``python -m tests.benchmarks.scale``.

The hosts take time and do nothing else, and what they take of this process's CPU is taken off and told apart: what is
left is the manager's own, from the jobs' specs to the store. What a host costs once (to be contacted, to be let go of)
is taken off too: each figure is the difference between a run and one of fewer jobs on the same hosts. Every run has a
process of its own; small ones are measured several times.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from sshjobs.__main__ import GARBAGE_AFTER
from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.running.manager import Manager
from sshjobs.simulation import Program, World
from sshjobs.simulation.clockwork import Clockwork
from sshjobs.simulation.files import NoFiles
from sshjobs.simulation.network import SimulatedNetwork
from tests.benchmarks.measure import Figure, about, tell

SLOTS = 8
#: How far work has to grow for the mark to be met.
WHOLE = {"jobs": 1_000_000, "hosts": 10_000}
#: How many hosts there are while jobs grow, and how many jobs for each host while hosts grow, with the fewest.
HOSTS, JOBS_A_HOST, FEWEST_JOBS = 100, 40, 20_000
#: Jobs that are measured for one figure at least, in as many runs as that takes, up to the most.
ENOUGH, MOST_RUNS = 60_000, 5
#: How often the command looks for garbage.
GARBAGE = (GARBAGE_AFTER, 20, 50)


class Cost(NamedTuple):
    """What a run took: CPU seconds of the manager and of the simulated hosts, and bytes of memory."""

    cpu: float
    hosts: float
    memory: float

    def a_job(self, fewer: Cost, jobs: int) -> Cost:
        """Return what each of so many jobs took that a run of fewer did not have."""
        return Cost(*((mine - other) / jobs for mine, other in zip(self, fewer, strict=True)))


class Timed(Clockwork):
    """A host that says how much CPU all of its kind have taken."""

    taken = 0.0

    def receive(self, data: bytes) -> None:
        began = time.process_time()
        super().receive(data)
        Timed.taken += time.process_time() - began

    def tell_started(self) -> None:
        began = time.process_time()
        super().tell_started()
        Timed.taken += time.process_time() - began

    def end_some(self) -> None:
        began = time.process_time()
        super().end_some()
        Timed.taken += time.process_time() - began


def measure(jobs: int, hosts: int, seconds: float = 10.0) -> Cost:
    """Carry out a run. Memory is what the process has never had before."""
    Timed.taken = 0.0
    world = World(1, lambda launch: Program(seconds))
    chosen = [Host(f"h{number}", slots=SLOTS) for number in range(hosts)]
    for host in chosen:
        world.machines[host.name] = Timed(world, host.name, SLOTS, lambda: seconds)
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as directory:
        before, began = _most_memory(), time.process_time()
        manager = Manager(60.0)
        specs = Builder().AddJob(argv=["true"], name="job", repeat=jobs).MakeJobSpecs()
        manager.Setup(specs, SimulatedNetwork(directory, chosen, world, NoFiles()))
        # Held by the jobs from now on.
        del specs
        manager.ProcessJobs()
        assert manager.summary is not None and manager.summary.counts["done"] == jobs
        return Cost(time.process_time() - began - Timed.taken, Timed.taken, _most_memory() - before)


def _alone(jobs: int, hosts: int) -> Cost:
    """Carry out a run in a process of its own, which looks for garbage as often as the command does."""
    gc.set_threshold(*GARBAGE)
    return measure(jobs, hosts)


def _most_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def marginal(jobs: int, fewer: int, hosts: int) -> list[Cost]:
    """Return what a job costs in a run of so many that one of fewer did not have, as often as that was measured."""
    costs = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        for _ in range(min(MOST_RUNS, -(-ENOUGH // jobs))):
            base = fresh.apply(_alone, (fewer, hosts))
            costs.append(fresh.apply(_alone, (jobs, hosts)).a_job(base, jobs - fewer))
    return costs


def _median(costs: list[Cost]) -> float:
    return statistics.median(cost.cpu for cost in costs)


def figures(by_jobs: dict[int, list[Cost]], by_hosts: dict[int, list[Cost]]) -> list[Figure]:
    """Return what the page shows of both tables."""
    what, told = "a job in a simulated run", []
    for costs, of in ((by_jobs, "jobs"), (by_hosts, "hosts")):
        if costs:
            dearest = max(map(_median, costs.values())) / _median(costs[min(costs)])
            told.append(Figure(f"{what}: CPU, the dearest of {min(costs):,} to {max(costs):,} {of} against the fewest",
                               [dearest], "×", 1.3 if max(costs) >= WHOLE[of] else None))
    if by_jobs:
        most = by_jobs[max(by_jobs)]
        told.append(Figure(f"{what}: memory, {max(by_jobs):,} jobs", [cost.memory for cost in most], "bytes",
                           1024 if max(by_jobs) >= WHOLE["jobs"] else None))
    return told + [Figure(f"{what}: CPU, {number:,} {of}", [cost.cpu * 1e6 for cost in some], "µs")
                   for costs, of in ((by_jobs, "jobs"), (by_hosts, "hosts")) for number, some in costs.items()]


def _row(costs: list[Cost]) -> str:
    hosts = statistics.median(cost.hosts for cost in costs)
    memory = statistics.median(cost.memory for cost in costs)
    return f"{_median(costs) * 1e6:6.0f} us (and hosts {hosts * 1e6:3.0f} us)   {memory:6.0f} bytes"


def main() -> None:
    """Print both tables, and keep the figures for the report where that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--jobs", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--hosts", type=int, nargs="*", default=[10, 100, 1_000, 10_000])
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    before, by_jobs, by_hosts = about(), {}, {}
    print(f"jobs on {HOSTS} hosts (1,000 on 10)   CPU a job                      memory a job")
    for jobs in options.jobs:
        # On so many hosts, so few jobs would not even fill the slots.
        by_jobs[jobs] = marginal(jobs, jobs // 10, HOSTS if jobs > 1_000 else HOSTS // 10)
        print(f"{jobs:31,}   {_row(by_jobs[jobs])}", flush=True)
    print(f"hosts, {JOBS_A_HOST} jobs each ({FEWEST_JOBS:,} at least)")
    for hosts in options.hosts:
        jobs = max(FEWEST_JOBS, JOBS_A_HOST * hosts)
        by_hosts[hosts] = marginal(jobs, jobs // 2, hosts)
        print(f"{hosts:31,}   {_row(by_hosts[hosts])}", flush=True)
    tell("scale", 1, before, figures(by_jobs, by_hosts), options.json)


if __name__ == "__main__":
    main()
