"""A new run: its directory and its store, before any host is contacted."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sshjobs.errors import NoHostError, SshjobsError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_FREE
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.carrying import carried_over
from sshjobs.running.setups import check_names
from sshjobs.running.stages import check_stages
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import RunPaths, create_run, discard_run, job_directory_name, write_private


@dataclass
class NewRun:
    """A run that was just made.

    :ivar jobs: all of its jobs; each waits in the schedule that is not done already
    :ivar carried: how many are done in earlier runs, by the names of these
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
    :param manager: who carries it out; ``None`` where another process takes it over
    :param earlier: runs in which what is done counts as done
    :param slots: how many slots hosts have whose user says nothing about it; ``None``: as many as they have cores
    :raises NoHostError: there is no host
    :raises UsageError: ``hosts`` of a job match no host, no host has what a job needs and none may join, a job cannot
        be called so, the run's name is taken, or a job is at work in an earlier run
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
    with carried_over(jobs, earlier, Staging()) as carried:
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
            carried.bring_files(paths)
            # Last: a run is there when its store is.
            store = RunStore.create(paths, uid=uid, name=paths.name, jobs=jobs, hosts=hosts,
                                    options=dict(options or {}), created=time.time(), manager=manager)
        except BaseException:
            # The name is free again, and nothing half made is found by a later command.
            discard_run(paths)
            raise
    return NewRun(paths, uid, jobs, schedule, store, carried.counts)


def _keep_stdin(stream: BinaryIO, path: Path) -> None:
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            shutil.copyfileobj(stream, file)
    except OSError as error:
        raise SshjobsError("standard input cannot be kept for the jobs", where=str(path), why=error.strerror,
                           hint="make room there, or choose another place by --results") from error
