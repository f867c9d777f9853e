"""Workloads to forecast: of heavy tails from seeds, or parts of public traces, carried out by the manager on simulated hosts."""

from __future__ import annotations

import os
import random
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from sshjobs.forecast.ends import Forecast
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.planning.expected import expected_end
from sshjobs.running.manager import Manager
from sshjobs.simulation import World
from sshjobs.simulation.clockwork import Clockwork
from sshjobs.simulation.files import NoFiles
from sshjobs.simulation.network import SimulatedNetwork
from sshjobs.simulation.world import Program
from sshjobs.store.lengths import LengthReader

TAILS = ("lognormal", "pareto", "bimodal")
#: How much slower hosts are than usual.
SPEEDS = (1.0, 1.0, 1.0, 0.6, 1.5, 2.5)
#: Seconds that the work of a run would take if it could be shared out evenly.
RUN_S = 300.0
#: Jobs of a part of a trace.
FEWEST_JOBS, MOST_JOBS = 40, 500
#: Fields of a line of SWF, counted from 0: when the job came, for how long it ran, whose it was.
_FIELDS, _SUBMIT, _TOOK, _USER = 18, 1, 3, 11


@dataclass
class Workload:
    """Jobs of some lengths on hosts of different speed.

    :ivar sort: what it is of: a tail, or a trace
    :ivar lengths: by name of a job, on a host of usual speed, in the order in which jobs are written; ``kinds`` the value of its parameter
    :ivar slots: how many a host has; ``slow``: how many times as long jobs take there
    """

    seed: str
    sort: str
    lengths: dict[str, float]
    kinds: dict[str, str]
    slots: dict[str, int]
    slow: dict[str, float]

    @classmethod
    def of(cls, seed: int) -> Workload:
        """Return the heavy-tailed workload of a seed. A third are sweeps: a parameter says how long jobs take, and the tail comes on
        top of that."""
        rng = random.Random(f"workload {seed}")
        tail = TAILS[seed % len(TAILS)]
        draw = tail_of(tail, rng)
        values = [1.0] if rng.random() < 0.67 else [rng.lognormvariate(0.0, 1.0) for _ in range(rng.randint(2, 6))]
        hosts = [f"h{n}" for n in range(rng.randint(1, 8))]
        slots = {host: rng.randint(1, 6) for host in hosts}
        jobs = int(sum(slots.values()) * rng.uniform(4.0, 25.0)) + 10
        lengths, kinds = dict[str, float](), dict[str, str]()
        for n in range(jobs):
            value = rng.randrange(len(values))
            name = f"j-{n}"
            kinds[name], lengths[name] = f"v{value}", max(0.05, 60.0 * values[value] * draw())
        return _paced(cls(str(seed), tail, lengths, kinds, slots, {host: rng.choice(SPEEDS) for host in hosts}))


def tail_of(tail: str, rng: random.Random) -> Callable[[], float]:
    """Return what draws lengths of about 1 with a tail of some kind."""
    if tail == "lognormal":
        spread = rng.uniform(0.2, 1.6)
        return lambda: rng.lognormvariate(0.0, spread)
    if tail == "pareto":
        alpha = rng.uniform(1.2, 3.0)
        return lambda: rng.paretovariate(alpha)
    share, times, spread = rng.uniform(0.02, 0.4), rng.uniform(5.0, 40.0), rng.uniform(0.05, 0.4)
    return lambda: (times if rng.random() < share else 1.0) * rng.lognormvariate(0.0, spread)


# -- public traces -------------------------------------------------------------------------------------------------


def of_trace(name: str, path: str, users: Callable[[int], bool]) -> Iterator[Workload]:
    """Yield parts of a trace, none of which shares a job with another: each is what one user handed in one after the other. A
    part of each user in turn, so that those with most jobs do not count for most.

    :param users: whose jobs are used
    """
    jobs: dict[int, list[float]] = defaultdict(list)
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith(";")]
    for row in sorted(rows, key=lambda row: float(row[_SUBMIT])):
        assert len(row) == _FIELDS, row
        # As the format says: how long others ran is not known.
        if float(row[_TOOK]) >= 0 and users(int(row[_USER])):
            jobs[int(row[_USER])].append(max(0.5, float(row[_TOOK])))
    left = {user: iter(_parts(f"{name} {user}", seconds)) for user, seconds in sorted(jobs.items())}
    while left:
        for user in list(left):
            part = next(left[user], None)
            if part is None:
                del left[user]
            else:
                yield _workload(name, *part)


