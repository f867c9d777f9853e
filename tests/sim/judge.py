"""The judge: sees what really happens on the machines, and holds against it what the run says.

L nothing lost, D nothing doubled, B every byte, O no orphan, F it ends, T the state never lies; A no host is given more
than it has.
"""

from __future__ import annotations

import traceback
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause, explain
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, JOB_OUTCOMES, STATE_DONE, Outcome
from sshjobs.network.contract import HostDown, HostUp
from sshjobs.network.network import CANCEL_GRACE
from sshjobs.running.setups import FIRST_NUMBER
from sshjobs.simulation import World
from sshjobs.simulation.files import VirtualFiles
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.sim.allocations import Allocations
from tests.sim.evidence import Evidence
from tests.sim.host.machine import Machine
from tests.sim.host.process import Process
from tests.sim.host.watcher import Watcher

#: Seconds after which a host that can be reached has heard what a person wants, and those that a job may take to die.
HEARD, GRACE = 3.0, CANCEL_GRACE
#: Causes of failures that count against no job.
HOSTS_CAUSES = (Cause.HOSTS_FAULT, Cause.GPU_FAILED)


class Violation(AssertionError):
    """A promise was broken. The first letter says which."""


class Judge(Watcher):
    """Keeps the ledger: what every attempt did, as seen from outside."""

    def __init__(self, world: World, files: VirtualFiles):
        self.world, self.files = world, files
        #: What decides about losses; what of hosts is in use.
        self.evidence, self.allocations = Evidence(), Allocations()
        self.starts: dict[str, float] = {}
        self.exits = self.evidence.exits
        self.wrote: defaultdict[tuple[str, int], bytearray] = defaultdict(bytearray)
        self.running: dict[str, Process] = {}
        #: Numbers of jobs whose success is on the disk.
        self.succeeded: set[str] = set()
        #: Attempts that a person took for lost, because their host would not come back. It may come back.
        self.condemned: set[str] = set()
        #: Hosts that the manager talks to.
        self.up: set[str] = set()
        #: When a person took hosts out of the run, and when the manager last did not have a host.
        self.removed: dict[str, float] = {}
        self.missed: dict[str, float] = {}
        #: Hosts that have ever answered. What may run on none of them may be given up.
        self.reached: set[str] = set()
        self.recorded: dict[str, Outcome] = {}
        #: When something last befell anybody that is no wish of a person, or came to its end.
        self.disturbed = 0.0
        #: Attempts that a person wants to end or to stand still, since when, and which of the two.
        self.asked: dict[str, tuple[float, str]] = {}
        #: Whether hosts have to be prepared; which have been, under which boot; and of which that is on the disk.
        self.with_setup = False
        self.done_setups, self.prepared = set[tuple[str, str]](), set[tuple[str, str]]()
        #: How often a person wanted jobs to be tried again.
        self.tried_again = 0
        #: When attempts ended on their hosts; and the clock as it was at the beginning.
        self.ended_at: dict[str, float] = {}
        self._wall = world.wall
        #: Main processes that were killed.
        self._killed: set[Process] = set()

        #: Whether somebody or something has asked for the end of a job that runs.
        self.may_be_ended: Callable[[Process], bool] = lambda process: True

        #: Raises where what a job is to read is not where it starts.
        self.check_inputs: Callable[[Process], None] = lambda process: None

    def broken(self, what: str) -> Violation:
        """Return what is to be raised where a promise is broken. It is raised to whoever lets the world run as well:
        code of ours may be in between, and keep it from that."""
        violation = Violation(what)
        self.world.broken = self.world.broken or violation
        return violation

    # -- on the machines -----------------------------------------------------------------------------------------

    def on_start(self, machine: Machine, process: Process) -> None:
        uid = process.uid
        number = uid.partition(".")[0]
        self.world.say(f"{machine.name}: {uid} starts")
        if uid in self.starts:
            raise self.broken(f"D: attempt {uid} started twice")
        for other in self.running:
            if other.partition(".")[0] == number and not self.condemned & {uid, other}:
                raise self.broken(f"D: attempt {uid} starts while {other} runs")
        if number in self.succeeded and uid not in self.condemned:
            raise self.broken(f"D: attempt {uid} starts after the recorded success of its job")
        self._check_setup(machine, uid)
        self.starts[uid] = self.world.now
        self.check_inputs(process)
        self.running[uid] = process
        self._check_allocation(machine)

    def _check_allocation(self, machine: Machine) -> None:
        """Make sure that no more of a host is in use than it has. What was declared lost counts no more, and may run."""
        excess = self.allocations.excess(
            one for one in self.running.values()
            if one.machine is machine and one.uid not in self.condemned and not _is_setup(one.uid))
        excess = excess or self.allocations.gpus_taken_twice(machine, self.running.values())
        if excess is not None:
            runs = sorted(one.uid for one in self.running.values() if one.machine is machine)
            raise self.broken(f"A: {machine.name} is given {excess}: {', '.join(runs)} run")

    def _check_setup(self, machine: Machine, uid: str) -> None:
        """Make sure that hosts are prepared before their first job, and only once as far as the manager can know."""
        here = machine.name, machine.boot
        if _is_setup(uid):
            if here in self.prepared:
                raise self.broken(f"D: {machine.name} is prepared again by {uid}")
        elif self.with_setup and here not in self.done_setups:
            launch = self.evidence.launches[uid]
            # What was on its way when the host booted starts there before anybody can know of the boot.
            if launch.boot in (None, machine.boot):
                raise self.broken(f"T: {uid} starts on {machine.name}, which is not prepared")

    def on_setups(self, setups: Iterable[tuple[Attempt, tuple[Job, str]]]) -> None:
        """Hold what is recorded of setups against the ledger."""
        for attempt, (_, boot) in setups:
            if attempt.outcome is Outcome.SUCCEEDED:
                if self.exits.get(attempt.uid) != (0, None):
                    raise self.broken(f"T: the setup {attempt.uid} succeeded, but its end was {self.exits.get(attempt.uid)}")
                self.prepared.add((attempt.host, boot))

    def on_write(self, machine: Machine, uid: str, stream: int, data: bytes) -> None:
        self.wrote[uid, stream] += data

    def on_exit(self, machine: Machine, process: Process) -> None:
        self.world.say(f"{machine.name}: {process.uid} ends {process.status} {process.signal}")
        self.running.pop(process.uid, None)
        if process.status is None and process.signal is None:
            return
        self.exits[process.uid] = process.status, process.signal
        if _is_setup(process.uid) and process.status == 0:
            self.done_setups.add((machine.name, machine.boot))
        self.ended_at[process.uid] = self.world.now
        if process not in self._killed:
            self._see_that_wishes_were_heard(machine, process)

    def _see_that_wishes_were_heard(self, machine: Machine, process: Process) -> None:
        """A job has come to its own end: nobody may have cancelled or paused it, where its host could hear of that."""
        when, wish = self.asked.get(process.uid, (0.0, ""))
        since = max(when, self.disturbed, self.starts[process.uid])
        patience = HEARD + (GRACE if process.stubborn else 0.0)
        if wish and self.world.now - since > patience and self._is_heard(machine) and process.uid not in self.condemned:
            raise self.broken(f"O: {process.uid} ends by itself, {self.world.now - when:.1f} s after its {wish}")

    def _is_heard(self, machine: Machine) -> bool:
        return machine.name in self.up and machine.is_connected

    def disturb(self) -> None:
        """Something befalls somebody, or is over."""
        self.disturbed = self.world.now

    def heard(self, event: HostUp | HostDown) -> None:
        """The manager hears that a host is there, or is not."""
        self.disturb()
        if isinstance(event, HostUp):
            self.reached.add(event.host)
            self.up.add(event.host)
            self.evidence.told[event.host] = str(event.facts["boot"]), self.world.now
        else:
            self.up.discard(event.host)
            self.missed[event.host] = self.world.now

    def begin_manager(self) -> None:
        """Another manager has begun, or there is none any more."""
        self.disturb()
        self.missed.update(dict.fromkeys(self.up, self.world.now))
        self.up.clear()

    def removes(self, host: str) -> None:
        """A person takes a host out of the run."""
        self.removed.setdefault(host, self.world.now)
        if host not in self.up:
            self.missed[host] = self.world.now

    def _parted_unheard(self, host: str) -> bool:
        """Tell whether a host was away after it was taken out of the run: then it keeps what it has."""
        return self.missed.get(host, -1.0) >= self.removed.get(host, self.world.now)

    def on_kill(self, machine: Machine, process: Process, by: Process) -> None:
        if process.kind == "runner" and process.parent is by and (not process.uid or process.uid in self.recorded):
            # It is the agent's own, and has nothing.
            return
        if process.kind == "tool" and process.parent is by:
            return
        of_a_job = process.kind in ("main", "stray")
        if not of_a_job or (by.kind == "runner" and by.uid != process.uid):
            raise self.broken(f"O: {process.kind} {process.pid} of {process.uid or 'nobody'} was killed by the {by.kind} of "
                              f"{by.uid or 'all'}")
        if process.kind == "main" and process.uid not in self.condemned and not self.may_be_ended(process):
            raise self.broken(f"T: {process.uid} was killed, and nobody has asked for that")
        self._killed.add(process)

    def on_death(self, machine: Machine, process: Process) -> None:
        if process.status == 0:
            return
        self.world.say(f"{machine.name}: {process.kind} {process.pid} of {process.uid or 'all'} dies: {process.status} "
                       f"{process.signal}")
        if process.kind == "agent":
            self.evidence.agent_deaths[machine.name].append(self.world.now)
        elif process.kind == "runner":
            self.evidence.runner_died(machine, process, self.world.now)

    def on_claim(self, machine: Machine, process: Process, uid: str) -> None:
        self.evidence.claimed(machine, process, uid, self.world.now)

    def on_note(self, machine: Machine, process: Process, data: bytes) -> None:
        self.evidence.note(process, data)

    def on_reboot(self, machine: Machine, *, power: bool) -> None:
        self.evidence.reboots[machine.name].append(self.world.now)
        if power:
            self.evidence.power_losses[machine.name].append(self.world.now)

    def on_failure(self, machine: Machine, process: Process, error: BaseException) -> None:
        self.world.say(f"{machine.name}: {process.kind} {process.pid} fails: {error!r}")
        if not isinstance(error, OSError):
            trace = "".join(traceback.format_exception(error)[-4:])
            raise self.broken(f"F: the {process.kind} of {machine.name} fails: {error!r}\n{trace}")

    def on_removal(self, machine: Machine, process: Process, name: str) -> None:
        # The directory of a run on a host has a name of so many digits.
        if process.kind == "agent" and len(name) == 16:
            self.evidence.forgotten[machine.name].append(self.world.now)

    # -- what is recorded ----------------------------------------------------------------------------------------

    def on_commit(self, jobs: Iterable[Job], attempts: Iterable[tuple[Attempt, Job]], paths: RunPaths) -> None:
        """Hold what was just made durable against the ledger."""
        for attempt, job in attempts:
            if attempt.uid not in self.evidence.launches:
                self._check_delay(job, attempt)
                self._check_wanted(job, attempt)
            self.evidence.launched(attempt, self.world.now)
            if attempt.started is not None and attempt.uid not in self.starts:
                raise self.broken(f"T: attempt {attempt.uid} is said to run and never started")
            if attempt.state in FINAL_STATES and attempt.uid not in self.recorded:
                assert attempt.outcome is not None
                self.recorded[attempt.uid] = attempt.outcome
                if attempt.cause is Cause.DECLARED_LOST:
                    self.condemned.add(attempt.uid)
                self.world.say(f"recorded: {attempt.uid} {attempt.outcome} {explain(attempt.cause, attempt.reason) or ''}")
                self._check_end(attempt, job, paths)
        for job in jobs:
            if job.state == STATE_DONE:
                self.succeeded.add(str(job.index + 1))
            reason = job.reason or ""
            if job.outcome is Outcome.SKIPPED and reason.startswith("no host has what it needs"):
                continue
            if job.outcome is Outcome.SKIPPED and self.reached & set(reason.rpartition(": ")[2].split(", ")):
                raise self.broken(f"L: {job.name} was given up: {job.reason}")

    def _check_end(self, attempt: Attempt, job: Job, paths: RunPaths) -> None:
        uid, outcome = attempt.uid, attempt.outcome
        exit_of = self.exits.get(uid)
        if uid in self.running and uid not in self.condemned:
            raise self.broken(f"O: attempt {uid} ended {outcome}, and runs")
        if outcome is Outcome.SUCCEEDED and (exit_of is None or exit_of[0] not in (job.spec.ok_exit or [0])):
            raise self.broken(f"T: attempt {uid} succeeded, but its end was {exit_of}")
        if attempt.cause is Cause.GPU_FAILED:
            if exit_of in (None, (0, None)):
                raise self.broken(f"T: attempt {uid} failed by its GPU, but its end was {exit_of}")
        elif outcome is Outcome.FAILED and (exit_of is None or exit_of != (attempt.exit_status, None)
                                            or exit_of[0] in (job.spec.ok_exit or [0])):
            raise self.broken(f"T: attempt {uid} failed with {attempt.exit_status}, but its end was {exit_of}")
        if outcome is Outcome.SIGNALLED and (exit_of is None or exit_of != (None, attempt.signal)):
            raise self.broken(f"T: attempt {uid} died of {attempt.signal}, but its end was {exit_of}")
        if outcome is Outcome.TIMED_OUT and job.spec.timeout is None:
            raise self.broken(f"T: attempt {uid} ran out of time, and had no limit")
        if outcome is Outcome.NEVER_STARTED and uid in self.starts:
            raise self.broken(f"T: attempt {uid} never started, but it did")
        if attempt.cause is Cause.LEASE and job.spec.lease is None:
            raise self.broken(f"T: the lease of attempt {uid} ran out, and it had none")
        if outcome is Outcome.LOST and not self.evidence.may_be_lost(attempt, self.world.machines[attempt.host]):
            raise self.broken(f"T: attempt {uid} is lost without need: {explain(attempt.cause, attempt.reason)}")
        # The next attempt may be in the same commit, and this one's output is put aside behind that.
        directory = paths.attempt(job.name, attempt.n)
        if not self.files.is_aside(directory):
            directory = paths.job(job.name)
        for stream, name in ((1, "stdout"), (2, "stderr")):
            self.check_output(attempt, stream, self.files.read(directory / name))

    def _check_delay(self, job: Job, attempt: Attempt) -> None:
        """Make sure that nothing is tried again too early, where nobody has set a clock or asked for it."""
        delay, before = job.spec.retry_delay, job.attempts[:job.attempts.index(attempt)]
        own = [one for one in before if one.outcome in JOB_OUTCOMES and one.cause not in HOSTS_CAUSES]
        if delay is None or not own or own[-1] is not before[-1] or self.tried_again or self.world.wall != self._wall:
            return
        least = min(delay * 2 ** (len(own) - 1), 3600.0)
        if (ended := self.ended_at.get(own[-1].uid)) is not None and self.world.now < ended + least:
            raise self.broken(f"T: {attempt.uid} is launched {self.world.now - ended} s after the end before, not {least}")

    def _check_wanted(self, job: Job, attempt: Attempt) -> None:
        """Make sure that nothing is tried again of which a person was told that it is cancelled, where nobody has asked for that."""
        cancelled = [one.uid for one in job.attempts if one is not attempt and self.asked.get(one.uid, (0.0, ""))[1] == "cancel"]
        if cancelled and not self.tried_again:
            raise self.broken(f"T: {attempt.uid} is launched, and {cancelled[-1]} was cancelled")

    def _count_attempts(self, job: Job) -> None:
        """Hold the number of attempts against what was asked for. It is counted here by the plain words of the page."""
        own = Counter(str(attempt.outcome) for attempt in job.attempts
                      if attempt.outcome in JOB_OUTCOMES and attempt.cause not in HOSTS_CAUSES)
        asked = job.spec.retries
        over = ({"all": own.total() - asked} if isinstance(asked, int) else
                {word: ends - asked.get(word, {"times": 0})["times"] for word, ends in own.items()})
        for word, more in over.items():
            if more > 1 + self.tried_again:
                raise self.broken(f"D: {job.name} ended {dict(own)}, and was to be tried again {asked} ({word})")

    def check_output(self, attempt: Attempt, stream: int, here: bytes) -> None:
        """Hold an output that has come back against what was written."""
        there = bytes(self.wrote[attempt.uid, stream])
        whole = attempt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.SIGNALLED)
        if self.evidence.output_may_be_gone(attempt.uid, attempt.host, self.starts.get(attempt.uid)):
            if attempt.outcome is Outcome.LOST:
                # Both lost a part of it, each another: tests/sim/found.md.
                return
            whole = False
        if here != there if whole else not there.startswith(here):
            raise self.broken(f"B: stream {stream} of {attempt.uid} ({attempt.outcome}) has {len(here)} bytes, not the "
                            f"{len(there)} that it wrote")

    # -- at the end ----------------------------------------------------------------------------------------------

    def check_run(self, paths: RunPaths) -> None:
        """Check everything once the run is over and all hosts are well."""
        with RunReader.open(paths) as reader:
            troubles = list(reader.contradictions())
            jobs = reader.load(row.name for row in reader.jobs())
            removed = {row.host.name for row in reader.hosts() if row.host.removed and self._parted_unheard(row.host.name)}
            cancelled = sorted(reader.cancelled())
        if troubles:
            raise self.broken(f"T: the store contradicts itself: {troubles}")
        if cancelled:
            # The next manager would end them, should they be tried again.
            raise self.broken(f"T: jobs {cancelled} have ended, and the store says that they are still to be cancelled")
        for job in jobs:
            if job.state not in FINAL_STATES:
                raise self.broken(f"L: {job.name} is {job.state} at the end")
            for attempt in job.attempts:
                released = attempt.released or attempt.host in removed
                if attempt.state not in FINAL_STATES or not released:
                    raise self.broken(f"L: attempt {attempt.uid} is {attempt.state}, released: {attempt.released}")
                directory = paths.job(job.name)
                if attempt is not job.attempts[-1]:
                    directory = paths.attempt(job.name, attempt.n)
                for stream, name in ((1, "stdout"), (2, "stderr")):
                    self.check_output(attempt, stream, self.files.read(directory / name))
            self._count_attempts(job)
        unknown = {uid for uid in self.starts if not _is_setup(uid)} - {
            attempt.uid for job in jobs for attempt in job.attempts}
        if unknown:
            raise self.broken(f"T: attempts ran of which the store knows nothing: {sorted(unknown)}")
        for machine in self.world.machines.values():
            assert isinstance(machine, Machine)
            # A host that a person has declared lost and then taken out of the run is never asked again.
            given_up = self.condemned if machine.name in removed else set()
            left = [process for process in machine.processes.values()
                    if process.kind in ("main", "stray") and process.alive and process.uid not in given_up]
            if left:
                raise self.broken(f"O: {machine.name} still runs {[process.uid for process in left]}")


def _is_setup(uid: str) -> bool:
    return int(uid.partition(".")[0]) >= FIRST_NUMBER
