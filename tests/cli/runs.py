"""Runs for the command line to look at: stores in a results directory, without any host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_BUSY, STATE_UNKNOWN, Outcome
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import RunPaths, create_run
from tests.store.helpers import finish, launch


def named_jobs(names: Sequence[str], params: Mapping[str, Mapping[str, str]] | None = None) -> list[Job]:
    """Return jobs with these names; ``params``: what parameters they have, by their names."""
    return [Job(JobSpec(["echo hello"], name=name, params=(params or {}).get(name)), index) for index, name in enumerate(names)]


def make_run(results: Path, name: str, jobs: Sequence[str] = ("sim-1", "sim-2", "sim-3"), *,
             attended: bool = False) -> RunPaths:
    """Make a run on hosts ``a`` and ``b`` in which nothing has happened.

    :param attended: this process counts as its manager
    """
    with edit(results, name, jobs, attended=attended) as store:
        return store.paths


class edit:
    """A run to be changed in the body: ``with edit(results, "r", ["x"]) as store: launch(store, store.jobs["x"])``."""

    def __init__(self, results: Path, name: str, jobs: Sequence[str], *, attended: bool = False,
                 params: Mapping[str, Mapping[str, str]] | None = None):
        self.paths = create_run(results, name=name)
        self._made = named_jobs(jobs, params)
        self.jobs = {job.name: job for job in self._made}
        self._attended = attended
        self.store = RunStore.create(self.paths, uid=f"{abs(hash((str(results), name))):032x}", name=name,
                                     jobs=self._made, hosts=[Host("a"), Host("b")], options={}, created=1_700_000_000.5)
        self.store.take_over(ManagerIdentity.this_process())

    def __enter__(self) -> edit:
        return self

    def __exit__(self, *error: object) -> None:
        self.store.commit()
        self.store.close(None if self._attended else 1_700_000_100.0)

    def done(self, name: str, stdout: bytes = b"", stderr: bytes = b"", result: str | None = None) -> None:
        """Let a job succeed, and leave a result, which is JSON."""
        launch(self.store, self.jobs[name])
        self.jobs[name].attempts[-1].result_json = result
        finish(self.store, self.jobs[name])
        self.wrote(name, stdout, stderr)

    def failed(self, name: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        """Let a job end with status 3."""
        launch(self.store, self.jobs[name], "b")
        finish(self.store, self.jobs[name], Outcome.FAILED)
        self.wrote(name, stdout, stderr)

    def busy(self, name: str, stdout: bytes = b"", *, unknown: bool = False) -> None:
        """Let a job run, on a host that is away if it is ``unknown``."""
        job = self.jobs[name]
        launch(self.store, job)
        job.attempts[-1].state = job.state = STATE_UNKNOWN if unknown else STATE_BUSY
        job.attempts[-1].started = 1_700_000_001.0
        if unknown:
            self.store.set_host("a", "away", "a: no answer in time", since=1_700_000_050.0)
        self.wrote(name, stdout, b"")

    def wrote(self, name: str, stdout: bytes, stderr: bytes) -> None:
        """Let a job's newest attempt have written something."""
        directory = self.paths.job(name)
        directory.mkdir(exist_ok=True)
        (directory / "stdout").write_bytes(stdout)
        (directory / "stderr").write_bytes(stderr)
