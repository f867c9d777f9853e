"""Which job each attempt on a network belongs to, and what the hosts' news change in it.

The same on every network: this is where events become states, outcomes and times.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from sshjobs.errors import LocalError
from sshjobs.model.attempt import Attempt, is_plain
from sshjobs.model.causes import Cause
from sshjobs.model.outputs import keeps_directory
from sshjobs.model.spec import Job
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_UNKNOWN, Outcome, state_for
from sshjobs.network import failpoints
from sshjobs.network.contract import (
    GpusTold,
    HostDown,
    HostUp,
    Manner,
    News,
    Pulse,
    Released,
    RoundTrip,
    Shared,
    Silent,
    Warned,
)
from sshjobs.network.session.attempts import Collected, Doubted, Ended, LiveAttempt, Started
from sshjobs.network.trouble import cannot_write
from sshjobs.scheduling.retries import launched_with
from sshjobs.store.rundir import RunPaths

#: What few ends tell, of one that tells nothing of it.
_NOTHING_RARE = (None,) * 7


class Files(Protocol):
    """Where output lands: the part that the manager's side needs."""

    def size(self, path: Path) -> int:
        """Return how long a file is; 0 where there is none."""

    def put_aside(self, directory: Path, aside: Path) -> None:
        """Move the output of an earlier attempt out of the way of the next. After an :class:`OSError`, or the death of
        this process, the same may be done again; ``stdout`` is there last, whether there was any output or not."""

    def is_aside(self, aside: Path) -> bool:
        """Tell whether that was done."""


