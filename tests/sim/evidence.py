"""What has really befallen each attempt and its host, as far as it decides whether anybody can know how it ended."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from sshjobs.gjob.agent.adopt import UNLOADED
from sshjobs.gjob.journal import parse
from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from tests.sim.host.machine import Machine
from tests.sim.host.process import Process

#: Seconds that a manager takes to hear what its host says.
HEARING = 1.0
#: Runners that die within so many seconds of each other may be missed together.
TOGETHER = 1.0


class Launch(NamedTuple):
    """``at``: when it was on the disk; ``boot``: of its host, as the manager knew it; ``since``: when it was told that."""

    at: float
    boot: str | None
    since: float


class Death(NamedTuple):
    """Of a runner: ``noted``: what it had written down of its attempt; ``reaped``: nobody else can know how that ended, and
    it may have been kept from writing that down."""

    at: float
    host: str
    noted: frozenset[str]
    reaped: bool


class Evidence:
    """Keeps it, and tells for each cause of a loss whether that is what happened."""

    def __init__(self) -> None:
        self.launches: dict[str, Launch] = {}
        #: By host: the boot that the manager was told of last, and when.
        self.told: dict[str, tuple[str, float]] = {}
        #: By host: when it went down, and when that was without power.
        self.reboots: defaultdict[str, list[float]] = defaultdict(list)
        self.power_losses: defaultdict[str, list[float]] = defaultdict(list)
        #: When the manager's machine lost its power.
        self.losses_here: list[float] = []
        self.agent_deaths: defaultdict[str, list[float]] = defaultdict(list)
        self.runner_deaths: dict[str, Death] = {}
        #: By host: when an agent to which nothing had come removed the run's directory: no other can tell that from a loss.
        self.forgotten: defaultdict[str, list[float]] = defaultdict(list)
        #: When the directory of an attempt was made by a runner, by host and attempt; and when by an agent, as a fence.
        self.claims: dict[tuple[str, str], float] = {}
        self.fences: dict[tuple[str, str], float] = {}
        #: Kinds of records of an attempt that its runner has written.
        self.noted: defaultdict[str, set[str]] = defaultdict(set)
        self.exits: dict[str, tuple[int | None, int | None]] = {}
        #: Hosts that a person has said will not come back, and when.
        self.given_up: dict[str, float] = {}

    # -- what happens --------------------------------------------------------------------------------------------

    def launched(self, attempt: Attempt, now: float) -> None:
        """The intent to launch an attempt is on the disk."""
        if attempt.uid not in self.launches:
            boot, since = self.told.get(attempt.host, (None, now))
            self.launches[attempt.uid] = Launch(now, boot, since)

    def note(self, process: Process, data: bytes) -> None:
        """A process has written into its journal."""
        if process.kind == "runner":
            for record in filter(None, map(parse, data.split(b"\n"))):
                self.noted[record.get("id", "")].add(record["k"])

    def claimed(self, machine: Machine, process: Process, uid: str, now: float) -> None:
        """A process has made the directory of an attempt."""
        (self.claims if process.kind == "runner" else self.fences).setdefault((machine.name, uid), now)

    def runner_died(self, machine: Machine, process: Process, now: float) -> None:
        """A runner has not come to its own end."""
        uid = process.uid
        if uid:
            lives_on = any(child.kind == "main" for child in process.children.values())
            launch = self.launches.get(uid)
            kept = launch is None or machine.disk.refused >= launch.at
            self.runner_deaths[uid] = Death(now, machine.name, frozenset(self.noted[uid]), uid in self.exits and not lives_on and kept)

    # -- what follows --------------------------------------------------------------------------------------------

    def may_be_lost(self, attempt: Attempt, machine: Machine) -> bool:
        """Tell whether nobody can know how an attempt ended, for the reason that is given for that."""
        match attempt.cause:
            case Cause.DECLARED_LOST:
                return attempt.host in self.given_up
            case Cause.LEASE | Cause.CLOSED:
                return True
            case Cause.REBOOT:
                key = attempt.host, attempt.uid
                claimed = self.claims.get(key, self.fences.get(key))
                return claimed is not None and any(when >= claimed for when in self.reboots[attempt.host])
            case Cause.FORGOTTEN:
                return self._may_be_forgotten(attempt, machine)
            case Cause.STATUS_UNKNOWN:
                return self._status_may_be_unknown(attempt)
        return False

    def _may_be_forgotten(self, attempt: Attempt, machine: Machine) -> bool:
        launch = self.launches[attempt.uid]
        if machine.boot != launch.boot:
            return True
        # The agent that it was sent to, or the one before, had nothing of the run and left.
        return (attempt.host, attempt.uid) not in self.claims and any(
            when >= launch.since - HEARING for when in self.forgotten[attempt.host])

    def _status_may_be_unknown(self, attempt: Attempt) -> bool:
        """Whoever was to write down or to inherit the exit status has died."""
        uid = attempt.uid
        death = self.runner_deaths.get(uid)
        if death is None or "exit" in self.noted[uid]:
            return False
        if any(when >= self.launches[uid].at for when in self.agent_deaths[attempt.host]) or death.reaped:
            return True
        if "start" in death.noted:
            return False
        # It died in the moment of the start. So ends what could not load its program, and nobody who was told that it
        # could lives; and what was started by another in the same moment may be this one.
        return self.exits.get(uid, (None, None))[0] in UNLOADED or any(
            other != uid and one.host == death.host and abs(one.at - death.at) <= TOGETHER and "start" not in one.noted
            for other, one in self.runner_deaths.items())

    def output_may_be_gone(self, uid: str, host: str, started: float | None) -> bool:
        """Tell whether host and manager have both lost their power while one of them was to have an output."""
        launch = self.launches.get(uid)
        if launch is None or started is None:
            return False
        return (any(when >= started for when in self.power_losses[host])
                and any(when >= launch.at for when in self.losses_here))
