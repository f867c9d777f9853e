"""A runner: takes one launch at a time, claims it, starts it, sees it through and writes down how it ended.

The same steps in the same order as ``sshjobs/gjob/runner.py``; between any two of them it may die.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sshjobs.gjob.lease import GRACE, LOOK_INTERVAL, words
from sshjobs.simulation.disk import Record
from sshjobs.simulation.killing import Killer
from sshjobs.simulation.leasing import SimHeard
from sshjobs.simulation.machine import Machine, Process

if TYPE_CHECKING:
    from sshjobs.simulation.agent import Agent

LEFTOVERS_GRACE, TIMEOUT_GRACE = 1.0, 5.0
#: A job that ends within so many seconds is told of by its end alone.
QUIET_START = 0.02
#: Seconds between two attempts to write a record while the disk is full.
RETRY_INTERVAL = 1.0


class _Job:
    def __init__(self, launch: dict[str, Any]):
        self.launch, self.uid = launch, launch["id"]
        self.main: Process | None = None
        self.started_at = 0.0
        self.why: str | None = None
        self.killer: Killer | None = None
        self.over = False
        #: The main process has ended and was not waited for yet.
        self.zombie = False


class Runner:
    """One slot's runner.

    :ivar process: its own; with its death everything here stops
    :ivar attempt_uid: what the agent has given it, empty when it is idle
    """

    def __init__(self, machine: Machine, agent: Agent, slot: int):
        self.machine, self.world, self.slot = machine, machine.world, slot
        self.process = machine.spawn("runner")
        self.process.owner = self
        self.agent: Agent | None = agent
        self.attempt_uid = ""
        self.journal_name, self.journal = machine.disk.new_journal()
        self._orders: deque[dict[str, Any]] = deque()
        self._job: _Job | None = None
        self._heard = SimHeard(machine)
        self._note(k="runner")

    @property
    def alive(self) -> bool:
        """Whether its process is."""
        return self.process.alive

    @property
    def uid(self) -> str:
        """The attempt that it has begun with, empty when there is none."""
        return self._job.uid if self._job is not None else self.attempt_uid

    def knows(self) -> set[str]:
        """Return the attempts of which nobody else may know all: the one that it has, and those not written down."""
        return {self.uid, *(record["id"] for record in self.journal.unwritten if "id" in record)} - {""}

    def give(self, launch: dict[str, Any]) -> None:
        """Take a launch, or an order about the one that it has; it comes to that in its own time."""
        self._orders.append(launch)
        if self.world.slow:
            self.world.at(self.world.rng.uniform(0.0, 0.002), self._serve)
        else:
            self._serve()

    def hang_up(self) -> None:
        """The agent is gone, or has let it go."""
        self.agent = None
        if self._job is None:
            self._exit()

    def _exit(self) -> None:
        if not self.alive:
            return
        if not self.journal.retry(self.world.now):
            self.world.at(RETRY_INTERVAL, self._exit)
            return
        self.machine.end(self.process, 0)

    def _serve(self) -> None:
        while self.alive and self._orders:
            order = self._orders[0]
            if self._job is not None:
                if order["t"] == "launch":
                    return
                self._orders.popleft()
                if order["id"] == self._job.uid:
                    self._obey(self._job, order)
                continue
            self._orders.popleft()
            # What was not begun when the agent went is not this one's to begin: the next agent may have it by now.
            if order["t"] == "launch" and self.agent is not None:
                self._run(order)

    def _point(self, name: str) -> bool:
        """Pass a point at which it may die; False when it did."""
        self.world.point(f"runner.{name}", self.machine)
        return self.alive

    # -- one job -------------------------------------------------------------------------------------------------

    def _run(self, launch: dict[str, Any]) -> None:
        uid = launch["id"]
        if not self._point("given"):
            return
        self.before_claim(launch)
        try:
            if not self.claim(uid):
                self._tell(t="taken", id=uid)
                return
        except OSError:
            self._end(_Job(launch), "no_room", "no room for its directory", (0, 0))
            return
        job = self._job = _Job(launch)
        if not self._point("claimed"):
            return
        timeout, lease = launch["spec"].get("timeout"), launch["spec"].get("lease")
        if lease is not None and not self._heard.covers(lease):
            self._over(job, "fenced", words(lease, started=False), (0, 0))
            return
        if not self._note(k="claim", id=uid, token=launch["token"], keep=False,
                          until=None if timeout is None else self.world.now + timeout, lease=lease):
            self._over(job, "no_room", "no room for its journal", (0, 0))
            return
        if not self._point("noted"):
            return
        self._start(job, timeout)

    def _start(self, job: _Job, timeout: float | None) -> None:
        job.main = self.machine.start_job(self, job.launch)
        job.started_at = self.machine.clock()
        if not self._point("started"):
            return
        self._note(k="start", id=job.uid, pid=job.main.pid, start=job.main.start, at=job.started_at)
        if not self._point("running"):
            return
        if job.over:
            return
        program = job.main.program
        if program is None or program.seconds > QUIET_START:
            self.world.at(QUIET_START, lambda: self._tell_start(job))
        if timeout is not None:
            self.world.at(timeout, lambda: self._time_out(job))
        if (lease := job.launch["spec"].get("lease")) is not None:
            self._watch_lease(job, lease)

    def before_claim(self, launch: dict[str, Any]) -> None:
        """Nothing is said of a launch before it is claimed."""

    def claim(self, uid: str) -> bool:
        """Make the attempt ours; False when it is another's.

        :raises OSError: no room
        """
        return self.machine.disk.mkdir(uid, self.world.now)

    def _tell_start(self, job: _Job) -> None:
        if self.alive and self._job is job and not job.over and job.main is not None:
            self._tell(t="started", id=job.uid, pid=job.main.pid, at=job.started_at)

    def _time_out(self, job: _Job) -> None:
        if self.alive and self._job is job and not job.over and job.killer is None:
            job.why = "timed_out"
            job.killer = Killer(self.machine, job.uid, lambda: self._members(job), TIMEOUT_GRACE, self._alive_and(job))

    def _watch_lease(self, job: _Job, lease: float) -> None:
        if not self.alive or self._job is not job or job.over:
            return
        if self._heard.covers(lease):
            self.world.at(LOOK_INTERVAL, lambda: self._watch_lease(job, lease))
        else:
            self._finish_off(job, "lease", GRACE)

    def _obey(self, job: _Job, order: dict[str, Any]) -> None:
        if order["t"] == "pause":
            self.machine.stop(self._members(job))
        elif order["t"] == "unpause":
            self.machine.go_on(self._members(job))
        else:
            self._finish_off(job, order.get("why", "cancelled"), order["grace"])

    def _finish_off(self, job: _Job, why: str, grace: float) -> None:
        if job.killer is not None:
            job.killer.hurry(grace)
            return
        if not job.over:
            job.why = why
        job.killer = Killer(self.machine, job.uid, lambda: self._members(job), grace, self._alive_and(job))

    def _alive_and(self, job: _Job) -> Any:
        return lambda: self.alive and self._job is job

    def _members(self, job: _Job) -> list[Process]:
        """Return the descendants of this runner that live."""
        return [process for process in self.machine.processes.values() if process.parent is self]

    def child_ended(self, process: Process) -> None:
        """Reap a child; after the main process, see to what it left, then write down the end."""
        if not self.alive or self._job is None:
            return
        job = self._job
        if process is job.main:
            job.over = job.zombie = True
            if not self._point("over"):
                return
            if job.why is None and process.signal is not None:
                job.why = "signalled"
            self._note(k="exit", id=job.uid, why=job.why or "exited", status=process.status, signal=process.signal)
            job.zombie = False
            if not self._point("reaped"):
                return
            if self._members(job) and job.killer is None:
                job.killer = Killer(self.machine, job.uid, lambda: self._members(job), LEFTOVERS_GRACE,
                                    self._alive_and(job))
        if job.over and self._job is job and not self._members(job):
            size = self.machine.disk.size
            self._over(job, job.why or "exited", None, (size(job.uid, 1), size(job.uid, 2)))

    def _over(self, job: _Job, why: str, msg: str | None, sizes: tuple[int, int]) -> None:
        self._end(job, why, msg, sizes)
        if not self.alive:
            return
        self._job = None
        if self.agent is None:
            self._exit()
        else:
            self._serve()

    def _end(self, job: _Job, why: str, msg: str | None, sizes: tuple[int, int]) -> None:
        main = job.main
        end: Record = {"id": job.uid, "why": why, "status": main and main.status, "signal": main and main.signal,
                       "started": job.started_at if main else None, "ended": self.machine.clock(), "out": sizes[0],
                       "err": sizes[1], "msg": msg, "cpu": 0.0, "rss": 0}
        self._note(k="end", **end)
        if self._point("ended"):
            self._tell(t="ended", **end)

    def _note(self, **record: Any) -> bool:
        own = {"runner": self.process.pid, "rstart": self.process.start, "boot": self.machine.boot}
        return self.journal.append(self.world.now, {**record, **own})

    def _tell(self, **frame: Any) -> None:
        agent = self.agent
        if agent is None:
            return
        if self.world.slow:
            self.world.at(self.world.rng.uniform(0.0, 0.002), lambda: agent.told(self, frame))
        else:
            agent.told(self, frame)

    def die(self) -> None:
        """Be killed: what it was about to do is not done; what it had written is there."""
        if not self.alive:
            return
        self.journal.forget_unwritten()
        agent = self.agent
        self.process.alive = False
        self.machine.processes.pop(self.process.pid, None)
        self.machine.adopt_orphans(self, agent)
        self.agent = None
        if agent is not None:
            agent.runner_died(self)
            if self._job is not None and self._job.zombie and self._job.main is not None:
                agent.child_ended(self._job.main)


