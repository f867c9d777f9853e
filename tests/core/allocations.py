"""Random histories of a schedule whose jobs have needs, each held against an oracle that counts by hand.

``python -m tests.core.allocations --histories 1000000 --jobs 2`` plays many, ``--seed N`` one. The oracle knows what agents
do: they start what they were sent in turn, as many jobs at a time as the host has slots, whatever these take.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from sshjobs.model.gpus import Gpu, GpuReport, selected
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.schedule import Schedule

GIB = 1 << 30


def needed(job: Job) -> Needs:
    """Return what a job needs; it is asked for all the time."""
    found = _NEEDED.get(job)
    if found is None:
        found = _NEEDED[job] = needs_of(job.spec) or Needs()
    return found


#: Of the jobs of one history.
_NEEDED: dict[Job, Needs] = {}


class Broken(AssertionError):
    """The schedule did what it must not, or not what it must."""


class Machine:
    """A host as it really is: what it has, what was sent to it, and what of that runs."""

    def __init__(self, host: Host, slots: int, memory: int, gpus: list[Gpu]):
        self.host, self.slots, self.memory = host, slots, memory
        self.up = self.drained = False
        self.queue: list[Job] = []
        #: Its GPUs; those that others use, as far as the schedule knows; what each job was given.
        self.gpus, self.others = gpus, set[str]()
        self.given: dict[Job, tuple[str, ...]] = {}
        self.running: dict[Job, Needs] = {}

    def start(self) -> None:
        """Start what an agent would: it counts jobs."""
        while self.queue and len(self.running) < self.slots:
            job = self.queue.pop(0)
            self.running[job] = needed(job)
            self.check(job)

    def check(self, job: Job) -> None:
        """:raises Broken: what runs takes more than there is"""
        uuids = [uuid for one in self.running for uuid in self.given.get(one, ())]
        if len(set(uuids)) < len(uuids):
            raise Broken(f"{job.name} gets a GPU that another job has: {self.given}")
        if not fits(Needs(), self.free(but_one_slot=True)):
            raise Broken(f"{job.name} starts on {self.host.name}, where {list(map(str, self.running.values()))} run: "
                         f"slots {self.slots}, memory {self.memory}, {self.host}")

    def free(self, *, but_one_slot: bool = False, sent: bool = False) -> Needs:
        """Return what is left beside what runs, or beside all that was sent."""
        taken = [*self.running.values(), *(needed(job) for job in (self.queue if sent else ()))]
        counters = Counter(dict(self.host.counts))
        for needs in taken:
            counters.subtract(dict(needs.counters))
        scratch = GIB * 999 if self.host.scratch is None else self.host.scratch
        return Needs(self.slots + but_one_slot - sum(needs.cpus for needs in taken),
                     self.memory - sum(needs.memory for needs in taken),
                     scratch - sum(needs.scratch for needs in taken), tuple(counters.items()))


    def give(self, job: Job, uuids: tuple[str, ...]) -> None:
        """:raises Broken: a job is given GPUs that it does not need, must not have, or that somebody uses"""
        need, mine = needed(job).gpus, {gpu.uuid: gpu for gpu in selected(self.gpus, self.host.gpus)}
        if len(set(uuids)) != need.number or self.others & set(uuids) or not all(
                uuid in mine and mine[uuid].fits(need) for uuid in uuids):
            raise Broken(f"{job.name} ({need}) is given {uuids} of {self.host}, {self.gpus}; others use {self.others}")
        self.given[job] = uuids

    def gpus_fit(self, job: Job, *, ever: bool = False) -> bool:
        """Tell whether so many GPUs are free as a job needs, or are there at all."""
        need, taken = needed(job).gpus, set[str]()
        if not need.number:
            return True
        if not ever:
            taken = self.others.union(*(self.given.get(one, ()) for one in (*self.running, *self.queue)))
        return sum(gpu.fits(need) for gpu in selected(self.gpus, self.host.gpus) if gpu.uuid not in taken) >= need.number

    def report(self) -> GpuReport:
        """Return what it tells of its GPUs."""
        return GpuReport(tuple(gpu._replace(by="bob" if gpu.uuid in self.others else None) for gpu in self.gpus))


def fits(needs: Needs, free: Needs) -> bool:
    """Tell whether a job fits into what is left; nothing of that may be less than nothing."""
    has = dict(free.counters)
    return (needs.cpus <= free.cpus and needs.memory <= free.memory and needs.scratch <= free.scratch
            and all(number <= has.get(name, 0) for name, number in needs.counters) and min(has.values(), default=0) >= 0)


class History:
    """One history, a function of its seed.

    :ivar calm: one host and nothing but jobs that come and go: then waiting has a bound that can be counted
    """

    def __init__(self, seed: int | str):
        _NEEDED.clear()
        self.rng = rng = random.Random(f"allocations {seed}")
        self.calm = rng.random() < 0.3
        self.machines: dict[str, Machine] = {}
        self.schedule = Schedule([], random.Random(rng.random()))
        for _ in range(1 if self.calm else rng.randint(1, 3)):
            self.add_host()
        #: Jobs that wait, with how many had been launched and how many like it waited when they came.
        self.waiting: dict[Job, tuple[int, int]] = {}
        #: The host whose tool hangs.
        self.deaf: Machine | None = None
        #: How long each job takes: as short as leads to prefetching, or not.
        self.seconds = rng.choice((0.001, 10.0))
        self.launches = self.number = 0
        #: Kinds of jobs are told apart by what is in memory: so nothing of it may be used again.
        self.jobs: list[Job] = []
        self.sizes = [self.size() for _ in range(rng.randint(1, 4))]

    # -- what happens --------------------------------------------------------------------------------------------

    def size(self) -> dict[str, object]:
        """Return one kind of needs."""
        rng = self.rng
        found: dict[str, object] = {}
        if rng.random() < 0.5:
            found["cpus"] = rng.randint(1, 4)
        if rng.random() < 0.5:
            found["memory"] = rng.randint(1, 8) * GIB
        if rng.random() < 0.2:
            found["scratch"] = rng.randint(1, 5) * GIB
        if rng.random() < 0.2:
            found["needs"] = {name: rng.randint(1, 2) for name in rng.sample("ab", rng.randint(1, 2))}
        if rng.random() < 0.3:
            found["gpus"] = rng.choice((1, 1, 2, 3, {"memory": "20G"}, {"type": "t4"}, {"count": 2, "type": "mig"}, {"type": "mig"}))
        return found

    def add_host(self) -> None:
        """A host joins, and may be reached at once."""
        rng = self.rng
        counts = tuple((name, rng.randint(1, 3)) for name in "ab" if rng.random() < 0.6)
        host = Host(f"h{len(self.machines) + 1}", memory=rng.choice((None, 8 * GIB)), counts=counts,
                    scratch=rng.choice((None, 5 * GIB)), tags=rng.choice(((), ("x",))),
                    gpus=rng.choice((None, None, (), ("0", "2"))))
        kinds = ("NVIDIA A100", 40, True), ("Tesla T4", 15, True), ("MIG 1g.5gb", 5, False)
        gpus = [Gpu(f"G{number}", str(number), name, memory * GIB, 0, whole) for number, (name, memory, whole) in enumerate(
            rng.choice(kinds) for _ in range(rng.randint(0, 4)))]
        self.machines[host.name] = Machine(host, rng.randint(1, 5), host.memory or rng.randint(4, 16) * GIB, gpus)
        self.schedule.add_host(host)
        if self.calm or rng.random() < 0.7:
            self.raise_host(self.machines[host.name])

    def raise_host(self, machine: Machine) -> None:
        """A host can be reached."""
        machine.up = True
        self.schedule.host_up(machine.host.name, machine.slots, machine.memory, 999 * GIB)
        self.schedule.gpus.note(machine.host.name, machine.report())

    def add_job(self) -> None:
        """A job comes: one in two has needs."""
        rng = self.rng
        self.number += 1
        keys: dict[str, object] = dict(rng.choice(self.sizes)) if rng.random() < 0.5 else {}
        if not self.calm and rng.random() < 0.2:
            keys["hosts"] = ["x"]
        if not self.calm and rng.random() < 0.2:
            keys["priority"] = rng.randint(-1, 1)
        if not self.calm and rng.random() < 0.1:
            keys.update(max_parallel=2, entry="gated")
        job = Job(JobSpec("x", name=f"j{self.number}", **keys), self.number)  # type: ignore[arg-type]
        self.jobs.append(job)
        self.let_wait(job)

    def let_wait(self, job: Job) -> None:
        """A job waits, perhaps again."""
        needs = needed(job)
        self.waiting[job] = self.launches, sum(needed(other) == needs for other in self.waiting)
        self.schedule.add(job)

    def remove_job(self) -> None:
        """A person cancels a job that waits."""
        if self.waiting:
            job = self.rng.choice(list(self.waiting))
            if not self.schedule.remove(job):
                raise Broken(f"{job.name} does not wait")
            del self.waiting[job]

    def end_job(self) -> None:
        """A job ends, and may have to run again."""
        found = [(machine, job) for machine in self.machines.values() for job in machine.running]
        if found:
            machine, job = self.rng.choice(found)
            del machine.running[job]
            machine.given.pop(job, None)
            self.schedule.note_duration(job.spec, machine.host.name, self.seconds)
            self.schedule.vacate(machine.host.name, job)
            machine.start()
            if not self.calm and self.rng.random() < 0.1:
                self.let_wait(job)

    def take_back(self, machine: Machine) -> None:
        """What a host has not started waits again."""
        for job in machine.queue:
            self.schedule.vacate(machine.host.name, job)
            machine.given.pop(job, None)
            self.let_wait(job)
        machine.queue.clear()

    def change_host(self) -> None:
        """Something befalls a host, or a person wants something of it."""
        machine, rng = self.rng.choice(list(self.machines.values())), self.rng
        name = machine.host.name
        what = rng.randrange(7)
        if what == 0 and machine.up:
            machine.up = False
            self.schedule.host_down(name, lasting=False)
        elif what == 1 and not machine.up:
            self.raise_host(machine)
        elif what == 2:
            machine.drained = not machine.drained
            self.schedule.drain(name, machine.drained)
        elif what == 3 and machine.up:
            # As RunHosts does: what was sent ahead comes back first.
            self.take_back(machine)
            slots = rng.randint(1, 5)
            if slots >= len(machine.running) and sum(needs.cpus for needs in machine.running.values()) <= slots:
                machine.slots = slots
                self.schedule.set_slots(name, slots)
        elif what == 4 and len(self.machines) < 4:
            self.add_host()
        elif what == 5 and machine.gpus:
            # Somebody comes, or leaves. Whoever comes to a GPU that a job has sits beside it.
            machine.others ^= {rng.choice(machine.gpus).uuid}
            self.schedule.gpus.note(name, machine.report())
        elif what == 6 and machine.up:
            self.schedule.gpus.note(name, GpuReport((), "it hangs"))
            self.deaf = machine
            self.launch()
            self.deaf = None
            self.schedule.gpus.note(name, machine.report())

    def launch(self) -> None:
        """Launch all that can be, and see that nothing waits that could run."""
        while (match := self.schedule.next()) is not None:
            job, host = match
            machine = self.machines[host]
            if not machine.up or machine.drained or job not in self.waiting or not machine.host.matches(job.spec.hosts):
                raise Broken(f"{job.name} is launched on {machine.host}")
            self.launches += 1
            self._check_wait(job, *self.waiting.pop(job))
            machine.give(job, self.schedule.gpus.of(job, host))
            machine.queue.append(job)
            machine.start()
        self._check_idle()

    # -- what must hold ------------------------------------------------------------------------------------------

    def _check_wait(self, job: Job, launches: int, ahead: int) -> None:
        """Hold against its bound how many others were launched while a job waited: each of its kind that came before it
        may have been passed over by twice as many of each other kind as there are slots."""
        if not self.calm:
            return
        (machine,) = self.machines.values()
        passed, bound = self.launches - 1 - launches, (ahead + 1) * (len(self.sizes) + 1) * (2 * machine.slots + 2)
        if passed > bound:
            raise Broken(f"{job.name} ({needed(job)}) was passed over by {passed} launches, more than {bound}")

    def _check_idle(self) -> None:
        """What fits on a host runs, but where that is kept for another."""
        gated = sum(job.spec.max_parallel is not None for machine in self.machines.values()
                    for job in (*machine.running, *machine.queue))
        for machine in self.machines.values():
            if not machine.up or machine.drained or self.schedule.hosts[machine.host.name].kept_for is not None:
                continue
            free = machine.free(sent=True)
            for job in {(needed(job), tuple(job.spec.hosts or ()), job.spec.max_parallel): job for job in self.waiting}.values():
                closed = job.spec.max_parallel is not None and gated >= 2
                if self.deaf is not machine and machine.host.matches(job.spec.hosts) and not closed and machine.gpus_fit(
                        job) and fits(needed(job), free):
                    raise Broken(f"{job.name} ({needed(job)}) waits, and {machine.host.name} has {free}")

    def _is_possible(self, job: Job) -> bool:
        """Tell whether any host can ever have a job."""
        needs = needed(job)
        return any(machine.host.matches(job.spec.hosts) and fits(needs, Needs(
            machine.slots, machine.memory, machine.host.scratch or 999 * GIB, machine.host.counts)) and machine.gpus_fit(job, ever=True)
            for machine in self.machines.values())

    def play(self) -> None:
        """Play all of it, and then carry all jobs to their ends."""
        acts = [self.add_job, self.add_job, self.end_job, self.end_job, self.remove_job]
        acts += [self.add_job] if self.calm else [self.change_host]
        for _ in range(self.rng.choice((10, 20, 30, 100))):
            self.rng.choice(acts)()
            self.launch()
        self.finish()

    def finish(self) -> None:
        """All hosts can be used from now on: every job has to come to its end, but for those that no host can have."""
        for machine in self.machines.values():
            machine.others.clear()
            self.schedule.gpus.note(machine.host.name, machine.report())
            if machine.drained:
                machine.drained = False
                self.schedule.drain(machine.host.name, False)
            if not machine.up:
                self.raise_host(machine)
        for job in self.schedule.hopeless():
            if self._is_possible(job):
                raise Broken(f"{job.name} was given up")
            del self.waiting[job]
        self.launch()
        for _ in range(10_000):
            if not self.waiting and not any(machine.running for machine in self.machines.values()):
                return
            if not any(machine.running for machine in self.machines.values()):
                raise Broken(f"nothing runs, and {[(job.name, str(needed(job))) for job in self.waiting]} wait")
            self.end_job()
            self.launch()
        raise Broken("no end")


def play(seed: int) -> str | None:
    """Play one history; return what was broken."""
    try:
        History(seed).play()
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding)
        return f"seed {seed}: {type(error).__name__}: {error}"
    return None


def play_some(seeds: range) -> list[str]:
    """Play several; return what was broken."""
    return [found for found in map(play, seeds) if found is not None]


def main() -> int:
    """Play many; 1 where something was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.core.allocations")
    parser.add_argument("--histories", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first: so many may be played in parts")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="one history again")
    options = parser.parse_args()
    if options.seed is not None:
        History(options.seed).play()
        return 0
    began, troubles = time.monotonic(), 0
    end = options.first + options.histories
    chunks = [range(first, min(first + 1000, end)) for first in range(options.first, end, 1000)]
    with ProcessPoolExecutor(options.jobs) as pool:
        for found in pool.map(play_some, chunks):
            troubles += len(found)
            print(*found[:3], sep="\n", end="\n" if found else "", flush=True)
    print(f"{options.histories:,} histories, {time.monotonic() - began:.0f} s: {troubles} broken")
    return int(troubles > 0)


if __name__ == "__main__":
    sys.exit(main())
