"""Black-hole hosts: those on which jobs fail at once and in a row while jobs pass elsewhere. Pure bookkeeping.

Such a host empties the queue: it is always free, and everything that it takes fails. It is quarantined with its
reason, the ends in the row are the host's and not the jobs', and it gets one job at a time (a canary) until one passes.
"""

from __future__ import annotations

from collections.abc import Iterable

from sshjobs.spec import Attempt, Job
from sshjobs.states import Outcome

#: An end after more seconds than this shows that the host can run jobs, whatever became of this one.
FAST = 2.0
#: Fewest failures in a row that can mean anything.
LEAST = 3
#: A row is the host's fault when jobs as they go elsewhere would fail so by chance less often than this.
CHANCE = 0.001
#: Seconds until the first canary, doubled with each that fails, up to the longest pause.
FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0

_FAILURES = frozenset((Outcome.FAILED, Outcome.SIGNALLED, Outcome.NEVER_STARTED))


class _Record:
    def __init__(self) -> None:
        self.passed = self.failed = 0
        self.row: list[tuple[Job, Attempt]] = []
        self.reason: str | None = None
        self.pause = FIRST_PAUSE
        self.canary_at = 0.0
        self.canary: Job | None = None


class HostHealth:
    """Judges hosts by how jobs end on them."""

    def __init__(self, hosts: Iterable[str]):
        self._records = {host: _Record() for host in hosts}
        #: Ends on hosts that are not in quarantine.
        self._passed = self._failed = 0

    def add(self, host: str) -> None:
        """Take in a further host."""
        self._records[host] = _Record()

    def reason(self, host: str) -> str | None:
        """Return why a host is in quarantine, ``None`` where it is not."""
        return self._records[host].reason

    def note(self, job: Job, attempt: Attempt, now: float) -> list[Job]:
        """Take in an end. Returns the jobs whose ends are from now on blamed on the host, the newest last: none as
        long as the host is not in quarantine."""
        record = self._records[attempt.host]
        if attempt.outcome not in _FAILURES or not _is_fast(attempt):
            if attempt.outcome is Outcome.SUCCEEDED:
                record.passed += 1
                self._passed += 1
            if attempt.outcome in (Outcome.SUCCEEDED, *_FAILURES):
                self._recover(record)
            return []
        record.failed += 1
        self._failed += 1
        record.row.append((job, attempt))
        if record.reason is not None:
            record.canary, record.canary_at = None, now + record.pause
            record.pause = min(2 * record.pause, LONGEST_PAUSE)
        elif self._is_black_hole(record):
            record.reason = (f"{len(record.row)} jobs in a row failed there at once while jobs pass elsewhere; "
                             f"the last: {_words(attempt)}")
            record.canary_at = now + record.pause
        else:
            return []
        blamed, record.row = record.row, []
        # What a quarantined host did says nothing about how jobs usually go.
        record.failed -= len(blamed)
        self._failed -= len(blamed)
        return [one for one, end in blamed if one.attempts[-1] is end]

    def canary_due(self, now: float) -> list[str]:
        """Return the hosts in quarantine that may get one job to prove themselves."""
        return [host for host, record in self._records.items()
                if record.reason is not None and record.canary is None and now >= record.canary_at]

    def send_canary(self, host: str, job: Job) -> None:
        """Note which job a host in quarantine got."""
        self._records[host].canary = job

    def _recover(self, record: _Record) -> None:
        record.row.clear()
        record.reason, record.canary, record.pause = None, None, FIRST_PAUSE

    def _is_black_hole(self, record: _Record) -> bool:
        passed, failed = self._passed - record.passed, self._failed - record.failed
        if len(record.row) < LEAST or passed < LEAST:
            return False
        usual = (failed + 1) / (passed + failed + 2)
        return bool(usual ** len(record.row) < CHANCE)


def _is_fast(attempt: Attempt) -> bool:
    return attempt.started is None or attempt.ended is None or attempt.ended - attempt.started < FAST


def _words(attempt: Attempt) -> str:
    if attempt.reason:
        return attempt.reason
    return f"exit {attempt.exit_status}" if attempt.exit_status is not None else str(attempt.outcome)
