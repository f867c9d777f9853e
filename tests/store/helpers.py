"""Runs to test the store with: small, in a directory of their own."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_BUSY, STATE_DONE, STATE_ERROR, Outcome
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.rundir import RunPaths, create_run

UID = "0123456789abcdef" * 2
CREATED = 1_700_000_000.5


def make_jobs(number: int, name: str = "sim") -> list[Job]:
    """Return that many repeats of one job."""
    spec = JobSpec(["echo hello"], name=name)
    return [Job(spec.named(f"{name}-{index + 1}", index + 1), index) for index in range(number)]


def make_store(results: Path, jobs: list[Job], *, network_disk: bool | None = None) -> RunStore:
    """Return the store of a new run on hosts ``a`` and ``b``, with this process as its manager."""
    paths = create_run(results, stem="sweep")
    store = RunStore.create(paths, uid=UID, name=paths.name, jobs=jobs, hosts=[Host("a"), Host("b", tags=("gpu",))],
                            options={"slots": 2}, created=CREATED, network_disk=network_disk)
    store.take_over(ManagerIdentity.this_process())
    return store


def launch(store: RunStore, job: Job, host: str = "a") -> None:
    """Note a launch of a job."""
    attempt = job.new_attempt(host, f"token-{job.index}-{len(job.attempts)}")
    job.state, job.outcome = STATE_BUSY, None
    store.touch(job)
    store.touch_attempt(job, attempt)


def finish(store: RunStore, job: Job, outcome: Outcome = Outcome.SUCCEEDED, *, released: bool = True) -> None:
    """Note the end of a job's newest attempt and of the job."""
    attempt = job.attempts[-1]
    attempt.outcome = job.outcome = outcome
    attempt.state = job.state = STATE_DONE if outcome is Outcome.SUCCEEDED else STATE_ERROR
    attempt.exit_status = job.exit_status = 0 if outcome is Outcome.SUCCEEDED else 3
    attempt.started, attempt.ended = CREATED + 1, CREATED + 2.25
    attempt.released = released
    store.touch(job)
    store.touch_attempt(job, attempt)


def contradictions(paths: RunPaths) -> list[str]:
    """Return what in a store contradicts itself."""
    with RunReader.open(paths) as reader:
        return list(reader.contradictions())


def in_child(action: Callable[[], None]) -> int:
    """Start a process that carries out an action and ends; return its pid. Whoever calls waits for it."""
    pid = os.fork()
    if pid:
        return pid
    status = 70
    try:
        action()
        status = 0
    finally:
        # Nothing of the test process above this may run a second time.
        os._exit(status)


def kill(pid: int) -> None:
    """Kill a child at once and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@contextmanager
def no_file_may_grow(where: Path) -> Iterator[None]:
    """Let every write of this process beyond the first kilobytes of a file fail, as with a used-up quota."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
