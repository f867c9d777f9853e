"""How often runs end when the forecast says: workloads of heavy tails, carried out by the manager on simulated hosts.

``python -m tests.forecast.coverage [--workloads 360] [--seed 1]`` plays them, asks for a forecast at half of the time that
each takes, from what is known by then, and tells how often the true end lies within p10 and p90.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from sshjobs.forecast.ends import Forecast, Running, Slots, Waiting, forecast
from sshjobs.forecast.lengths import Lengths, Observation
from sshjobs.gjob.runner import QUIET_START
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.running.manager import Manager
from sshjobs.simulation import Program, World
from sshjobs.simulation.clockwork import Clockwork
from sshjobs.simulation.files import NoFiles
from sshjobs.simulation.network import SimulatedNetwork

TAILS = ("lognormal", "pareto", "bimodal")
#: The part of true ends that is to lie within p10 and p90.
LEAST, MOST = 0.75, 0.85


class Ran(NamedTuple):
    """A job that ran, by the clock of its world."""

    kind: str
    host: str
    began: float
    ended: float


@dataclass
class Workload:
    """Jobs of some lengths on hosts of different speed, all from one seed.

    :ivar lengths: by name of a job, on a host of speed 1
    :ivar slow: how many times as long jobs take, by host; ``slots``: how many it has
    """

    seed: int
    tail: str
    lengths: dict[str, float]
    kinds: dict[str, str]
    slots: dict[str, int]
    slow: dict[str, float]

    @classmethod
    def of(cls, seed: int) -> Workload:
        rng = random.Random(f"workload {seed}")
        tail = TAILS[seed % len(TAILS)]
        draw = _tail(tail, rng)
        # A third are sweeps: a parameter says how long jobs take, and the tail comes on top of that.
        values = [1.0] if rng.random() < 0.67 else [rng.lognormvariate(0.0, 1.0) for _ in range(rng.randint(2, 6))]
        hosts = [f"h{n}" for n in range(rng.randint(1, 8))]
        slots = {host: rng.randint(1, 6) for host in hosts}
        jobs = int(sum(slots.values()) * rng.uniform(4.0, 25.0)) + 10
        lengths, kinds = dict[str, float](), dict[str, str]()
        for n in range(jobs):
            value = rng.randrange(len(values))
            name = f"j-{n}"
            kinds[name], lengths[name] = f"v{value}", max(0.05, 60.0 * values[value] * draw())
        return cls(seed, tail, lengths, kinds, slots, {host: rng.choice((1.0, 1.0, 1.0, 0.6, 1.5, 2.5)) for host in hosts})


def _tail(tail: str, rng: random.Random) -> Callable[[], float]:
    if tail == "lognormal":
        spread = rng.uniform(0.2, 1.6)
        return lambda: rng.lognormvariate(0.0, spread)
    if tail == "pareto":
        alpha = rng.uniform(1.2, 3.0)
        return lambda: rng.paretovariate(alpha)
    share, times, spread = rng.uniform(0.02, 0.4), rng.uniform(5.0, 40.0), rng.uniform(0.05, 0.4)
    return lambda: (times if rng.random() < share else 1.0) * rng.lognormvariate(0.0, spread)


class _Host(Clockwork):
    """A host on which each job takes its own time."""

    def __init__(self, world: World, name: str, slots: int, length: Callable[[str], float], ran: list[tuple[str, str, float, float]]):
        super().__init__(world, name, slots, lambda: 0.0)
        self._length, self._ran = length, ran
        self._names: dict[str, str] = {}

    def _on_launch(self, frame: dict[str, Any]) -> None:
        self._names[frame["id"]] = frame["job"]
        super()._on_launch(frame)

    def _fill(self) -> None:
        now = self.world.now
        while self._queue and len(self._running) < self._slots:
            uid = next(iter(self._queue))
            del self._queue[uid]
            name = self._names[uid]
            seconds = self._length(name)
            self._ran.append((name, self.name, now, now + seconds))
            heapq.heappush(self._running, (now + seconds, uid, "exited", now))
            if seconds > QUIET_START:
                if not self._started:
                    self.world.at(QUIET_START, self.tell_started)
                self._started.append((uid, now))
        if self._running and self._running[0][0] < self._next:
            self._next = self._running[0][0]
            self.world.at(self._next - now, self.end_some)


def play(work: Workload) -> list[Ran]:
    """Have the manager carry a workload out; return what ran."""
    world = World(str(work.seed), lambda launch: Program(0.0), latency=0.005)
    ran: list[tuple[str, str, float, float]] = []
    hosts = [Host(name, slots=slots) for name, slots in work.slots.items()]
    for host in hosts:
        slow = work.slow[host.name]
        world.machines[host.name] = _Host(world, host.name, work.slots[host.name],
                                          lambda name, slow=slow: work.lengths[name] * slow, ran)  # type: ignore[misc]
    base = JobSpec(["true"], name="j", entry="j", params={"value": "v0"})
    specs = [base.named(name, n, (work.kinds[name],)) for n, name in enumerate(work.lengths, 1)]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as results:
        manager, network = Manager(60.0), SimulatedNetwork(results, hosts, world, NoFiles())
        network.linger = 0.05
        manager.Setup(specs, network)
        manager.schedule.hosts.queue.rng = random.Random(work.seed)
        manager.ProcessJobs()
    return [Ran(work.kinds[name], host, began, ended) for name, host, began, ended in ran]


def forecast_at(work: Workload, ran: list[Ran], at: float, rng: random.Random) -> Forecast:
    """Return what is forecast of a run by what is known of it at some moment, in seconds from then."""
    over = [Observation(one.kind, one.host, one.ended - one.began) for one in ran if one.ended <= at]
    running = [Running(one.kind, one.host, at - one.began) for one in ran if one.began <= at < one.ended]
    waiting = Counter(one.kind for one in ran if one.began > at)
    lengths = Lengths([*over, *(Observation(one.kind, one.host, one.seconds, False) for one in running)])
    found = forecast(lengths, [Slots(*one) for one in work.slots.items()], running,
                     [Waiting(*one) for one in sorted(waiting.items())], rng)
    assert found is not None
    return found


class Tried(NamedTuple):
    """A forecast beside the truth: seconds from the moment of the forecast."""

    tail: str
    told: Forecast
    true: float

    @property
    def where(self) -> str:
        """``below``, ``within`` or ``above`` p10 and p90."""
        return "below" if self.true < self.told.p10 else "above" if self.true > self.told.p90 else "within"


def try_out(seed: int) -> Tried:
    """Play a workload; forecast its end at half of its time."""
    work = Workload.of(seed)
    ran = play(work)
    begin, end = min(one.began for one in ran), max(one.ended for one in ran)
    at = begin + (end - begin) / 2
    return Tried(work.tail, forecast_at(work, ran, at, random.Random(f"forecast {seed}")), end - at)


def report(tried: list[Tried]) -> list[str]:
    """Return what came of it, a line for each tail."""
    lines = []
    for tail in (*TAILS, "all"):
        some = [one for one in tried if tail in (one.tail, "all")]
        if not some:
            continue
        where = Counter(one.where for one in some)
        width = sorted((one.told.p90 - one.told.p10) / one.true for one in some)[len(some) // 2]
        off = math.exp(sum(abs(math.log(max(one.told.p50, 1e-3) / one.true)) for one in some) / len(some))
        lines.append(f"{tail}: {len(some)} forecasts, {where['within'] / len(some):.1%} within p10 and p90, {where['below'] / len(some):.1%} "
                     f"ended earlier, {where['above'] / len(some):.1%} later; half are at most {width:.2f} of the time left wide, p50 is off by "
                     f"{off:.2f} times")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workloads", type=int, default=360)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tried = []
    for n in range(options.workloads):
        tried.append(try_out(options.seed * 10_000 + n))
    lines = report(tried)
    print("\n".join(lines))
    within = sum(one.where == "within" for one in tried) / len(tried)
    return 0 if LEAST <= within <= MOST else 1


if __name__ == "__main__":
    raise SystemExit(main())
