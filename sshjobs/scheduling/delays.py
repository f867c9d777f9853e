"""Delayed jobs: how long a job waits before it is tried again, and which of them are due. Pure: no clock."""

from __future__ import annotations

import heapq
from zlib import crc32

from sshjobs.model.spec import Job
from sshjobs.scheduling.retries import own_ends

#: Seconds. A delay doubles with each own end of the job, up to this; a longer ``retry_delay`` stays as it is.
LONGEST_DELAY = 3600.0
#: A delay is made longer by up to this part of it, so that jobs which failed together are not tried again together.
JITTER = 0.25


def delay_before(job: Job) -> float | None:
    """Return the seconds to wait before the next attempt of a job whose newest one has just ended; ``None``: none.

    A job waits only after an end that is its own fault, not its host's. Every manager comes to the same delay, which
    differs from job to job.
    """
    first, ends = job.spec.retry_delay, own_ends(job.attempts).total()
    if first is None or not own_ends(job.attempts[-1:]):
        return None
    seconds = first
    for _ in range(ends - 1):
        if seconds >= LONGEST_DELAY:
            break
        seconds = min(2 * seconds, LONGEST_DELAY)
    drawn = crc32(f"{job.name} {job.attempts[-1].n}".encode("utf-8", "surrogatepass")) / 2**32
    return seconds * (1 + JITTER * drawn)


class Delays:
    """Jobs, each with the time from which on it may run. Times are seconds of any clock that never goes back."""

    def __init__(self) -> None:
        self._due: dict[Job, float] = {}
        #: A heap of the same, with entries of jobs that do not wait any more.
        self._heap: list[tuple[float, int, Job]] = []

    def __len__(self) -> int:
        return len(self._due)

    def add(self, job: Job, at: float) -> None:
        """Let a job wait until a time. An earlier time for the same job is forgotten."""
        self._due[job] = at
        heapq.heappush(self._heap, (at, job.index, job))

    def discard(self, job: Job) -> bool:
        """Let a job wait no more; return whether it waited."""
        return self._due.pop(job, None) is not None

    def take(self, now: float) -> list[Job]:
        """Take out and return the jobs whose time has come, in that order."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, _, job = heapq.heappop(self._heap)
            if self._due.get(job) == at:
                del self._due[job]
                due.append(job)
        return due

    def soonest(self) -> float | None:
        """Return when the next one is due; ``None`` where none waits."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
