"""The books of a run: the state of each job, in memory and in the store, and which attempts hosts still keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sshjobs.model.attempt import Attempt
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_FREE, STATE_UNKNOWN
from sshjobs.scheduling.queue import Queue
from sshjobs.store import RunReader, RunStore, Summary
from sshjobs.store.rundir import RunPaths

#: Seconds between two releases while jobs wait for hosts: each costs a sync of the disk, for any number of attempts.
RELEASE_EVERY = 0.25


class Books:
    """Keeps jobs and store in step. Knows no host and no network, and belongs to one thread.

    :param jobs: where the jobs are kept by state; empty
    :param store: of the run, taken over by this process
    :ivar unreleased: launched attempts that their hosts still keep, with their jobs
    """

    def __init__(self, paths: RunPaths, store: RunStore, jobs: Queue[Job]):
        self.paths, self.store, self.jobs = paths, store, jobs
        self.unreleased: dict[Attempt, Job] = {}
        #: The unreleased attempts that hosts may forget after the next commit.
        self._to_release: list[Attempt] = []
        self._released_at = 0.0

    # -- jobs ----------------------------------------------------------------------------------------------------

    def enlist(self, job: Job) -> None:
        """Add a job that is in the store, with its stored state."""
        job.paths = self.paths
        self.jobs.Add(job)
        if job.state != STATE_FREE:
            self.jobs.SetState(job, job.state)

    def move(self, job: Job, state: str) -> None:
        """Note a new state of a job, or (with the same state) another change of it."""
        job.state = state
        self.jobs.SetState(job, state)
        self.store.touch(job)

    def all_final(self) -> bool:
        """Return whether every job has ended."""
        return not self.jobs.AnyInState(STATE_FREE) and not self.any_launched()

    def any_launched(self) -> bool:
        """Return whether any job is on a host, as far as is known."""
        return self.jobs.AnyInState(STATE_BUSY) or self.jobs.AnyInState(STATE_UNKNOWN)

    # -- attempts ------------------------------------------------------------------------------------------------

    def launched(self, job: Job, attempt: Attempt) -> None:
        """Note the intent to launch an attempt. The launch may leave once this is in the store."""
        self.unreleased[attempt] = job
        self.move(job, STATE_BUSY)
        self.store.touch_attempt(job, attempt)

    def ended(self, attempts: Iterable[Attempt]) -> None:
        """Note that hosts may forget attempts once their ends are in the store."""
        self._to_release += attempts

    def released(self, attempts: Iterable[Attempt]) -> None:
        """Note that hosts have forgotten attempts."""
        for attempt in attempts:
            job = self.unreleased.pop(attempt, None)
            if job is not None:
                self.store.touch_released(job, attempt)
                # No process carries the token any more, and a million of them take 80 MB.
                attempt.token = ""

    def given_up(self, job: Job, attempt: Attempt) -> None:
        """Note that an attempt counts as over, whatever its host keeps of it."""
        attempt.released = True
        self.unreleased.pop(attempt, None)
        self.store.touch_attempt(job, attempt)

    def owed(self) -> list[Attempt]:
        """Return the ended attempts that their hosts still keep."""
        return [attempt for attempt in self.unreleased if attempt.state in FINAL_STATES]

    def due(self, now: float, *, hurry: bool) -> list[Attempt]:
        """Return the attempts to be released now, each once. Call this after a commit.

        :param now: seconds of any clock that never goes back
        :param hurry: release at once: the manager has nothing else to do, so saving syncs of the disk is of no use
        """
        if not self._to_release or not (hurry or now - self._released_at >= RELEASE_EVERY):
            return []
        due, self._to_release, self._released_at = self._to_release, [], now
        return due

    # -- the store -----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Write all noted changes.

        :raises StoreError: they cannot be written, or the run's directory is gone, so that no manager would find them
        """
        self.store.check_place()
        if self.store.dirty:
            self.store.commit()

    def conclude(self, now: float, over: Callable[[Summary], None] = lambda summary: None) -> Summary:
        """Write that the run is over, with a state that follows from all jobs in the store; return the summary.

        :param over: called before the commit; what it notes is written by the same commit
        :raises StoreError: it cannot be written
        """
        self.commit()
        with RunReader.open(self.paths) as reader:
            summary = reader.summary()
        self.store.set_run_state(summary.ending)
        over(summary)
        self.store.commit(until=now)
        return summary
