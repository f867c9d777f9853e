"""A new run: its directory and its store, before any host is contacted."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sshjobs.errors import NoHostError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import RunPaths, create_run, discard_run, job_directory_name, write_private


@dataclass
class NewRun:
    """A run that was just made.

    :ivar jobs: all of its jobs, each waiting in the schedule
    :ivar store: open for writing
    """

    paths: RunPaths
    uid: str
    jobs: list[Job]
    schedule: Schedule
    store: RunStore


def new_run(specs: Iterable[JobSpec], hosts: Sequence[Host], results: Path, *, name: str | None = None,
            stem: str = "run", jobfile: bytes | None = None, options: Mapping[str, Any] | None = None,
            manager: ManagerIdentity | None = None) -> NewRun:
    """Make a run. It appears complete, or not at all.

    :param manager: who carries it out; ``None`` leaves that to whoever takes it over
    :raises NoHostError: there is no host
    :raises UsageError: ``hosts`` of a job match no host, a job cannot be called so, or the run's name is taken
    :raises StoreError: it cannot be written
    """
    if not hosts:
        raise NoHostError("there is no host to run on", hint="name at least one")
    schedule = Schedule(hosts)
    jobs = list(jobs_from(specs, hosts))
    for job in jobs:
        job_directory_name(job.name)
        schedule.check(job)
        schedule.add(job)
    paths = create_run(results, name=name, stem=stem)
    uid = secrets.token_hex(16)
    try:
        if jobfile is not None:
            write_private(paths.jobfile, jobfile)
        write_private(paths.hosts, "".join(f"{host.name}\n" for host in hosts))
        store = RunStore.create(paths, uid=uid, name=paths.name, jobs=jobs, hosts=hosts, options=dict(options or {}),
                                created=time.time(), manager=manager)
    except BaseException:
        # The name is free again, and nothing half made is found by a later command.
        discard_run(paths)
        raise
    return NewRun(paths, uid, jobs, schedule, store)