def _parts(seed: str, seconds: list[float]) -> Iterator[tuple[str, list[float]]]:
    rng, at = random.Random(seed), 0
    while len(seconds) - at >= FEWEST_JOBS:
        number = min(rng.randint(FEWEST_JOBS, MOST_JOBS), len(seconds) - at)
        yield f"{seed} from {at}", seconds[at : at + number]
        at += number


def _workload(sort: str, seed: str, seconds: list[float]) -> Workload:
    rng = random.Random(seed)
    number = max(1, round(len(seconds) / rng.uniform(4.0, 25.0)))
    hosts = [f"h{n}" for n in range(rng.randint(1, min(8, number)))]
    slots = dict.fromkeys(hosts, 1)
    for _ in range(number - len(hosts)):
        slots[rng.choice(hosts)] += 1
    names = [f"j-{n}" for n in range(len(seconds))]
    return _paced(Workload(seed, sort, dict(zip(names, seconds, strict=True)), dict.fromkeys(names, "v0"), slots,
                           {host: rng.choice(SPEEDS) for host in hosts}))


def _paced(work: Workload) -> Workload:
    """Return a workload with all lengths made shorter or longer alike, so that the work is done in some minutes: what is forecast
    does not depend on that, how long a play takes does."""
    speed = sum(number / work.slow[host] for host, number in work.slots.items())
    times = RUN_S * speed / sum(work.lengths.values())
    work.lengths = {name: seconds * times for name, seconds in work.lengths.items()}
    return work


# -- plays ---------------------------------------------------------------------------------------------------------


class Played(NamedTuple):
    """A run that was carried out.

    :ivar begin: when its first job began and ``end`` when its last ended, by the clock of its world
    :ivar told: what was forecast when that was asked, in seconds from then; ``None`` where nothing was told
    """

    begin: float
    end: float
    told: Forecast | None


class _Host(Clockwork):
    """A host on which each job takes its own time."""

    def __init__(
        self, world: World, name: str, slots: int, length: Callable[[str], float], ran: list[tuple[float, float]]
    ):
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
            seconds = self._length(self._names[uid])
            self._ran.append((now, now + seconds))
            self._run(uid, seconds, "exited")
        self._await_ends()


def play(work: Workload, ask_at: float | None = None) -> Played:
    """Have the manager carry a workload out.

    :param ask_at: when to ask when the run will end, of its store as it is then, in seconds of the world
    """
    world = World(work.seed, lambda launch: Program(0.0), latency=0.005)
    ran: list[tuple[float, float]] = []
    told: list[Forecast | None] = []
    hosts = [Host(name, slots=slots) for name, slots in work.slots.items()]
    def taking(slow: float) -> Callable[[str], float]:
        return lambda name: work.lengths[name] * slow

    for host in hosts:
        world.machines[host.name] = _Host(world, host.name, work.slots[host.name], taking(work.slow[host.name]), ran)
    base = JobSpec(["true"], name="j", entry="j", params={"value": "v0"})
    specs = [base.named(name, n, (work.kinds[name],)) for n, name in enumerate(work.lengths, 1)]

    def ask() -> None:
        with LengthReader.open(manager.paths) as reader:
            told.append(expected_end(reader, world.time()))

    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as results:
        manager, network = Manager(60.0), SimulatedNetwork(results, hosts, world, NoFiles())
        network.linger = 0.05
        manager.Setup(specs, network)
        manager.schedule.hosts.queue.rng = random.Random(work.seed)
        if ask_at is not None:
            world.at(ask_at - world.now, ask)
        manager.ProcessJobs()
    return Played(min(began for began, _ in ran), max(ended for _, ended in ran), told[0] if told else None)
