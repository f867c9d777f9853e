"""RunManager: a manager that reports events as plain dicts with the keys of docs/cli.md ("Events")."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from sshjobs.errors import RunTimeoutError
from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_FREE, STATE_UNKNOWN
from sshjobs.network import HostClosed, HostDown, HostUp, NetworkContract, Silent, Warned
from sshjobs.running.manager import Manager
from sshjobs.running.tally import Tally
from sshjobs.scheduling.retries import launched_with
from sshjobs.store.rundir import RunPaths

Event = dict[str, Any]
Listener = Callable[[Event], None]

#: Seconds without an ended job after which listeners are told what the run waits for.
QUIET = 1.0


def silent(event: Event) -> None:
    """A listener that ignores all events."""


class Finished:
    """The jobs that have ended, for any number of readers in other threads."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._closed = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()

    def add(self, job: Job) -> None:
        """Add a job that has ended."""
        with self._changed:
            self._jobs.append(job)
            self._changed.notify_all()

    def close(self, failure: BaseException | None = None) -> None:
        """End the sequence: no more jobs will come.

        :param failure: the exception that ended the run, if it could not go on
        """
        with self._changed:
            self._closed, self._failure = True, failure
            self._changed.notify_all()

    def follow(self, timeout: float | None) -> Iterator[Job]:
        """Yield every ended job from the first one on, until the end of the run.

        :raises RunTimeoutError: the next job did not end within so many seconds
        :raises SshjobsError: the run could not go on
        """
        at = 0
        while (job := self._get(at, timeout)) is not None:
            at += 1
            yield job
        if self._failure is not None:
            raise self._failure

    def _get(self, at: int, timeout: float | None) -> Job | None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._jobs) > at or self._closed, timeout):
                raise RunTimeoutError("no job has ended in time", hint="the run goes on")
            return self._jobs[at] if len(self._jobs) > at else None


class RunManager(Manager):
    """A manager that reports events to a listener."""

    def __init__(self, listener: Listener):
        super().__init__(QUIET)
        self.listener = listener
        self.finished = Finished()
        self._tally = Tally((), 0)
        self._resumed = False

    def Resume(self, paths: RunPaths, network: NetworkContract) -> None:
        super().Resume(paths, network)
        launched = self.jobs.InState(STATE_UNKNOWN)
        self._tally, self._resumed = Tally(launched, self.jobs.CountInState(STATE_FREE)), True

    def turn(self) -> None:
        super().turn()
        if self._resumed:
            self._tell_tally(False)

    def _tell_tally(self, patience_is_over: bool) -> None:
        event = self._tally.report(patience_is_over=patience_is_over)
        if event is not None:
            self._resumed = False
            self.listener(event)

    def HandleJobLaunch(self, job: Job) -> None:
        event: Event = {"event": "launch", "job": job.name, "host": job.host, "attempt": job.attempts[-1].n}
        if job.spec.memory is not None:
            event["memory"] = launched_with(job, job.attempts[-1]).memory
        if job.spec.output_limit is not None:
            event["output_limit"] = job.spec.output_limit
        self.listener(event)

    def HandleJobDone(self, job: Job) -> None:
        self.finished.add(job)
        self._tally.note(job)
        self.listener({"event": job.state, **_describe(job)})

    def HandleSleep(self) -> None:
        # Hosts that have not answered by now may take long.
        if self._resumed:
            self._tell_tally(True)
        self.listener({"event": "wait"})

    def handle_change(self, job: Job) -> None:
        self._tally.note(job)
        # "started" and not "busy": for a person who watches, launched and running are different.
        word = {"busy": "started", "free": "retry"}.get(job.state, job.state)
        event = {"event": word, **_describe(job)}
        if word == "retry" and job.not_before is not None:
            event["not_before"] = round(job.not_before, 3)
        if word == "retry" and job.attempts:
            # The job has no outcome yet; the event has that of its attempt.
            attempt = job.attempts[-1]
            event.update(outcome=attempt.outcome and attempt.outcome.value, exit_status=attempt.exit_status,
                         signal=attempt.signal)
        self.listener(event)

    def handle_act(self, event: Event) -> None:
        self.listener(event)

    def handle_host(self, event: HostUp | HostDown | HostClosed | Warned | Silent) -> None:
        match event:
            case HostUp(host, facts):
                self.listener({"event": "host", "host": host, "state": "up", "facts": facts,
                               "slots": self.schedule.hosts.slots(host)})
            case HostDown(host, error):
                self.listener({"event": "host", "host": host, "state": "blocked" if error.lasting else "away",
                               "kind": error.kind, "reason": str(error)})
            case HostClosed(host, None):
                self.listener({"event": "host", "host": host, "state": "up", "facts": {},
                               "slots": self.schedule.hosts.slots(host)})
            case HostClosed(host, kind, reason):
                self.listener({"event": "host", "host": host, "state": "closed", "kind": kind, "reason": reason})
            case Silent(host, seconds):
                self.listener({"event": "silent", "host": host, "seconds": seconds})
            case Warned(host, message):
                self.listener({"event": "warning", "host": host, "reason": message})


def _describe(job: Job) -> Event:
    seconds, left_out = job.seconds, job.left_out
    event: Event = {"job": job.name, "host": job.host, "state": job.state,
                    "outcome": job.outcome and job.outcome.value,
                    "exit_status": job.exit_status, "signal": job.signal, "attempts": len(job.attempts),
                    "seconds": None if seconds is None else round(seconds, 3), "reason": job.reason}
    if left_out is not None:
        event["left_out"] = left_out._asdict()
    return event
