"""``sshjobs simulate``."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from sshjobs.cli import candidates
from sshjobs.cli.options import hosts_of, hosts_option, results_option
from sshjobs.errors import EXIT_OK, UsageError

#: How often a run is played: as often as makes so many jobs, but no more and no less often than that.
TIMES, FEWEST_TIMES, ENOUGH = 20, 3, 300_000
#: What ends within so much of the time that a job takes is handled at once; and how many jobs tell that time.
AT_ONCE, SAMPLES = 0.002, 100
#: Plays with so many jobs in all are worth processes of their own.
WORTH_IT = 20_000

_SECONDS = re.compile(r"([0-9]*\.?[0-9]+)(?:(?:±|\+-)([0-9]*\.?[0-9]+))?\Z")


@click.command("simulate")
@click.argument("jobfile")
@hosts_option(required=True)
@click.option("--seconds", metavar="MEAN[±SD]", help="How long a job takes: 30, or 30±5 (also written 30+-5).")
@click.option("--like", metavar="RUN", shell_complete=candidates.runs,
              help="Let jobs take as long as those of an earlier run did.")
@click.option("--slots", type=click.IntRange(1), default=4, show_default=True, metavar="N",
              help="How many jobs a host takes at a time where its line does not say.")
@click.option("--round-trip", type=float, default=0.02, show_default=True, metavar="SECONDS",
              help="The time of a round trip to a host.")
@click.option("--times", type=click.IntRange(1), metavar="N",
              help="How often the run is played.  [default: 20, less often with more than 15,000 jobs]")
@click.option("--seed", type=int, default=1, show_default=True, metavar="N", help="Of all that is left to chance.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@results_option
def command(jobfile: str, hosts: tuple[str, ...], seconds: str | None, like: str | None, slots: int,
            round_trip: float, times: int | None, seed: int, as_json: bool, results: Path) -> int:
    """Show how long the jobs of JOBFILE would take on hosts, without any of them.

    The run is played several times on simulated hosts by the manager that would carry it out. Half of the plays ended
    within the first time that is shown, nine of ten within the second.
    """
    from sshjobs.inputs.builder import Builder

    durations = _durations(seconds, like, results)
    specs = Builder().AddJobFile(jobfile).MakeJobSpecs()
    chosen = hosts_of(hosts) or []
    if times is None:
        times = min(TIMES, max(FEWEST_TIMES, ENOUGH // max(1, len(specs))))
    with tempfile.TemporaryDirectory(prefix="sshjobs-simulate-", dir=_scratch()) as directory:
        play = functools.partial(_play, specs, chosen, durations, slots, round_trip, directory)
        ends = sorted(_plays(play, [f"{seed} {number}" for number in range(times)], times * len(specs)))
    half, most = ends[(times - 1) // 2], ends[min(times - 1, int(times * 0.9))]
    if as_json:
        click.echo(json.dumps({"jobs": len(specs), "hosts": len(chosen), "times": times, "p50": round(half, 3),
                               "p90": round(most, 3)}))
        return EXIT_OK
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
    from sshjobs.store import RunReader
    from sshjobs.store.rundir import find_run

    with RunReader.open(find_run(results, like)) as reader:
        taken = [attempt.ended - attempt.started for _, attempts in reader.jobs_with_attempts() for attempt in attempts
                 if attempt.started is not None and attempt.ended is not None]
    if not taken:
        raise UsageError(f"no job of {like} tells how long it took", hint="name another run, or use --seconds")
    return lambda rng: max(0.0, rng.choice(taken))


def _scratch() -> str | None:
    """Return where the runs are best kept while they are played."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _plays(play: Callable[[str], float], seeds: list[str], jobs: int) -> list[float]:
    """Return when each play ended: the first here, which tells what is wrong with all, and long ones side by side.

    :param jobs: how many there are in all plays together
    """
    ends = [play(seeds[0])]
    rest, cores = seeds[1:], min(len(os.sched_getaffinity(0)), len(seeds) - 1) if sys.platform == "linux" else 1
    if jobs < WORTH_IT or cores < 2:
        return ends + [play(seed) for seed in rest]
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(cores, _Player.begin, (play,)) as players:
        return ends + players.map(_Player.play, rest, 1)


class _Player:
    """What a forked process knows: it is not told over a pipe what to play."""

    _how: Callable[[str], float]

    @classmethod
    def begin(cls, play: Callable[[str], float]) -> None:
        """Get ready. An interrupt is for the process that forked us to see."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        cls._how = staticmethod(play)

    @classmethod
    def play(cls, seed: str) -> float:
        """Play once."""
        return cls._how(seed)


def _play(specs: list[Any], hosts: list[Any], durations: Any, slots: int, round_trip: float, directory: str,
          seed: str) -> float:
    """Carry the run out once and return after how many seconds it ended."""
    from sshjobs.running.manager import Manager
    from sshjobs.simulation import Program, World
    from sshjobs.simulation.clockwork import Clockwork
    from sshjobs.simulation.files import NoFiles
    from sshjobs.simulation.network import SimulatedNetwork

    rng, other = random.Random(seed), random.Random(seed)
    world = World(seed, lambda launch: Program(0.0), latency=round_trip / 2)
    for host in hosts:
        world.machines[host.name] = Clockwork(world, host.name, host.slots or slots, lambda: durations(rng))
    with tempfile.TemporaryDirectory(dir=directory) as results:
        manager, network = Manager(60.0), SimulatedNetwork(results, hosts, world, NoFiles())
        network.linger = AT_ONCE * sum(durations(other) for _ in range(SAMPLES)) / SAMPLES
        manager.Setup(specs, network)
        manager.schedule.hosts.queue.rng = rng
        manager.ProcessJobs()
    return world.now
