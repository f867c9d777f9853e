"""Runs to compare a jobfile with: made as runs are made, and carried out without a host."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_DONE, STATE_FREE, Outcome, state_for
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.comparison import Comparison, compare
from sshjobs.planning.earlier import Earlier
from sshjobs.running.newrun import new_run
from sshjobs.running.stages import Stages
from sshjobs.scheduling.naming import jobs_from
from sshjobs.store import ManagerIdentity
from sshjobs.store.rundir import RunPaths
from tests.store.helpers import finish, launch

HOSTS = [Host("a"), Host("b")]


def specs_of(base: Path, *entries: dict[str, Any]) -> list[JobSpec]:
    """Return the specs of entries, each written as in a jobfile."""
    builder = Builder()
    for entry in entries:
        builder.AddJob(**entry, base_dir=base)
    return builder.MakeJobSpecs()


def did(results: Path, specs: Iterable[JobSpec], name: str, *, earlier: Sequence[RunPaths] = (),
        end: Callable[[Job], Outcome | None] = lambda job: Outcome.SUCCEEDED, hosts: Sequence[Host] = HOSTS,
        left: Callable[[Job], str] = lambda job: f"{job.name}\n", away: bool = True) -> tuple[RunPaths, list[str]]:
    """Carry specs out, and return the run and the names of the jobs that ran, in their order.

    :param end: how a job ends; ``None`` for one that has not started
    :param left: what a job writes to its standard output
    :param away: its manager has left
    """
    made, staging = new_run(specs, hosts, results, name=name, earlier=earlier), Staging()
    store, stages = made.store, Stages()
    store.take_over(ManagerIdentity.this_process())
    stages.begin(made.jobs)
    ran, todo = list[str](), [job for job in made.jobs if job.state == STATE_FREE and stages.may_run(job)]
    while todo:
        job = todo.pop(0)
        if (outcome := end(job)) is None:
            continue
        launch(store, job, job.only_host or "a")
        job.attempts[-1].inputs = staging.manifest(job.spec).inputs
        directory = made.paths.job(job.name)
        directory.mkdir()
        (directory / "stdout").write_text(left(job))
        (directory / "stderr").touch()
        job.attempts[-1].out_size, job.attempts[-1].err_size = len(left(job)), 0
        finish(store, job, outcome)
        ran.append(job.name)
        ready, broken = stages.ended(job)
        todo += ready
        while broken:
            skipped = broken.pop()
            if skipped.state == STATE_FREE:
                skipped.outcome, skipped.state = Outcome.SKIPPED, state_for(Outcome.SKIPPED)
                store.touch(skipped)
                more, further = stages.ended(skipped)
                todo += more
                broken = [*broken, *further]
    if away:
        store.set_run_state("done" if all(job.state == STATE_DONE for job in made.jobs) else "interrupted")
    store.commit()
    store.close(1.0 if away else None)
    return made.paths, ran


def planned(specs: Iterable[JobSpec], *runs: RunPaths,
            hosts: Sequence[Host] = HOSTS) -> tuple[Comparison, dict[str, str]]:
    """Return what specs are compared with runs, and the standing of each job by its name."""
    jobs, staging = list(jobs_from(specs, hosts)), Staging()
    opened = [Earlier(paths, staging) for paths in runs]
    found = compare(jobs, opened, staging)
    return found, {job.name: found.standings[place].value for place, job in enumerate(jobs)}
