"""A play: one run, its hosts, its managers one after the other, and what befalls them; a function of its seed."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import re
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from sshjobs.errors import LocalError, NoHostError, SshjobsError
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_UNKNOWN
from sshjobs.network.contract import HostClosed, HostDown, HostUp, Silent, Warned
from sshjobs.running.housekeeping import LeavesWaiting
from sshjobs.running.manager import Manager
from sshjobs.running.requests import Data
from sshjobs.simulation import Program, World
from sshjobs.simulation.files import VirtualFiles
from sshjobs.simulation.network import SimulatedNetwork
from sshjobs.store import ManagerIdentity, RunReader, StoreBlockedError
from sshjobs.store.change import Change
from sshjobs.store.identity import _boot_id
from sshjobs.store.rundir import RunPaths
from tests.sim.host.calls import simulated
from tests.sim.host.cards import Cards
from tests.sim.host.machine import Machine
from tests.sim.host.process import Process
from tests.sim.judge import Judge, Violation
from tests.sim.wishes import Wishes
from tests.sim.work import GIB, Work

#: Virtual seconds within which everything has to be over once nothing goes wrong any more.
PATIENCE = 1200.0
#: Virtual seconds in which every dead link is seen and every host is reached again.
SETTLING = 150.0
#: Things that may happen in one play: ten times as many as in the longest that is known.
MOST_EVENTS = 150_000
#: Commits on a file system in memory cost little, and a play needs no others: power is lost by its own rules.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Killed(BaseException):
    """The manager's process is gone, in the middle of whatever it did."""


class StageNetwork(SimulatedNetwork):
    """The simulated network, with points at which the manager may die."""

    point: Callable[[str], None] = staticmethod(lambda name: None)
    launching: Callable[[str, Host], None] = staticmethod(lambda uid, host: None)
    resized: Callable[[str, int], None] = staticmethod(lambda host, slots: None)

    def LaunchJob(self, job: Job, host: str) -> str:
        self.launching(job.attempts[-1].uid, self.hosts[host])
        self.point("manager.launch")
        return super().LaunchJob(job, host)

    def set_slots(self, host: str, slots: int) -> None:
        super().set_slots(host, slots)
        self.resized(host, slots)

    def flush(self) -> None:
        if self._outbox:
            self.point("manager.flush")
        super().flush()
        self.point("manager.flushed")

    def release(self, attempts: Any) -> None:
        self.point("manager.release")
        super().release(attempts)

    def open(self, run: Any, paths: RunPaths, *, hurry: bool = False) -> None:
        self.point("manager.open")
        super().open(run, paths, hurry=hurry)