class Records:
    """Belongs to the manager's thread."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._jobs: dict[str, Job] = {}
        #: The same by host, so that a host that comes or goes costs no search through the others.
        self._on_host: dict[str, dict[str, Job]] = {}
        self._away: set[str] = set()
        #: Attempts that had ended before this manager came, and whose output is still to be fetched.
        self._fetching: dict[str, LiveAttempt] = {}
        #: Jobs whose next attempt is about to leave: where their output is, and where it goes before that.
        self._in_the_way: list[tuple[Path, Path, LiveAttempt | None]] = []

    def launched(self, job: Job, host: str, attempt: Attempt, paths: RunPaths) -> LiveAttempt:
        """Record a launch and return the attempt as the network is to know it. Before it leaves, :meth:`make_way`."""
        if attempt.n > 1:
            self._in_the_way.append((paths.job(job.name), paths.attempt(job.name, attempt.n - 1),
                                     self._fetching.get(job.attempts[-2].uid)))
        self._enter(job, host, attempt.uid)
        live = LiveAttempt(attempt.uid, job, attempt.token, paths.job_text(job.name), launched_with(job, attempt))
        live.gpus = attempt.gpus
        return live

    def make_way(self) -> None:
        """Put the output of earlier attempts aside. Only when the next ones are on the disk: a manager that died
        between the two would leave a newest attempt without its output.

        :raises LocalError: the disk refused; this may be called again
        """
        while self._in_the_way:
            directory, aside, before = self._in_the_way[-1]
            try:
                self._files.put_aside(directory, aside)
            except OSError as error:
                raise cannot_write(error, str(aside)) from error
            if before is not None:
                before.place = str(aside)
            self._in_the_way.pop()

    def adopt(self, job: Job, paths: RunPaths) -> Iterator[tuple[str, LiveAttempt]]:
        """Record a job of an earlier manager; yield its attempts that are not released, with their hosts.

        :raises LocalError: the disk is full
        """
        newest = job.attempts[-1]
        self._put_rest_aside(job, paths)
        for attempt in job.attempts:
            if attempt.released or (attempt.state in FINAL_STATES and attempt.outcome is None):
                continue
            directory = paths.job(job.name) if attempt is newest else paths.attempt(job.name, attempt.n)
            live = LiveAttempt(attempt.uid, job, attempt.token, directory, launched_with(job, attempt))
            live.gpus = attempt.gpus
            live.seen, live.brought = attempt.started is not None, attempt.brought
            live.may_have_run = attempt.cause is Cause.MAY_HAVE_RUN
            live.have = self._sizes(directory)
            live.crc = [None if size else 0 for size in live.have]
            # An end that is on the disk while its output is not (the power went between the two) is fetched again.
            live.over = attempt.state in FINAL_STATES and attempt.brought is None and live.have == [
                attempt.out_size or 0, attempt.err_size or 0]
            live.keeps = live.seen and keeps_directory(job.spec.keep_directory, attempt.outcome)
            if attempt.state in FINAL_STATES and not live.over:
                self._fetching[attempt.uid] = live
            self._enter(job, attempt.host, attempt.uid)
            yield attempt.host, live

    def _put_rest_aside(self, job: Job, paths: RunPaths) -> None:
        """Put aside what the manager before had no time for: it died when the newest attempt was on the disk and before
        that left, or with its power, which undid what it had done last. The first that is missing is what is there."""
        missing = []
        for attempt in reversed(job.attempts[:-1]):
            aside = paths.attempt(job.name, attempt.n)
            if self._files.is_aside(aside):
                break
            missing.append(aside)
        for aside in reversed(missing):
            try:
                self._files.put_aside(paths.job(job.name), aside)
            except OSError as error:
                raise LocalError.of(error, "an earlier output cannot be put aside", where=str(aside),
                                    hint="make room there, then resume once more") from error

    def _sizes(self, directory: Path) -> list[int]:
        return [self._files.size(directory / name) for name in ("stdout", "stderr")]

    def forget_host(self, host: str) -> None:
        """Forget a host that was removed from the run."""
        self._away.discard(host)

    def apply(self, event: object, news: News, changed: dict[Job, None]) -> None:
        """Write an event into the job that it is about, and into the news."""
        if isinstance(event, (Started, Ended, Doubted)) and event.uid not in self._jobs:
            # Declared lost by a person while this was on its way.
            return
        if isinstance(event, (Started, Ended, Doubted)) and event.uid in self._fetching:
            # It has its end already; only its output was missing.
            if isinstance(event, Ended):
                news.fetched.append(_attempt_of(self._jobs[event.uid], event.uid))
            return
        match event:
            case Ended():
                self._end(event, changed)
            case Collected():
                if event.uid in self._jobs and event.uid not in self._fetching:
                    news.collected.append(self._jobs[event.uid])
            case Started():
                job = self._jobs[event.uid]
                attempt = _attempt_of(job, event.uid)
                attempt.state, attempt.started = STATE_BUSY, event.at or attempt.started
                attempt.pid = event.pid or attempt.pid
                attempt.inputs = event.inputs or attempt.inputs
                changed[job] = None
            case Doubted():
                job = self._jobs[event.uid]
                _attempt_of(job, event.uid).cause = Cause.MAY_HAVE_RUN
                changed[job] = None
            case Released():
                for uid in self._jobs.keys() & event.uids:
                    job = self._jobs.pop(uid)
                    self._fetching.pop(uid, None)
                    attempt = _attempt_of(job, uid)
                    self._on_host[attempt.host].pop(uid, None)
                    attempt.released = True
                    news.released.append(attempt)
            case HostUp() | HostDown():
                self._note_host(event, changed)
                # What was said over an earlier connection.
                news.manners.pop(event.host, None)
                news.hosts.append(event)
            case Warned() | Silent():
                news.hosts.append(event)
            case RoundTrip():
                news.round_trips[event.host] = event.seconds
            case GpusTold():
                news.gpus[event.host] = event.report
            case Manner():
                news.manners[event.host] = event
            case Pulse():
                news.pulses[event.host] = event.told
            case Shared():
                news.shared[event.host] = event

    def condemn(self, job: Job, attempt: Attempt, reason: str) -> None:
        """Note that a person takes an attempt for lost."""
        self._jobs.pop(attempt.uid, None)
        self._on_host.get(attempt.host, {}).pop(attempt.uid, None)
        attempt.state, attempt.outcome, attempt.reason = state_for(Outcome.LOST), Outcome.LOST, reason

    def _enter(self, job: Job, host: str, uid: str) -> None:
        self._jobs[uid] = job
        self._on_host.setdefault(host, {})[uid] = job

    def _end(self, event: Ended, changed: dict[Job, None]) -> None:
        job = self._jobs[event.uid]
        attempt = _attempt_of(job, event.uid)
        attempt.state, attempt.outcome = state_for(event.outcome), event.outcome
        attempt.exit_status, attempt.cpu = event.status, event.cpu
        attempt.started, attempt.ended = event.started or attempt.started, event.ended
        attempt.rss = None if event.rss is None else event.rss * 1024
        attempt.out_size, attempt.err_size = event.sizes
        attempt.out_crc, attempt.err_crc = event.crcs
        rare = event.signal, event.cause, event.reason, event.result, event.left_out, event.brought, event.inputs
        if rare != _NOTHING_RARE or not is_plain(attempt):
            (attempt.signal, attempt.cause, attempt.reason, attempt.result_json, attempt.left_out, attempt.brought,
             inputs) = rare
            attempt.inputs = inputs or attempt.inputs
        changed[job] = None
        failpoints.reach("exit_seen")

    def _note_host(self, event: HostUp | HostDown, changed: dict[Job, None]) -> None:
        up = isinstance(event, HostUp)
        if up != (event.host in self._away):
            return
        (self._away.discard if up else self._away.add)(event.host)
        state_now, state_then = (STATE_BUSY, STATE_UNKNOWN) if up else (STATE_UNKNOWN, STATE_BUSY)
        for uid, job in self._on_host.get(event.host, {}).items():
            attempt = _attempt_of(job, uid)
            if attempt.state == state_then:
                attempt.state = state_now
                changed[job] = None


def _attempt_of(job: Job, uid: str) -> Attempt:
    newest = job.attempts[-1]
    return newest if newest.uid == uid else next(attempt for attempt in job.attempts if attempt.uid == uid)
