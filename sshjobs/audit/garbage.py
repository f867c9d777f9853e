"""``sshjobs gc``: removes what earlier runs left on hosts. Whatever may still be needed is kept, and named.

A directory on a host is removed when nothing in it can be missed: its run is over and all outputs are here. For a run
that is not among those here: everything in it was released long ago.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from sshjobs.audit.checks import hosts_of_run
from sshjobs.errors import HostError, RunBusyError, StoreError
from sshjobs.model.host import Host
from sshjobs.model.outputs import directories
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, STATE_DONE
from sshjobs.network.traces import Broom, DirectoryTrace, HostTraces, host_key, survey, sweep
from sshjobs.store import ManagerIdentity, RunReader, RunStore, Summary
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import only_some

#: After how many seconds without a change a directory of an unknown run is taken to be out of use; the same for one
#: in which jobs keep directories and whose run is not named.
QUIET = 3600.0


@dataclass(frozen=True)
class Way:
    """How a host is reached."""

    transport: str | None = None
    ssh_config: str | None = None
    accept_new_host_keys: bool = False


@dataclass
class KnownRun:
    """A run that is here.

    :ivar reason: why nothing of it may be touched; ``None`` where it is over
    """

    paths: RunPaths
    uid: str
    hosts: list[Host]
    way: Way
    reason: str | None


@dataclass
class Plan:
    """What is to be done on one host.

    :ivar runs: the uids of the runs here that it concerns
    :ivar inputs: how many of the files kept for later runs are to be removed
    :ivar kept: what stays there, in words, one line each
    :ivar error: why the host could not be asked
    """

    host: Host
    way: Way
    broom: Broom = field(default_factory=Broom)
    runs: set[str] = field(default_factory=set)
    processes: int = 0
    inputs: int = 0
    kept: list[str] = field(default_factory=list)
    error: HostError | None = None

    @property
    def files(self) -> int:
        """The number of files to be removed."""
        return self.inputs + sum(directory.files for directory, _ in self.broom.directories)


def known_run(paths: RunPaths) -> KnownRun:
    """Read what has to be known about a run that is here.

    :raises StoreError: its store cannot be read
    :raises NotYoursError: it belongs to another user
    """
    check_own(paths)
    with RunReader.open(paths) as reader:
        summary = reader.summary()
        return KnownRun(paths, summary.uid, hosts_of_run(reader),
                        Way(summary.options.get("transport"), summary.options.get("ssh_config"),
                            bool(summary.options.get("accept_new_host_keys"))), _reason(summary))


def _reason(summary: Summary) -> str | None:
    if summary.manager is not None and summary.until is None and summary.manager.is_alive():
        return "a manager works on it"
    left = _left(summary)
    if left:
        return f"{left:,} of its jobs are not over; resume it, or cancel them"
    if summary.options.get("stays_open"):
        return f"it stays open for jobs; end it with: sshjobs queue finish {summary.run}"
    return None


def _left(summary: Summary) -> int:
    return sum(number for state, number in summary.counts.items() if state not in FINAL_STATES)


def look(hosts: Sequence[tuple[Host, Way]], runs: Sequence[KnownRun], *, only: bool, force: bool) -> list[Plan]:
    """Ask hosts what they have, and decide what is to be removed. Changes nothing.

    :param only: touch nothing of other runs than these
    :param force: also remove outputs that were not collected, and end processes that jobs keep on purpose
    """
    by_way: dict[Way, list[Host]] = {}
    for host, way in hosts:
        by_way.setdefault(way, []).append(host)
    plans = []
    for way, some in by_way.items():
        one = runs[0].uid if only and len(runs) == 1 else None
        answers = survey(some, one, **asdict(way))
        for host, told in zip(some, answers, strict=True):
            plan = Plan(host, way)
            if isinstance(told, HostError):
                plan.error = told
            else:
                _Decision(plan, told, runs, only=only, force=force).decide()
            plans.append(plan)
    return plans


class _Decision:
    """Decides what is to be removed on one host."""

    def __init__(self, plan: Plan, told: HostTraces, runs: Sequence[KnownRun], *, only: bool, force: bool):
        self._plan, self._told, self._only, self._force = plan, told, only, force
        self._runs = {run.uid: run for run in runs}
        self._tokens: list[str] = []
        self._directories: list[tuple[DirectoryTrace, bool]] = []

    def decide(self) -> None:
        here = host_key(self._plan.host.name)
        for directory in self._told.directories:
            known = self._runs.get(directory.run)
            if known is None:
                if not self._only:
                    self._unknown(directory)
            elif directory.host == here:
                self._known(known, directory)
        for known in self._runs.values():
            if known.reason is None:
                self._processes(known)
        self._plan.inputs = 0 if self._only else self._told.inputs
        self._plan.broom = Broom(tuple(dict.fromkeys(self._tokens)), tuple(self._directories), not self._only)

    def _known(self, known: KnownRun, directory: DirectoryTrace) -> None:
        if known.reason is not None:
            self._keep(f"{known.paths.name}: {known.reason}")
            return
        missing = self._uncollected(known, directory)
        if missing and not self._force:
            named = ", ".join(only_some(missing, "attempts"))
            self._keep(f"{known.paths.name}: outputs in {directory.base}/o were not collected: {named}")
            return
        if directory.kept and not (self._only or self._force) and directory.idle < QUIET:
            kept = f"{directories(len(directory.kept))} of jobs with keep_directory, for an hour"
            self._keep(f"{known.paths.name}: {kept}; to remove that now: sshjobs gc {known.paths.name}")
            return
        self._directories.append((directory, True))
        self._plan.runs.add(known.uid)
        self._plan.processes += sum(process.base == directory.base for process in self._told.processes)

    def _uncollected(self, known: KnownRun, directory: DirectoryTrace) -> list[str]:
        """Return the attempts there whose outputs or files would be lost."""
        missing = []
        with RunReader.open(known.paths) as reader:
            numbers = {int(attempt.uid.partition(".")[0]) for attempt in directory.attempts}
            rows = {f"{row.job}.{row.n}": row for found in reader.attempts_of(numbers).values() for row in found}
            done = {job.number for job in reader.jobs([STATE_DONE])} if numbers else set()
        for there in directory.attempts:
            row = rows.get(there.uid)
            if row is None:
                missing.append(f"attempt {there.uid}, which the store does not know")
            elif row.job not in done and row.out_size is None and there.out + there.err:
                missing.append(f"attempt {there.uid}, which was given up")
        return missing

    def _unknown(self, directory: DirectoryTrace) -> None:
        """Decide about a run that is not here: it may belong to another machine, and be under way."""
        busy = directory.agent or any(process.base == directory.base for process in self._told.processes)
        if busy:
            return
        why = None
        if not directory.boots <= {self._told.boot}:
            why = "it may be another host's that shares this home"
        elif directory.attempts and not self._force:
            why = f"{len(directory.attempts):,} of its attempts were not collected"
        elif any(attempt.state == "running" for attempt in directory.attempts):
            why = "jobs of it may run"
        elif directory.idle < QUIET:
            why = "it was in use within the last hour"
        if why is None:
            self._directories.append((directory, False))
        else:
            self._keep(f"{directory.base}, of a run that is not here: {why}")

    def _processes(self, known: KnownRun) -> None:
        """Plan to end the processes of attempts that have ended according to the store."""
        tokens = {process.token for process in self._told.processes if process.token}
        if not tokens:
            return
        with RunReader.open(known.paths) as reader:
            found = {attempt.token: job.name for job, attempts in reader.jobs_with_attempts()
                     for attempt in attempts if attempt.token in tokens}
            kept = {job.name for job in reader.load(set(found.values())) if _keeps(job)}
        for token, name in found.items():
            number = sum(process.token == token for process in self._told.processes)
            if name in kept and not self._force:
                self._keep(f"{known.paths.name}: {number} processes that {name} keeps alive on purpose")
            else:
                self._tokens.append(token)
                self._plan.runs.add(known.uid)
                self._plan.processes += number

    def _keep(self, line: str) -> None:
        self._plan.kept.append(line)


def _keeps(job: Job) -> bool:
    return job.spec.leftovers == "keep"


def clean(plans: Sequence[Plan], runs: Sequence[KnownRun]) -> Iterator[tuple[Plan, int, int, int]]:
    """Do what was planned. Yield for each host how many directories, files and processes were removed.

    Meanwhile no manager can take one of the runs.
    """
    with contextlib.ExitStack() as held:
        touched = set[str]().union(*(plan.runs for plan in plans))
        lost = {run.uid for run in runs if run.uid in touched and not _hold(run.paths, held)}
        by_way: dict[Way, list[Plan]] = {}
        for plan in plans:
            if plan.runs & lost:
                # A manager has come to work on one of the runs: nothing is certain any more.
                plan.broom = Broom()
            if plan.error is None:
                by_way.setdefault(plan.way, []).append(plan)
        for way, some in by_way.items():
            answers = sweep({plan.host: plan.broom for plan in some}, **asdict(way))
            for plan, told in zip(some, answers, strict=True):
                if isinstance(told, HostError):
                    plan.error = told
                    continue
                plan.kept += [f"{path}: {why}" for path, why in told.kept]
                yield plan, told.directories, told.files + told.doors, told.processes


def _hold(paths: RunPaths, held: contextlib.ExitStack) -> bool:
    """Keep managers away from a run until ``held`` is closed. Return False where one works on it, or jobs are open
    again."""
    try:
        store = RunStore.open(paths)
    except StoreError:
        return False
    try:
        store.take_over(ManagerIdentity.this_process())
    except (RunBusyError, StoreError):
        store.close()
        return False
    held.callback(lambda: store.close(time.time()))
    with RunReader.open(paths) as reader:
        return _left(reader.summary()) == 0
