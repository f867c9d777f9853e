"""Makes a new run: its directory and its store, before any host is contacted."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from sshjobs.errors import NoHostError, SshjobsError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_FREE
from sshjobs.network.staging.inputs import Staging
from sshjobs.running.setups import check_names
from sshjobs.running.stages import check_stages
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import RunPaths, create_run, discard_run, job_directory_name, write_private

if TYPE_CHECKING:
    from sshjobs.planning.carrying import Carried


class NewRun(NamedTuple):
    """A run that was just made.

    :ivar jobs: all of its jobs; those that are not done already wait in the schedule
    :ivar carried: how many jobs were carried over, by the name of the earlier run
    :ivar store: open for writing
    """

    paths: RunPaths
    uid: str
    jobs: list[Job]
    schedule: Schedule
    store: RunStore
    carried: Mapping[str, int]


def new_run(specs: Iterable[JobSpec], hosts: Sequence[Host], results: Path, *, name: str | None = None,
            stem: str = "run", jobfile: bytes | None = None, options: Mapping[str, Any] | None = None,
            stdin: BinaryIO | None = None, manager: ManagerIdentity | None = None,
            earlier: Sequence[RunPaths] = (), slots: int | None = None) -> NewRun:
    """Make a run. It appears complete, or not at all.

    :param stdin: read to its end and kept with the run; every job reads it as its standard input
    :param manager: its first manager; ``None``: another process will take it over
    :param earlier: runs whose done jobs count as done
    :param slots: how many slots a host has where its user does not say; ``None``: as many as it has cores
    :raises NoHostError: there is no host
    :raises UsageError: ``hosts`` of a job match no host; no host has what a job needs and none may join; a job's name
        is not allowed; the run's name is taken; or a job still runs in an earlier run
    :raises StoreError: it cannot be written
    """
    if not hosts:
        raise NoHostError("there is no host to run on", hint="name at least one")
    schedule, patient = Schedule(hosts, slots=slots), bool((options or {}).get("stays_open"))
    jobs = list(jobs_from(specs, hosts))
    check_stages(job.spec for job in jobs)
    check_names(jobs, (options or {}).get("setup") or ())
    for job in jobs:
        job_directory_name(job.name)
        schedule.check(job, patient=patient)
    with _carried_over(jobs, earlier) as carried:
        for job in jobs:
            if job.state == STATE_FREE and not job.spec.after:
                schedule.add(job)
        paths = create_run(results, name=name, stem=stem)
        uid = secrets.token_hex(16)
        try:
            if jobfile is not None:
                write_private(paths.jobfile, jobfile)
            if stdin is not None:
                _keep_stdin(stdin, paths.stdin)
                for spec in {id(job.spec): job.spec for job in jobs}.values():
                    spec.stdin = str(paths.stdin.absolute())
            write_private(paths.hosts, "".join(f"{host.name}\n" for host in hosts))
            if carried is not None:
                carried.bring_files(paths)
            # Last: a run exists once its store does.
            store = RunStore.create(paths, uid=uid, name=paths.name, jobs=jobs, hosts=hosts,
                                    options=dict(options or {}), created=time.time(), manager=manager)
        except BaseException:
            # So that the name is free again, and no later command finds a half-made run.
            discard_run(paths)
            raise
    return NewRun(paths, uid, jobs, schedule, store, {} if carried is None else carried.counts)


def _carried_over(jobs: Sequence[Job], earlier: Sequence[RunPaths]) -> AbstractContextManager[Carried | None]:
    """Let jobs count as done that are done in earlier runs, where there are any."""
    if not earlier:
        return contextlib.nullcontext()
    # Few runs continue others, and all would pay for it at their start.
    from sshjobs.planning.carrying import carried_over

    return carried_over(jobs, earlier, Staging())


def _keep_stdin(stream: BinaryIO, path: Path) -> None:
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            shutil.copyfileobj(stream, file)
    except OSError as error:
        raise SshjobsError("standard input cannot be kept for the jobs", where=str(path), why=error.strerror,
                           hint="make room there, or choose another place by --results") from error
