"""Housekeeping: what a manager does for its hosts and its store, independent of the jobs.

The order keeps the promises: first the commit, then launches leave and hosts forget.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, LocalError, SshjobsError, UsageError
from sshjobs.model.given import wrong
from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_BUSY, STATE_FREE, STATE_UNKNOWN, STATES
from sshjobs.model.telling import Notice, Telling
from sshjobs.network.clock import Clock
from sshjobs.network.contract import HERE, HostClosed, HostDown, HostUp, NetworkContract, RunIdentity, Silent, Warned
from sshjobs.running.books import Books
from sshjobs.running.diskwatch import DiskWatch
from sshjobs.running.hooks import Hooks
from sshjobs.running.inbox import Inbox
from sshjobs.running.runhosts import RunHosts
from sshjobs.running.setups import Setups
from sshjobs.running.telling import Teller
from sshjobs.scheduling.placement import Placement
from sshjobs.scheduling.queue import Queue
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import ManagerIdentity, RunStore, StoreLockedError, Summary
from sshjobs.store.rundir import RunPaths, discard_run
from sshjobs.store.setups import SetupRow

#: Seconds between two attempts to commit while the disk of the store refuses.
COMMIT_RETRY = 1.0
#: The same while another process locks the store; after how many attempts that is reported, and requests are answered.
LOCK_RETRY, LOCK_PATIENCE = 0.02, 1.0
#: Seconds after which a person is told that the manager waits for hosts at the end.
CLOSING_PATIENCE = 5.0
#: While the manager waits for its own machine, it looks for requests every so many seconds.
HEARD_WITHIN = 0.25


#: The attributes that a manager has from Setup or Resume on.
_LATER = ("network", "clock", "store", "paths", "books", "hosts", "schedule", "placement", "setups", "teller")


class NoRunYetError(UsageError, AttributeError):
    """The attribute exists only after Setup or Resume; before, ``hasattr`` is false."""


class LeavesWaiting(Exception):
    """A person made the manager leave while it waited for its own machine: uncommitted changes are lost."""


class Housekeeping(Hooks):
    """Keeps a run's store, its books and its hosts in step."""

    def __init__(self) -> None:
        self.network: NetworkContract
        self.clock: Clock
        self.store: RunStore
        self.paths: RunPaths
        #: All jobs of this manager, by state.
        self.jobs: Queue[Job] = Queue(STATES)
        #: The parts of a manager: the books of the run, its hosts, and the schedule.
        self.books: Books
        self.hosts: RunHosts
        self.schedule: Schedule
        self.placement: Placement
        self.setups: Setups
        #: Delivers notices to people.
        self.teller: Teller
        self.inbox = Inbox()
        #: The trouble of this machine for which the manager waits, taking only urgent requests; ``None``: there is
        #: none.
        self.trouble: LocalError | None = None
        #: A person wants the manager to leave.
        self.leaves = False
        #: The sessions with the hosts are being ended: hosts cannot be asked any more.
        self.closing = False
        #: The summary at the end of the run, ``None`` before.
        self.summary: Summary | None = None
        #: 0 if every job of the run is done, else 1.
        self.exit_code = EXIT_JOBS_FAILED

    if not TYPE_CHECKING:  # otherwise mypy would not find misspelt attributes
        def __getattr__(self, name: str) -> Any:
            # Called only for missing attributes: these exist from Setup or Resume on.
            if name in _LATER:
                raise NoRunYetError("the manager has no run yet", hint="call Setup or Resume first")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _begin(self, network: NetworkContract, paths: RunPaths, store: RunStore, schedule: Schedule) -> int:
        """Open the books and take the run over; return our epoch."""
        self.network, self.clock, self.paths, self.store, self.schedule = network, network.clock, paths, store, schedule
        self.books = Books(paths, store, self.jobs)
        self.hosts = RunHosts(network, schedule, store, self._hear_of_host)
        self.placement = self.hosts.placement
        self._disk = DiskWatch(paths.root, lambda text: self.handle_host(Warned(HERE, text)))
        try:
            # A new store has its first manager in it already.
            epoch = store.epoch or store.take_over(ManagerIdentity.this_process())
            store.wait_for_locks(HEARD_WITHIN)
            return epoch
        except BaseException:
            store.close()
            raise

    def _tell_people(self, telling: Any, waiting: Sequence[Notice] = ()) -> None:
        """Begin to deliver notices about the run.

        :param telling: the recipients, as the run's options have them
        :param waiting: undelivered notices of an earlier manager
        """
        self.teller = Teller(self.paths, self.store, self.clock, telling=Telling.from_dict(telling), waiting=waiting,
                             complain=lambda text: self.handle_host(Warned(HERE, text)), wake=self.network.wake)

    def _hear_of_host(self, event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        self.teller.hear(event)
        self.handle_host(event)

    def _set_up_hosts(self, script: Sequence[str], rows: Iterable[SetupRow] = ()) -> list[Job]:
        """Let hosts run their setup before their first job; return the setups that an earlier manager has begun.

        :param rows: the setups of earlier managers
        """
        self.setups = self.hosts.setups = Setups(script, self.network, self.schedule, self.books,
                                                 lambda event: self.handle_act(event), self.hosts.block)
        begun = self.setups.recall(rows)
        self.setups.add(self.network.hosts)
        return begun

    def unfinished(self) -> list[Job]:
        """Return the jobs that have not ended."""
        return [job for state in (STATE_FREE, STATE_BUSY, STATE_UNKNOWN) for job in self.jobs.InState(state)]

    def note(self, job: Job, reason: str | None) -> None:
        """Set the reason of a job, which people see."""
        job.reason = reason
        self.store.touch(job)

    def commit(self) -> None:
        """Make everything that happened durable, then let launches leave and hosts forget."""
        self.hosts.hand_over_pulses()
        self._patiently(self.books.commit)
        self.teller.turn()
        self._disk.look(self.clock.monotonic())
        self._patiently(self.network.flush)
        due = self.books.due(self.clock.monotonic(), hurry=not self.schedule.waiting)
        if due:
            self.network.release(due)

    # -- for other threads and signals ---------------------------------------------------------------------------

    def post(self, request: Callable[[], None], *, signal: bool = False) -> None:
        """Call a function in the manager's thread, between two events or while it waits for its own machine. May be
        called from any thread.

        :param signal: see :class:`sshjobs.running.inbox.Inbox`
        """
        if not callable(request):
            raise wrong("a request", request, "a function without arguments")
        self.inbox.post(request, signal=signal)
        self.network.wake()

    def fail(self, error: BaseException) -> None:
        """Let :meth:`ProcessJobs` raise the exception that an indispensable thread died of. From any thread."""
        def die() -> None:
            raise error

        self.post(die, signal=True)

    def leave(self) -> None:
        """Let :meth:`ProcessJobs` return at once. Launched jobs go on, and the next manager collects them. In the
        manager's thread."""
        self.leaves = True

    # -- inside --------------------------------------------------------------------------------------------------

    def _patiently(self, act: Callable[[], None]) -> None:
        """Call a function that needs this machine's disk. While that fails and waiting may help, wait and try again;
        requests and signals are served meanwhile.

        :raises LocalError: waiting cannot help
        :raises LeavesWaiting: a person does not want to wait any longer
        """
        told, began = "", self.clock.monotonic()
        while True:
            try:
                act()
            except LocalError as error:
                if not error.passing:
                    raise
                trouble = error
            else:
                self.trouble = None
                return
            locked = isinstance(trouble, StoreLockedError)
            if locked and self.clock.monotonic() - began < LOCK_PATIENCE:
                # Usual on disks where readers block the writer: it is not reported at first, and requests wait.
                self._listen(LOCK_RETRY, signals_only=True)
                continue
            self.trouble = trouble
            if told != (told := trouble.waiting()):
                self.handle_host(Warned(HERE, told))
            self._listen(LOCK_RETRY if locked else COMMIT_RETRY)

    def _listen(self, seconds: float, *, signals_only: bool = False) -> None:
        """Wait so many seconds, and serve requests and signals meanwhile."""
        until = self.clock.monotonic() + seconds
        while (left := until - self.clock.monotonic()) > 0:
            self.inbox.carry_out(signals_only=signals_only)
            if self.leaves:
                raise LeavesWaiting
            self.clock.sleep(min(left, HEARD_WITHIN))

    def _part_from_hosts(self) -> None:
        def keeps(host: str) -> bool:
            return any(attempt.host == host for attempt in self.books.unreleased)

        for host in self.hosts.part(keeps) if self.hosts.leaving else ():
            self.handle_act({"event": "hosts", "change": "removed", "hosts": [host], "slots": None})

    def _open_new(self, run: RunIdentity, *, hurry: bool) -> None:
        """Begin to contact the hosts of a new run. If that fails, nothing of the run is left."""
        try:
            self.network.open(run, self.paths, hurry=hurry)
        except BaseException:
            self.network.close(finished=False)
            self.store.close(self.clock.time())
            discard_run(self.paths, store_too=True)
            raise

    def abandon(self) -> None:
        """End the sessions with all hosts and close the store, instead of calling :meth:`ProcessJobs`. Launched jobs go
        on, and the run can be resumed."""
        self._close(finished=False, clean=not self.books.unreleased)

    def _close(self, *, finished: bool, clean: bool = False) -> None:
        """End the sessions and close the store.

        :param finished: the run is over
        :param clean: hosts are to remove everything of the run, even if another manager will launch more
        """
        # The manager is leaving; a further request to leave means that nobody wants to wait for hosts.
        self.closing, self.leaves = True, False
        told_at = self.clock.monotonic() + CLOSING_PATIENCE

        def is_hurried() -> bool:
            nonlocal told_at
            if self.clock.monotonic() >= told_at:
                told_at = float("inf")
                self.handle_host(Warned(HERE, "waiting until hosts have removed what is left of the run there"))
            return self._is_hurried()

        try:
            for line in self.network.close(finished=clean, hurried=is_hurried):
                self.handle_host(Warned(line.partition(":")[0], line.partition(": ")[2]))
            if finished:
                # If that cannot be written, the next manager finds nothing left to do, and writes it.
                with contextlib.suppress(LeavesWaiting):
                    self._patiently(self._note_end)
                    # Even if this fails, the run is over.
                    with contextlib.suppress(SshjobsError):
                        self.teller.finish(self.store.commit, self._is_hurried)
            else:
                # A manager that cannot write that it left counts as one that died, and a resume still works.
                with contextlib.suppress(LocalError):
                    self.store.set_run_state("interrupted")
                    self.store.commit(until=self.clock.time())
        finally:
            with contextlib.suppress(LocalError):
                self.store.close(self.clock.time())

    def _is_hurried(self) -> bool:
        self.inbox.carry_out(signals_only=True)
        hurried, self.leaves = self.leaves, False
        return hurried

    def _note_end(self) -> None:
        self.summary = self.books.conclude(self.clock.time(), self.teller.over)
        if self.summary.ending == "done":
            self.exit_code = EXIT_OK
