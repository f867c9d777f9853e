"""Twelve ways to break a promise, each a small patch that is applied while a play runs: the plays must find each.

``python -m tests.sim.mutants`` says after how many plays each was found.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from sshjobs.errors import HostError
from sshjobs.model.spec import Attempt, Job
from sshjobs.model.states import STATE_ERROR, STATE_FREE, Outcome
from sshjobs.network.engine import Engine
from sshjobs.network.protocol.link import Link
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.session import HostSession
from sshjobs.network.transport import Stream
from sshjobs.running.housekeeping import Housekeeping
from sshjobs.simulation.agent import Agent
from sshjobs.simulation.history import History
from sshjobs.simulation.runner import Runner
from sshjobs.store import RunReader
from tests.sim.campaign import Told, play_one, seeds

#: Plays within which each has to be found.
WITHIN = 1500

Patch = tuple[type, str, Callable[..., Any]]


def send_before_commit() -> Patch:
    real = Housekeeping.commit

    def commit(self: Housekeeping) -> None:
        self._patiently(self.network.flush)
        real(self)
    return Housekeeping, "commit", commit


def ack_before_claim() -> Patch:
    def before_claim(self: Runner, launch: dict[str, Any]) -> None:
        self._tell(t="started", id=launch["id"], pid=self.process.pid, at=self.machine.clock())
    return Runner, "before_claim", before_claim


def pid_only_identity() -> Patch:
    def is_alive(self: History, pid: int, start: int) -> bool:
        return pid in self._machine.processes
    return History, "is_alive", is_alive


def retry_on_255() -> Patch:
    real = HostSession._why_ended

    async def why_ended(self: HostSession, link: Link, stream: Stream, *, timed_out: bool = False) -> HostError:
        for attempt in [live for live in self.book.live.values() if not live.over]:
            self.book.end(attempt, Ended(attempt.uid, Outcome.FAILED, 255, None, None, None, None, None, None,
                                         (attempt.have[0], attempt.have[1])))
        return await real(self, link, stream, timed_out=timed_out)
    return HostSession, "_why_ended", why_ended


def skip_the_fence() -> Patch:
    real = HostBook.cancel

    def cancel(self: HostBook, uid: str, grace: float) -> None:
        attempt = self.live.get(uid)
        if attempt is not None and not attempt.over and not attempt.seen:
            self.end(attempt, Ended(uid, Outcome.CANCELLED, None, None, None, None, None, None, None, (0, 0)))
            return
        real(self, uid, grace)
    return HostBook, "cancel", cancel


def reuse_a_number() -> Patch:
    real = Job.new_attempt

    def new_attempt(self: Job, host: str, token: str) -> Attempt:
        attempt = real(self, host, token)
        if attempt.n > 1:
            attempt.n -= 1
            attempt.uid = f"{self.index + 1}.{attempt.n}"
        return attempt
    return Job, "new_attempt", new_attempt


def release_before_safe() -> Patch:
    async def sync(self: Engine, attempts: Sequence[tuple[str, str]]) -> None:
        """Nothing is synced."""
    return Engine, "_sync", sync


def trust_a_stale_boot() -> Patch:
    real = HostBook.welcome

    def welcome(self: HostBook, facts: dict[str, Any]) -> None:
        self.boot = facts["boot"]
        real(self, {**facts, "resumed": True})
    return HostBook, "welcome", welcome


def drop_a_resend() -> Patch:
    real = HostBook.state

    def state(self: HostBook, uid: str, state: str) -> None:
        say, self._say = self._say, lambda item: None if isinstance(item, LiveAttempt) else say(item)
        real(self, uid, state)
        self._say = say
    return HostBook, "state", state


def resume_without_asking() -> Patch:
    real = RunReader.load_unfinished

    def load_unfinished(self: RunReader) -> list[Job]:
        jobs = real(self)
        for job in jobs:
            attempt = job.attempt
            if attempt is not None and attempt.outcome is None:
                attempt.state, attempt.outcome, attempt.released = STATE_ERROR, Outcome.NEVER_STARTED, True
                job.state = STATE_FREE
        return jobs
    return RunReader, "load_unfinished", load_unfinished


def offset_of_the_other_stream() -> Patch:
    def have(self: HostBook) -> Iterator[tuple[str, int, int]]:
        for attempt in self.live.values():
            yield attempt.uid, attempt.have[1], attempt.have[0]
    return HostBook, "have", have


def forget_a_prefetched_job() -> Patch:
    real = Agent.drop_link

    def drop_link(self: Agent) -> None:
        self.queue.clear()
        real(self)
    return Agent, "drop_link", drop_link


ALL: dict[str, Callable[[], Patch]] = {
    "send before commit": send_before_commit, "ack before claim": ack_before_claim,
    "pid-only identity": pid_only_identity, "retry on ssh's 255": retry_on_255,
    "skip the fence on cancel": skip_the_fence, "reuse an attempt number": reuse_a_number,
    "release before the outputs are safe": release_before_safe, "trust a stale boot id": trust_a_stale_boot,
    "drop a resend": drop_a_resend, "resume without asking": resume_without_asking,
    "offset from the wrong stream": offset_of_the_other_stream, "forget a prefetched job": forget_a_prefetched_job,
}


@contextlib.contextmanager
def mutated(name: str) -> Iterator[None]:
    """Have one of them be so."""
    where, what, how = ALL[name]()
    with mock.patch.object(where, what, how):
        yield


def hunt(name: str, within: int = WITHIN) -> tuple[int, Told | None]:
    """Return after how many plays a mutant was found, and by what; ``None``: it was not."""
    source = seeds(7)
    with mutated(name):
        for number in range(1, within + 1):
            told = play_one(next(source))
            if told.trouble is not None:
                return number, told
    return within, None


def main() -> int:
    """Hunt every mutant; 1 when one was not found."""
    missing = 0
    for name in sys.argv[1:] or ALL:
        plays, told = hunt(name)
        missing += told is None
        trouble = told.trouble.splitlines()[0] if told is not None and told.trouble else "NOT FOUND"
        print(f"{name}: play {plays}, seed {told.seed if told else '-'}: {trouble}", flush=True)
    return int(missing > 0)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim.mutants", *sys.argv[1:]],
                  {**os.environ, "PYTHONHASHSEED": "0"})
    sys.exit(main())
