"""Housekeeping: what a manager does for its hosts and its store, whatever becomes of the jobs.

The order is what keeps the promises: first the commit, then launches leave and hosts forget.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, LocalError
from sshjobs.model.spec import Attempt, Job
from sshjobs.model.states import STATE_BUSY, STATE_FREE, STATE_UNKNOWN, STATES
from sshjobs.network.clock import Clock
from sshjobs.network.contract import HERE, HostDown, HostUp, NetworkContract, News, RunIdentity, Warned
from sshjobs.running.hooks import Hooks
from sshjobs.running.inbox import Inbox
from sshjobs.scheduling.hostwatch import HostWatch
from sshjobs.scheduling.placement import Placement
from sshjobs.scheduling.quarantine import Quarantine
from sshjobs.scheduling.queue import Queue
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import ManagerIdentity, RunReader, RunStore, Summary
from sshjobs.store.rundir import RunPaths, discard_run

#: Seconds between attempts to commit while the disk of the store refuses.
COMMIT_RETRY = 1.0
#: Seconds within which a person is heard while the manager waits for its own machine.
HEARD_WITHIN = 0.25
#: Seconds between two releases while jobs wait for hosts: each costs a sync of the disk, however many it is for.
RELEASE_EVERY = 0.25
#: Seconds between two looks for leases that are over, while a job with one is on a host that is away.
LEASE_LOOK = 1.0


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
        self.watch: HostWatch
        self.schedule: Schedule
        self.placement: Placement
        self.quarantine: Quarantine
        #: Attempts that ended and that their hosts still keep.
        self._unreleased: dict[Attempt, Job] = {}
        #: Those of them that hosts may forget after the next commit.
        self._to_release: list[Attempt] = []
        self._released_at = 0.0
        #: When to look at leases next; ``None`` while nothing with one is on a host that is away.
        self._lease_look: float | None = None
        #: Hosts that leave the run as soon as nothing of it runs there.
        self.leaving: set[str] = set()
        self.inbox = Inbox()
        #: What this machine cannot do at present: the manager waits for that, and takes no requests. ``None``: nothing.
        self.trouble: LocalError | None = None
        #: A person has the manager leave.
        self.leaves = False
        #: Where the run stood at its end, ``None`` before.
        self.summary: Summary | None = None
        #: 0 once every job of the run is done, else 1.
        self.exit_code = EXIT_JOBS_FAILED

    def _begin(self, network: NetworkContract, paths: RunPaths, store: RunStore, schedule: Schedule) -> int:
        """Open the books and take the run over; returns our epoch."""
        self.network, self.clock, self.paths, self.store, self.schedule = network, network.clock, paths, store, schedule
        self.watch, self.placement = HostWatch(network.hosts), Placement(schedule)
        self.quarantine = Quarantine(schedule, network.hosts, self._tell_health)
        try:
            # A new store is made with its manager in it.
            epoch = store.epoch or store.take_over(ManagerIdentity.this_process())
            store.wait_for_locks(HEARD_WITHIN)
            return epoch
        except BaseException:
            store.close()
            raise

    def unfinished(self) -> list[Job]:
        """Return the jobs that have not ended."""
        return [job for state in (STATE_FREE, STATE_BUSY, STATE_UNKNOWN) for job in self.jobs.InState(state)]

    def note(self, job: Job, reason: str | None) -> None:
        """Have a job say something of itself."""
        job.reason = reason
        self.store.touch(job)

    def _move(self, job: Job, state: str) -> None:
        job.state = state
        self.jobs.SetState(job, state)
        self.store.touch(job)

    def commit(self) -> None:
        """Make everything that happened durable, then let launches leave and hosts forget."""
        self._patiently(self._commit)
        self._patiently(self.network.flush)
        if self._to_release:
            now = self.clock.monotonic()
            if not self.schedule.waiting or now - self._released_at >= RELEASE_EVERY:
                self.network.release(self._to_release)
                self._to_release, self._released_at = [], now

    def _commit(self) -> None:
        # What is written into a file that was moved or removed is not found by the next manager.
        self.store.check_place()
        if self.store.dirty:
            self.store.commit()

    # -- for other threads and signals ---------------------------------------------------------------------------

    def post(self, request: Callable[[], None], *, signal: bool = False) -> None:
        """Have something done in the manager's thread, between two events or while it waits for its own machine. May be
        called from any thread.

        :param signal: see :class:`sshjobs.running.inbox.Inbox`
        """
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
        told = ""
        while True:
            try:
                act()
            except LocalError as error:
                if not error.passing:
                    raise
                self.trouble = error
            else:
                self.trouble = None
                return
            if told != (told := self.trouble.waiting()):
                self.handle_host(Warned(HERE, told))
            self._listen(COMMIT_RETRY)

    def _listen(self, seconds: float) -> None:
        """Let time pass and carry out what a person wants meanwhile."""
        until = self.clock.monotonic() + seconds
        while (left := until - self.clock.monotonic()) > 0:
            self.inbox.carry_out()
            if self.leaves:
                raise LeavesWaiting
            self.clock.sleep(min(left, HEARD_WITHIN))

    def _take_hosts(self, news: News) -> None:
        for name, seconds in news.round_trips.items():
            self.schedule.note_round_trip(name, seconds)
        # A host that was let go of may say a last word.
        for event in (event for event in news.hosts if isinstance(event, Warned) or event.host in self.network.hosts):
            match event:
                case HostUp(name, facts):
                    twin = self.watch.up(name, facts)
                    slots = self.network.hosts[name].slots or getattr(self.network, "slots", None) or facts["cores"]
                    self.schedule.host_up(name, slots)
                    self.store.set_host(name, "up", facts=facts, since=self.clock.time())
                    if twin is not None:
                        self.handle_host(Warned(name, twin))
                case HostDown(name, error):
                    self.schedule.host_down(name, lasting=self.watch.down(name, error, self.clock.monotonic()))
                    state = "blocked" if error.lasting else "away"
                    self._lease_look = self.clock.monotonic()
                    self.store.set_host(name, state, str(error), since=self.clock.time())
            self.handle_host(event)

    def _take_released(self, news: News) -> None:
        self._to_release += news.fetched
        for attempt in news.released:
            job = self._unreleased.pop(attempt, None)
            if job is not None:
                self.store.touch_released(job, attempt)
                # No process there has it any more, and a million take 80 MB.
                attempt.token = ""

    def _leases_over(self) -> list[Job]:
        """Return the jobs on hosts that are away whose lease is over there for certain; looks now and then."""
        now, found = self.clock.monotonic(), list[Job]()
        if self._lease_look is None or now < self._lease_look:
            return found
        self._lease_look = None
        for host in self.watch.away():
            for job in self.placement.on(host):
                if job.spec.lease is None:
                    continue
                self._lease_look = now + LEASE_LOOK
                if self.watch.lease_is_over(host, job.spec.lease, now):
                    found.append(job)
        return found

    def _part_from_hosts(self) -> None:
        for host in [host for host in self.leaving if not self.schedule.load(host)]:
            if any(attempt.host == host for attempt in self._unreleased) and self.watch.usable(host):
                continue
            self.leaving.discard(host)
            self.schedule.remove_host(host)
            self.quarantine.remove(host)
            self.network.remove_host(host)
            self.handle_act({"event": "hosts", "change": "removed", "hosts": [host], "slots": None})

    def _tell_health(self, host: str, usable: bool, words: str) -> None:
        self.store.set_host(host, "up" if usable else "quarantined", None if usable else words, since=self.clock.time())
        self.handle_host(Warned(host, words))

    def _open_new(self, run: RunIdentity) -> None:
        """Begin to contact the hosts of a new run. Where that cannot be, nothing of the run is left."""
        try:
            self.network.open(run, self.paths)
        except BaseException:
            self.network.close(finished=False)
            self.store.close(self.clock.time())
            discard_run(self.paths, store_too=True)
            raise

    def abandon(self) -> None:
        """End the conversations with the hosts, and close the store: instead of :meth:`ProcessJobs`, where that cannot
        be called. What a run has launched goes on, and the run can be resumed."""
        self._close(finished=False, clean=not self._unreleased)

    def _close(self, *, finished: bool, clean: bool = False) -> None:
        """End the conversations and close the books.

        :param finished: the run is over
        :param clean: hosts are to remove all that is left of it, also where more will be launched by another manager
        """
        try:
            for line in self.network.close(finished=clean):
                self.handle_host(Warned(line.partition(":")[0], line.partition(": ")[2]))
            if finished:
                self._patiently(self._note_end)
            else:
                # A manager that cannot note that it left is taken for one that died, and a resume works all the same.
                with contextlib.suppress(LocalError):
                    self.store.set_run_state("interrupted")
                    self.store.commit(until=self.clock.time())
        finally:
            with contextlib.suppress(LocalError):
                self.store.close(self.clock.time())

    def _note_end(self) -> None:
        self.store.check_place()
        self.store.set_run_state(self._count_up())
        self.store.commit(until=self.clock.time())

    def _count_up(self) -> str:
        """Return the state of the finished run, from what the store says of all its jobs."""
        self.store.commit()
        with RunReader.open(self.paths) as reader:
            self.summary = reader.summary()
        if self.summary.ending == "done":
            self.exit_code = EXIT_OK
        return self.summary.ending