class Play:
    """See the module. Use it as a context manager.

    :param seed: of everything
    :param needs: jobs need more than a slot, and hosts have so much and no more
    :param gpus: hosts have GPUs, on which other people come and go, and some jobs need them
    """

    def __init__(self, seed: int | str, *, hosts: int = 3, slots: int = 2, latency: float = 0.02, needs: bool = False,
                 gpus: bool = False):
        self.seed, self.rng, self._needs, self._gpus = seed, random.Random(f"play {seed}"), needs, gpus
        self.work = Work(seed, self.rng, needs=needs, gpus=gpus)
        self.world = World(seed, self.program_of, latency=latency, slow=True)
        self.world.most_events = MOST_EVENTS
        self.files = VirtualFiles()
        self.judge = Judge(self.world, self.files)
        self.hosts: list[Host] = []
        for _ in range(hosts):
            self.new_host(slots)
        self.manager: Manager | None = None
        self.paths: RunPaths
        self.store_full = False
        #: The directory with the results is not where it was.
        self.away = False
        #: How often a host has said what it must not say: too often in a row, and only a person can help.
        self.lies = 0
        self.healed = False
        self.managers = 0
        #: What happens when a point is passed for the n-th time from now.
        self.traps: dict[str, tuple[int, Callable[[Machine | None], None]]] = {}
        #: Somebody is about to resume the run.
        self.wants_manager = False
        #: Where inputs are and results come to.
        self.directory = ""
        #: All that there were: what stands still in those of dead managers is to stay so.
        self._networks: list[SimulatedNetwork] = []
        self._dead = True
        #: What the run is started with.
        self.options: dict[str, Any] = {"stays_open": True} if needs or gpus else {}
        self.wishes = Wishes(self)
        self.judge.may_be_ended, self.judge.check_inputs = self.wishes.may_be_ended, self._check_inputs
        self.judge.allocations.needs_of = self._needs_of

    def __enter__(self) -> Play:
        self.directory = tempfile.mkdtemp(prefix="sshjobs-sim-", dir=SCRATCH)
        self.work.lay_out(self.directory, self.machines())
        self._calls = simulated()
        self._calls.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.manager is not None:
            self._drop()
        for network in self._networks:
            network.bury()
        for machine in self.machines():
            machine.bury()
        self._calls.__exit__(None, None, None)
        shutil.rmtree(self.directory, ignore_errors=True)

    def machines(self) -> list[Machine]:
        """Return all hosts as they really are."""
        return [machine for machine in self.world.machines.values() if isinstance(machine, Machine)]

    def say(self, text: str) -> None:
        """Note what happened, without what is another each time that a seed is played: where things are."""
        self.world.say(re.sub("[0-9a-f]{16,}", "X", text.replace(self.directory, "RESULTS")))

    # -- who plays -----------------------------------------------------------------------------------------------

    def new_host(self, slots: int) -> Host:
        """Make one more machine and return the host that it is to a run."""
        host = Host(f"h{len(self.hosts) + 1}", slots=slots)
        if self._needs:
            rng = random.Random(f"{self.seed} room {host.name}")
            host = replace(host, memory=rng.choice((2, 4, 8)) * GIB,
                           counts=rng.choice(((), (("license", 1),), (("license", 2),))))
        self.hosts.append(host)
        machine = self.world.machines[host.name] = Machine(self.world, host.name, watcher=self.judge)
        if self._gpus:
            rng = random.Random(f"{self.seed} gpus {host.name}")
            machine.cards = Cards(machine, rng.choice((1, 2, 3)), rng)
            machine.cards.be_visited(30.0)
        machine.clock_error = self.rng.choice((0.0, 0.0, -7200.0, 5 * 3600.0, -1.6e9))
        for _ in range(self.rng.randint(0, 4)):
            machine.spawn("bystander")
        return host

    def spec(self) -> JobSpec:
        """Return one more thing to run."""
        return self.work.spec(self.directory)

    def program_of(self, launch: dict[str, Any]) -> Program:
        """Return what an attempt does."""
        return self.work.program_of(launch)

    def _needs_of(self, process: Process) -> Needs:
        """Return what a job needs that runs."""
        spec = self.work.specs.get(process.environ[b"SSHJOBS_JOB"].decode())
        return (None if spec is None else needs_of(spec)) or Needs()

    def _check_inputs(self, process: Process) -> None:
        """See that what a job is to read is where it starts.

        :raises Violation: it is not
        """
        name = process.environ[b"SSHJOBS_JOB"].decode()
        spec = self.work.specs.get(name)
        if spec is None and self.manager is not None:
            spec = next((job.spec for job in self.manager.jobs.objects if job.name == name), None)
        lacking = None if spec is None else self.work.lacks(process, spec)
        if lacking is not None:
            raise self.judge.broken(f"B: {process.uid} starts without its input {lacking}")

    # -- managers ------------------------------------------------------------------------------------------------

    def begin(self, jobs: int) -> None:
        """Make the run, with its first manager."""
        specs = [self.spec() for _ in range(jobs)]
        with contextlib.suppress(Killed):
            self._raise_manager(lambda manager, network: manager.Setup(specs, network, name="run", options=self.options))

    def resume(self) -> None:
        """Have another manager take the run over."""
        if self.alive:
            return
        with contextlib.suppress(Killed):
            try:
                self._raise_manager(self._take_over)
            except SshjobsError as error:
                if self.files.trouble is None:
                    raise
                self._resume_after(error)

    def _resume_after(self, error: SshjobsError) -> None:
        """The manager has ended, and said why; a person reads that, and resumes the run a while later."""
        self.say(str(error))
        self._drop()
        self.world.at(1.0, lambda: setattr(self, "wants_manager", True))

    def _take_over(self, manager: Manager, network: SimulatedNetwork) -> None:
        manager.Resume(self.paths, network)

    def _hosts_of_the_run(self) -> list[Host]:
        """Return the hosts as a resume finds them."""
        if self.managers == 1:
            return list(self.hosts)
        self._check_place()
        with RunReader.open(self.paths) as reader:
            in_use = reader.hosts_in_use()
            return [row.host for row in reader.hosts() if not row.host.removed or row.host.name in in_use]

    def _raise_manager(self, take: Callable[[Manager, SimulatedNetwork], None]) -> None:
        self.managers += 1
        self.world.say(f"manager {self.managers} begins")
        self.judge.begin_manager()
        self.paths = RunPaths(Path(self.directory), "run")
        manager, self._dead = Manager(10.0), False
        manager.handle_host = self._hear  # type: ignore[method-assign]
        self.manager = manager
        network = StageNetwork(self.directory, self._hosts_of_the_run(), self.world, self.files)
        self._networks.append(network)
        network.point = self.files.point = self._manager_point
        network.launching, network.resized = self._launching, self.judge.allocations.resized
        for host in network.hosts.values():
            # A person may have given it others while there was no manager.
            self.judge.allocations.resized(host.name, host.slots or 0)
        with self._guard(), mock.patch.object(ManagerIdentity, "this_process", self.identity):
            take(manager, network)
        manager.schedule.hosts.queue.rng = random.Random(f"{self.seed} {self.managers}")
        manager.stays_open = not self.healed
        self._watch_store(manager)

    def _launching(self, uid: str, host: Host) -> None:
        """See that a host is not promised more than it has.

        :raises Violation: it is
        """
        assert self.manager is not None
        self.judge.allocations.launched(uid, host)
        there = [job for job in self.manager.unfinished() if job.attempts and job.attempts[-1].host == host.name
                 and job.state in (STATE_BUSY, STATE_UNKNOWN)]
        # The setup of a host is none of them.
        job = next((one for one in there if one.attempts[-1].uid == uid), None)
        if job is not None and (more := self.judge.allocations.promised(host, job, there)) is not None:
            raise self.judge.broken(f"A: {host.name} is promised {more}: {uid}, and {[one.attempts[-1].uid for one in there]}")

    def _hear(self, event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        if isinstance(event, HostUp | HostDown):
            self.judge.heard(event)
        if not isinstance(event, HostUp | Silent):
            what = event.message if isinstance(event, Warned) else event.error if isinstance(event, HostDown) else event.kind
            self.say(f"manager hears of {event.host}: {what}")

    def identity(self) -> ManagerIdentity:
        """Return who the manager is."""
        # As of a process that is gone by the time that anybody asks.
        return ManagerIdentity(os.getpid(), 1, _boot_id(), socket.gethostname(), self.world.time())

    def _watch_store(self, manager: Manager) -> None:
        store = manager.store
        real = store.commit

        def commit(until: float | None = None) -> None:
            jobs, attempts, setups = list(store._jobs), list(store._attempts.items()), list(store._setups.items())
            # The disk takes its time, and the network's thread does not wait for it.
            self.world.run(self.world.now + self.rng.choice((0.002, 0.002, 0.002, 0.05)))
            self._manager_point("manager.commit")
            if self.store_full:
                raise StoreBlockedError("full")
            real(until)
            self.wishes.committed()
            self.judge.on_commit(jobs, attempts, self.paths)
            self.judge.on_setups(setups)
            self._manager_point("manager.committed")
        def apply(change: Change) -> None:
            if change != Change():
                self._manager_point("manager.change")
                if self.store_full:
                    raise StoreBlockedError("full")
                write(change)
                self._manager_point("manager.changed")
        write, store.apply = store.apply, apply  # type: ignore[method-assign]
        store.commit = commit  # type: ignore[method-assign]

    @property
    def alive(self) -> bool:
        """Whether there is a manager."""
        return not self._dead

    def kill_manager(self, *, power: bool = False) -> None:
        """End the manager where it stands.

        :raises Killed: always, for whoever is in the middle of something
        """
        if self._dead:
            return
        self.world.say(f"manager {self.managers} is killed{', with its power' if power else ''}")
        self._drop()
        if power:
            self.files.lose_power(self.rng)
            self.judge.evidence.losses_here.append(self.world.now)
        raise Killed

    def _drop(self) -> None:
        self._dead = True
        self.judge.begin_manager()
        self.wishes.manager_gone()
        assert self.manager is not None
        network = vars(self.manager).get("network")
        if network is not None:
            network.vanish()
        store = vars(self.manager).get("store")
        if store is not None:
            store._connection.close()
        self.manager = None

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn whatever a dead manager stumbles over on its way out into its death."""
        try:
            yield
        except Violation:
            raise
        except BaseException as error:
            if self._dead:
                raise Killed from error
            raise

    # -- acts ----------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass, with the manager at work if there is one."""
        until = self.world.now + seconds
        while self.world.now < until:
            if self.wants_manager:
                self.wants_manager = False
                self.resume()
            manager = self.manager
            if manager is None:
                self.world.run(until, lambda: self.wants_manager)
                continue
            self.world.at(until - self.world.now, manager.network.wake)
            try:
                with self._guard():
                    with contextlib.suppress(LeavesWaiting):
                        while self.world.now < until and not manager.leaves:
                            manager.turn()
                    if manager.leaves:
                        self._leave(manager)
            except Killed:
                continue
            except NoHostError as error:
                self._resume_after(error)
            except LocalError as error:
                if self.files.trouble is None and not self.store_full:
                    raise
                self._resume_after(error)

    def _leave(self, manager: Manager) -> None:
        """Have a manager leave as it does when a person wants that; another comes a while later."""
        manager.ProcessJobs()
        self.say("manager leaves")
        self._drop()
        self.world.at(self.rng.choice((0.0, 1.0, 90.0)), lambda: setattr(self, "wants_manager", True))

    def befall(self, disaster: Callable[[Play], None]) -> None:
        """Let something happen now, between two acts."""
        with contextlib.suppress(Killed):
            disaster(self)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Have something be over in so many seconds."""
        def end() -> None:
            self.judge.disturb()
            act()
        self.world.at(seconds, end)

    def ask(self, request: Data) -> None:
        """See :meth:`Wishes.ask`."""
        self.wishes.ask(request)

    def names(self, final: bool) -> list[str]:
        """Return the names of jobs that have ended, or of those that have not."""
        if self.manager is None and self.away:
            return []
        if self.manager is None:
            with RunReader.open(self.paths) as reader:
                return [row.name for row in reader.jobs() if (row.state in FINAL_STATES) == final]
        return [job.name for job in self.manager.jobs.objects if (job.state in FINAL_STATES) == final]

    def _manager_point(self, name: str) -> None:
        self._pass_point(name, None)

    def _pass_point(self, name: str, machine: Machine | None) -> None:
        if name not in self.traps:
            return
        left, act = self.traps[name]
        if left > 1:
            self.traps[name] = left - 1, act
            return
        del self.traps[name]
        self.world.say(f"at {name}{f' on {machine.name}' if machine else ''}:")
        act(machine)

    # -- this machine --------------------------------------------------------------------------------------------

    def lose_results(self) -> None:
        """The disk with the run is gone, and comes back as it was."""
        if self.manager is not None or self.managers:
            self.world.say("the results are away")
            self.judge.disturb()
            self.away, self.files.trouble = True, errno.ENOENT
            self.paths.root.rename(self._elsewhere)

    def end_trouble(self) -> None:
        """This machine is well again."""
        self.judge.disturb()
        if self.away:
            self.world.say("the results are back")
            self._elsewhere.rename(self.paths.root)
            self.away = False
        self.store_full, self.files.trouble = False, None

    @property
    def _elsewhere(self) -> Path:
        return Path(self.directory) / "elsewhere"

    def _check_place(self) -> None:
        if self.away:
            raise LocalError("the results are away")

    # -- the end -------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.world.say("all is well from now on")
        self.healed = True
        self.traps.clear()
        self.end_trouble()
        for machine in self.machines():
            machine.traps.clear()
            machine.disk.trouble = None
            machine.reachable = True
            machine.spoils = None
            if machine.cards is not None:
                machine.cards.heal()

    def finish(self) -> None:
        """Let the run end, and check everything.

        :raises Violation: a promise was broken
        """
        self.heal()
        self.wants_manager = True
        # Until every host that can be reached has been: at its end a run waits for none that is away.
        self.advance(SETTLING)
        limit = self.world.now + 2 * PATIENCE
        self.world.at(PATIENCE, self._end_what_cannot_be_told)
        while True:
            self.resume()
            manager = self.manager
            if manager is None:
                continue
            manager.stays_open = False
            for host in self.hosts:
                self.ask({"do": "hosts-undrain", "hosts": [host.name]})
            self.ask({"do": "unpause", "jobs": None})
            self.ask({"do": "unpause", "jobs": self.names(final=False)})
            try:
                with self._guard():
                    manager.ProcessJobs()
            except Killed:
                continue
            if not manager.leaves:
                break
            self._drop()
        assert self.world.now <= limit
        self._dead, self.manager = True, None
        self.judge.check_run(self.paths)

    def _end_what_cannot_be_told(self) -> None:
        """Where runner and agent were killed before the start was noted, a daemon that a job has left cannot be told from
        the job: it is shown as running until a person cancels it."""
        for process in [one for machine in self.machines() for one in machine.processes.values()]:
            if process.leads and process.kind == "stray" and process.uid in self.judge.evidence.runner_deaths:
                self.ask({"do": "cancel", "jobs": [f"j{process.uid.partition('.')[0]}"]})
        self.world.at(PATIENCE, self._too_late)

    def _too_late(self) -> None:
        if self.manager is not None:
            waiting = [f"{job.name}: {job.state} {job.reason or ''}" for job in self.manager.unfinished()]
            raise Violation(f"F: {PATIENCE:.0f} s after the last trouble these have not ended: {waiting}")
