"""``sshjobs simulate``."""

from __future__ import annotations

import os
import random
import re
import tempfile
from pathlib import Path
from typing import Any

import click

from sshjobs.cli.options import hosts_of, results_option
from sshjobs.errors import EXIT_OK, UsageError

_SECONDS = re.compile(r"([0-9]*\.?[0-9]+)(?:(?:±|\+-)([0-9]*\.?[0-9]+))?\Z")


@click.command("simulate")
@click.argument("jobfile")
@click.option("--hosts", multiple=True, required=True, metavar="HOSTS",
              help="A hosts file, or a list such as h1,node[01-16]; may be repeated.")
@click.option("--seconds", metavar="MEAN[±SD]", help="How long a job takes: 30, or 30±5 (also written 30+-5).")
@click.option("--like", metavar="RUN", help="Let jobs take as long as those of an earlier run did.")
@click.option("--slots", type=click.IntRange(1), default=4, show_default=True, metavar="N",
              help="How many jobs a host takes at a time where its line does not say.")
@click.option("--round-trip", type=float, default=0.02, show_default=True, metavar="SECONDS",
              help="How long a word to a host and back takes.")
@click.option("--times", type=click.IntRange(1), default=20, show_default=True, metavar="N",
              help="How often the run is played.")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Of all that is left to chance.")
@results_option
def command(jobfile: str, hosts: tuple[str, ...], seconds: str | None, like: str | None, slots: int,
            round_trip: float, times: int, seed: int, results: Path) -> int:
    """Show how long the jobs of JOBFILE would take on hosts, without any of them.

    The run is played several times on simulated hosts by the manager that would carry it out. Half of the plays ended
    within the first time that is shown, nine of ten within the second.
    """
    from sshjobs.builder import Builder

    durations = _durations(seconds, like, results)
    specs = Builder().AddJobFile(jobfile).MakeJobSpecs()
    chosen = hosts_of(hosts) or []
    ends = sorted(_play(specs, chosen, durations, slots, round_trip, f"{seed} {number}") for number in range(times))
    half, most = ends[(times - 1) // 2], ends[min(times - 1, int(times * 0.9))]
    click.echo(f"{len(specs)} jobs on {len(chosen)} hosts: p50 {half:.1f} s, p90 {most:.1f} s")
    return EXIT_OK


def _durations(seconds: str | None, like: str | None, results: Path) -> Any:
    """Return what draws how long a job takes."""
    if (seconds is None) == (like is None):
        raise UsageError("how long the jobs take must be said", hint="either --seconds MEAN[±SD] or --like RUN")
    if seconds is not None:
        found = _SECONDS.match(seconds)
        if found is None:
            raise UsageError(f"--seconds {seconds} cannot be understood", hint="write 30, or 30±5")
        mean, spread = float(found[1]), float(found[2] or 0.0)
        return lambda rng: max(0.0, rng.gauss(mean, spread))
    from sshjobs.rundir import find_run
    from sshjobs.store import RunReader

    with RunReader.open(find_run(results, like)) as reader:
        taken = [attempt.ended - attempt.started for _, attempts in reader.jobs_with_attempts() for attempt in attempts
                 if attempt.started is not None and attempt.ended is not None]
    if not taken:
        raise UsageError(f"no job of {like} tells how long it took", hint="name another run, or use --seconds")
    return lambda rng: max(0.0, rng.choice(taken))


def _play(specs: list[Any], hosts: list[Any], durations: Any, slots: int, round_trip: float, seed: str) -> float:
    """Carry the run out once and return after how many seconds it ended."""
    from sshjobs.manager import Manager
    from sshjobs.network.sim import Program, World
    from sshjobs.network.sim.files import NoFiles
    from sshjobs.network.sim.machine import Machine
    from sshjobs.network.simulated import SimulatedNetwork

    rng = random.Random(seed)
    world = World(seed, lambda launch: Program(durations(rng)), latency=round_trip / 2)
    for host in hosts:
        world.machines[host.name] = Machine(world, host.name, host.slots or slots)
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="sshjobs-simulate-", dir=scratch) as directory:
        manager = Manager(60.0)
        manager.Setup(specs, SimulatedNetwork(directory, hosts, world, NoFiles()))
        manager.schedule.host_queue.rng = rng
        manager.ProcessJobs()
    return world.now
