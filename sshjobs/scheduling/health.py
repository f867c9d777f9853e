"""Black-hole hosts: those on which jobs fail at once and in a row while the same jobs pass elsewhere.

Such a host empties the queue: it is always free, and everything that it takes fails. A row of failures that would
hardly come by chance makes a host suspect: it gets nothing more, and one of the jobs that failed there is tried
elsewhere. If that job passes, the host is quarantined and the failures of the row are its own, not the jobs'; if it
fails there too, the host is cleared. A host in quarantine gets one job at a time (a canary) until one passes. A host
that says itself that it has no room for a job is full until a canary starts there. Pure bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause, explain
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, Outcome
from sshjobs.scheduling.retries import was_given_back

#: An end after more seconds than this shows that the host can run jobs, whatever became of this one.
FAST = 2.0
#: Fewest jobs in a row that can mean anything.
LEAST = 3
#: A row is suspect when jobs as they go elsewhere would fail so by chance less often than this.
CHANCE = 1e-6
#: Seconds until the first canary, doubled with each that fails, up to the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0
#: The same pauses for a host that has no room.
FIRST_FULL, LONGEST_FULL = 1.0, 15.0
#: A suspect host gets a canary after so many seconds if the job that is tried elsewhere has not ended by then.
PATIENCE = 60.0

_FAILURES = frozenset((Outcome.FAILED, Outcome.SIGNALLED, Outcome.NEVER_STARTED))


class _Record:
    def __init__(self) -> None:
        self.passed = self.failed = 0
        #: The jobs that failed there since the last one that passed, each with the failed attempt.
        self.row: dict[Job, Attempt] = {}
        self.least = LEAST
        self.probe: Job | None = None
        self.reason: str | None = None
        self.pause = FIRST_PAUSE
        self.canary_at = 0.0
        self.canary: Job | None = None
        #: What the host has no room for, in words; ``None`` while it has.
        self.full: str | None = None
        self.full_pause = FIRST_FULL


class HostHealth:
    """Judges hosts by how jobs end on them.

    :param elsewhere: returns whether a job can be tried on another host than the given one now
    """

    def __init__(self, hosts: Iterable[str], elsewhere: Callable[[Job, str], bool]):
        self._records = {host: _Record() for host in hosts}
        #: All hosts that are suspect, and perhaps some that are not any more. Looked through at every turn, so it must
        #: be short.
        self._doubted: dict[str, None] = {}
        #: No canary is due before this time.
        self._look_at = 0.0
        self._elsewhere = elsewhere
        #: By job that is tried elsewhere: the suspect host about which its end will tell.
        self._probes: dict[Job, str] = {}
        #: Ends on hosts that are not in quarantine.
        self._passed = self._failed = 0

    def add(self, host: str) -> None:
        """Add a host."""
        self._records[host] = _Record()

    def remove(self, host: str) -> None:
        """Forget a host that has left."""
        del self._records[host]
        self._doubted.pop(host, None)

    @property
    def calm(self) -> bool:
        """Whether no host is suspect."""
        return not self._doubted

    def _doubt(self, host: str) -> None:
        self._doubted[host] = None
        self._look_at = 0.0

    def concerned(self, job: Job, attempt: Attempt) -> list[str]:
        """Return the hosts about which an end tells something: its own, and a suspect one where the job failed
        before."""
        other = self._probes.get(job)
        return [attempt.host] if other in (None, attempt.host) or other not in self._records else [attempt.host, other]

    def is_suspect(self, host: str) -> bool:
        """Return whether a host gets no more jobs for now, for any reason."""
        record = self._records[host]
        return record.probe is not None or record.reason is not None or record.full is not None

    def reason(self, host: str) -> str | None:
        """Return why a host is in quarantine, ``None`` where it is not."""
        return self._records[host].reason

    def full(self, host: str) -> str | None:
        """Return what a host has no room for, ``None`` where it has some or nobody knows."""
        return self._records[host].full

    def note(self, job: Job, attempt: Attempt, now: float) -> dict[Job, Attempt]:
        """Note an end. Return the attempts that are now blamed on their host, by their jobs."""
        record = self._records[attempt.host]
        # A GPU that fails is set aside by itself.
        if was_given_back(attempt) or attempt.cause in (Cause.NOT_SENT, Cause.GPU_FAILED):
            self._note_given_back(record, job, attempt, now)
            self._doubt(attempt.host)
            return {}
        self.note_start(job, attempt)
        blamed = self._note_probe(job, attempt, now)
        if attempt.outcome not in _FAILURES or not _is_fast(attempt):
            if attempt.outcome is Outcome.SUCCEEDED:
                self.note_success(attempt.host)
            elif attempt.outcome in _FAILURES:
                self._recover(record)
            return blamed
        record.failed += 1
        self._failed += 1
        if not _failed_elsewhere(job, attempt):
            record.row[job] = attempt
        if record.reason is not None:
            record.canary, record.canary_at = None, now + record.pause
            record.pause = min(2 * record.pause, LONGEST_PAUSE)
            return blamed | self._blame(record)
        if job in record.row and record.probe is None and self._is_odd(record) and self._elsewhere(job, attempt.host):
            record.probe, record.canary_at = job, now + PATIENCE
            self._doubt(attempt.host)
            self._probes[job] = attempt.host
            return {**blamed, job: attempt}
        return blamed

    def note_success(self, host: str) -> None:
        """Note a success. Where no host is suspect, that is all that it tells."""
        record = self._records[host]
        record.passed += 1
        self._passed += 1
        self._recover(record)

    def note_start(self, job: Job, attempt: Attempt) -> None:
        """Note that an attempt has started: a host that could start its canary has room again."""
        record = self._records[attempt.host]
        if record.canary is job and record.full is not None:
            record.full, record.full_pause = None, FIRST_FULL
            if record.reason is None:
                record.canary = None

    def _note_given_back(self, record: _Record, job: Job, attempt: Attempt, now: float) -> None:
        is_canary = record.canary is job
        if is_canary:
            record.canary = None
        if attempt.cause is Cause.NO_ROOM and (record.full is None or is_canary):
            record.full = attempt.reason or "it has no room"
            record.canary_at = now + record.full_pause
            record.full_pause = min(2 * record.full_pause, LONGEST_FULL)

    def canary_due(self, now: float) -> list[str]:
        """Return the hosts that may get one job to prove themselves."""
        if not self._doubted or now < self._look_at:
            return []
        self._doubted = {host: None for host in self._doubted if self.is_suspect(host)}
        records = {host: self._records[host] for host in self._doubted}
        self._look_at = min((record.canary_at for record in records.values()), default=0.0)
        return [host for host, record in records.items() if now >= record.canary_at and not _is_on(record.canary, host)]

    def send_canary(self, host: str, job: Job) -> None:
        """Note which job a host got as its canary."""
        self._records[host].canary = job

    def forgive(self, host: str) -> None:
        """Forget a host's failures; from now on it takes twice as many to make it suspect."""
        record = self._records[host]
        record.least = 2 * max(len(record.row), record.least)
        self._recover(record)

    def trust(self, host: str) -> None:
        """Forget a host's failures: a person has mended it."""
        record = self._records[host]
        record.least, record.full, record.full_pause = LEAST, None, FIRST_FULL
        self._recover(record)

    def _note_probe(self, job: Job, attempt: Attempt, now: float) -> dict[Job, Attempt]:
        """Note how a job that had failed on a suspect host ended elsewhere."""
        host = self._probes.get(job)
        if host is None or host == attempt.host:
            return {}
        del self._probes[job]
        record = self._records.get(host)
        if record is None or record.probe is not job:
            return {}
        record.probe = None
        if attempt.outcome is not Outcome.SUCCEEDED:
            # The jobs fail elsewhere, too: the host is cleared, and next time it takes twice as many failures.
            record.least = 2 * max(len(record.row), record.least)
            record.row.clear()
            return {}
        self._doubt(host)
        last = list(record.row.values())[-1]
        record.reason = (f"{len(record.row)} jobs in a row failed there at once, and pass elsewhere; "
                         f"the last: {_words(last)}")
        record.canary_at = now + record.pause
        return self._blame(record)

    def _blame(self, record: _Record) -> dict[Job, Attempt]:
        # Ends on a bad host do not count for how often jobs usually fail.
        record.failed -= len(record.row)
        self._failed -= len(record.row)
        blamed, record.row = record.row, {}
        return {job: end for job, end in blamed.items() if job.attempts[-1] is end}

    def _recover(self, record: _Record) -> None:
        record.row.clear()
        record.reason, record.canary, record.probe, record.pause = None, None, None, FIRST_PAUSE

    def _is_odd(self, record: _Record) -> bool:
        passed, failed = self._passed - record.passed, self._failed - record.failed
        if len(record.row) < record.least or passed < LEAST:
            return False
        usual = (failed + 1) / (passed + failed + 2)
        return bool(usual ** len(record.row) < CHANCE)


def _failed_elsewhere(job: Job, attempt: Attempt) -> bool:
    """Return whether a job has failed on another host, too."""
    return any(one.host != attempt.host and one.outcome in _FAILURES for one in job.attempts)


def _is_on(canary: Job | None, host: str) -> bool:
    """Return whether a canary is still on a host: one that was declared lost with its host never ends there."""
    return canary is not None and canary.attempts[-1].host == host and canary.attempts[-1].state not in FINAL_STATES


def _is_fast(attempt: Attempt) -> bool:
    return attempt.started is None or attempt.ended is None or attempt.ended - attempt.started < FAST


def _words(attempt: Attempt) -> str:
    if attempt.exit_status is not None:
        return f"exit {attempt.exit_status}"
    return explain(attempt.cause, attempt.reason) or str(attempt.outcome)
