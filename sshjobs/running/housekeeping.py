"""Housekeeping: what a manager does for its hosts and its store, whatever becomes of the jobs.

The order is what keeps the promises: first the commit, then launches leave and hosts forget.
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

#: Seconds between attempts to commit while the disk of the store refuses.
COMMIT_RETRY = 1.0
#: The same while another process holds the store; and after how many it is told, and requests are answered.
LOCK_RETRY, LOCK_PATIENCE = 0.02, 1.0
#: Seconds after which it is said that hosts are waited for at the end.
CLOSING_PATIENCE = 5.0
#: Seconds within which a person is heard while the manager waits for its own machine.
HEARD_WITHIN = 0.25


#: What a manager has from its Setup or Resume on.
_LATER = ("network", "clock", "store", "paths", "books", "hosts", "schedule", "placement", "setups", "teller")


class NoRunYetError(UsageError, AttributeError):
    """The attribute is there from Setup or Resume on; until then ``hasattr`` tells that it is not."""


class LeavesWaiting(Exception):
    """A person has the manager leave while it waits for its own machine: what is not on the disk yet stays so."""


class Housekeeping(Hooks):
    """Keeps a run's store and the books about its hosts in step with what hosts report."""

    def __init__(self) -> None:
        self.network: NetworkContract
        self.clock: Clock
        self.store: RunStore
        self.paths: RunPaths
        #: All jobs that this manager carries, by state.
        self.jobs: Queue[Job] = Queue(STATES)
        #: The parts that a manager is made of: the books of the run in the store, its hosts, and who runs where.
        self.books: Books
        self.hosts: RunHosts
        self.schedule: Schedule
        self.placement: Placement
        self.setups: Setups
        #: Who tells people of the run.
        self.teller: Teller
        self.inbox = Inbox()
        #: What this machine cannot do at present: the manager waits for that, and takes only requests that are urgent.
        #: ``None``: nothing.
        self.trouble: LocalError | None = None
        #: A person has the manager leave.
        self.leaves = False
        #: The sessions with the hosts are being ended: nothing can be asked of them any more.
        self.closing = False
        #: Where the run stood at its end, ``None`` before.
        self.summary: Summary | None = None
        #: 0 once every job of the run is done, else 1.
        self.exit_code = EXIT_JOBS_FAILED

    if not TYPE_CHECKING:  # Else no misspelt attribute would be found.
        def __getattr__(self, name: str) -> Any:
            # Only of what is not there: these are from Setup and Resume on.
            if name in _LATER:
                raise NoRunYetError("the manager has no run yet", hint="call Setup or Resume first")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _begin(self, network: NetworkContract, paths: RunPaths, store: RunStore, schedule: Schedule) -> int:
        """Open the books and take the run over; returns our epoch."""
        self.network, self.clock, self.paths, self.store, self.schedule = network, network.clock, paths, store, schedule
        self.books = Books(paths, store, self.jobs)
        self.hosts = RunHosts(network, schedule, store, self._hear_of_host)
        self.placement = self.hosts.placement
        self._disk = DiskWatch(paths.root, lambda text: self.handle_host(Warned(HERE, text)))
        try:
            # A new store is made with its manager in it.
            epoch = store.epoch or store.take_over(ManagerIdentity.this_process())
            store.wait_for_locks(HEARD_WITHIN)
            return epoch
        except BaseException:
            store.close()
            raise

    def _tell_people(self, telling: Any, waiting: Sequence[Notice] = ()) -> None:
        """Have people told what they want to hear of the run.

        :param telling: who is told what, as the run's options have it
        :param waiting: what an earlier manager was to tell
        """
        self.teller = Teller(self.paths, self.store, self.clock, telling=Telling.from_dict(telling), waiting=waiting,
                             complain=lambda text: self.handle_host(Warned(HERE, text)), wake=self.network.wake)

    def _hear_of_host(self, event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        self.teller.hear(event)
        self.handle_host(event)

    def _set_up_hosts(self, script: Sequence[str], rows: Iterable[SetupRow] = ()) -> list[Job]:
        """Have hosts prepared before their first job; return the setups that an earlier manager has begun.

        :param rows: what earlier managers did
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
        """Give a job a reason, which people see."""
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
        """Have something done in the manager's thread, between two events or while it waits for its own machine. May be
        called from any thread.

        :param signal: see :class:`sshjobs.running.inbox.Inbox`
        """
        if not callable(request):
            raise wrong("a request", request, "a function without arguments")
        self.inbox.post(request, signal=signal)
        self.network.wake()

    def fail(self, error: BaseException) -> None:
        """Have :meth:`ProcessJobs` end with what a thread died of that the run cannot do without. From any thread."""
        def die() -> None:
            raise error

        self.post(die, signal=True)

    def leave(self) -> None:
        """Have :meth:`ProcessJobs` return at once. What was launched goes on, and the next manager collects it. In the
        manager's thread."""
        self.leaves = True

    # -- inside --------------------------------------------------------------------------------------------------

    def _patiently(self, act: Callable[[], None]) -> None:
        """Do what needs this machine's disk, waiting for that as long as it may help; a person is heard meanwhile.

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
                # Usual on disks where a reader holds the writer up: it is not told, and requests can wait for it.
                self._listen(LOCK_RETRY, signals_only=True)
                continue
            self.trouble = trouble
            if told != (told := trouble.waiting()):
                self.handle_host(Warned(HERE, told))
            self._listen(LOCK_RETRY if locked else COMMIT_RETRY)

    def _listen(self, seconds: float, *, signals_only: bool = False) -> None:
        """Let time pass and carry out what a person wants meanwhile."""
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
        """Begin to contact the hosts of a new run. Where that cannot be, nothing of the run is left."""
        try:
            self.network.open(run, self.paths, hurry=hurry)
        except BaseException:
            self.network.close(finished=False)
            self.store.close(self.clock.time())
            discard_run(self.paths, store_too=True)
            raise

    def abandon(self) -> None:
        """End the sessions with all hosts and close the store: instead of :meth:`ProcessJobs`, where that cannot
        be called. What a run has launched goes on, and the run can be resumed."""
        self._close(finished=False, clean=not self.books.unreleased)

    def _close(self, *, finished: bool, clean: bool = False) -> None:
        """End the sessions and close the store.

        :param finished: the run is over
        :param clean: hosts are to remove all that is left of it, also where more will be launched by another manager
        """
        # The first request to leave is met by now; a second one means that nobody wants to wait for hosts.
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
                # Where that cannot be noted, the next manager finds nothing left to do, and notes it.
                with contextlib.suppress(LeavesWaiting):
                    self._patiently(self._note_end)
                    # Whatever becomes of that, the run is over.
                    with contextlib.suppress(SshjobsError):
                        self.teller.finish(self.store.commit, self._is_hurried)
            else:
                # A manager that cannot note that it left is taken for one that died, and a resume still works.
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
