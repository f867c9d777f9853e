"""What ``sshjobs run --dry-run`` does: the checks of a start, and what would run where."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from sshjobs.errors import RunExistsError, UsageError, printable
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule
from sshjobs.store.rundir import RunPaths, check_run_name, job_directory_name
from sshjobs.views import wording
from sshjobs.views.wording import count

#: Hosts of a job that are named in text.
MAX_HOSTS = 6
#: Characters of a command that are shown.
MAX_COMMAND = 120


def check(*, results: Path, name: str | None, ssh_config: str | None, transport: str | None) -> None:
    """Refuse what a start would refuse, but for the jobs themselves.

    :raises UsageError: the run's name or a file cannot be used
    """
    if name is not None:
        paths = RunPaths(results, check_run_name(name))
        if os.path.lexists(paths.root):
            raise RunExistsError(f"there is a run called {name} already", where=str(paths.root),
                                 hint="choose another --name")
    if ssh_config is not None and not os.access(ssh_config, os.R_OK):
        raise UsageError("the ssh configuration cannot be read", where=ssh_config, hint="correct --ssh-config")
    if results.exists() and not (results.is_dir() and os.access(results, os.W_OK | os.X_OK)):
        raise UsageError("no run can be kept there", where=str(results), hint="choose another --results")


def show(specs: Iterable[JobSpec], hosts: Sequence[Host], *, as_json: bool, verbose: bool = False) -> None:
    """Print each job that would run, with the hosts that it may run on and its command.

    :param verbose: all of each script, a line each
    :raises UsageError: the ``hosts`` of a job match none, or a job cannot be called so; nothing was printed
    """
    schedule, order = Schedule(hosts), [host.name for host in hosts]
    places: dict[tuple[tuple[str, ...], str | None], list[str]] = {}
    jobs = list(jobs_from(specs, hosts))
    for job in jobs:
        job_directory_name(job.name)
        if (key := _key(job)) not in places:
            schedule.check(job)
            names = schedule.eligible(job.spec, job.only_host)
            places[key] = [name for name in order if name in names]
    for job in jobs:
        where = places[_key(job)]
        if as_json:
            click.echo(json.dumps({"event": "would_run", "job": job.name, "hosts": where, "commands": job.spec.cmds,
                                   "argv": job.spec.argv}))
            continue
        lines = [shlex.join(job.spec.argv)] if job.spec.argv else job.spec.cmds
        click.echo(f"{printable(job.name)} {_text(where, len(order))}{'' if verbose else ': ' + _short(lines)}")
        for line in lines if verbose else ():
            click.echo(f"    {printable(line)}")
    if not as_json:
        click.echo(f"{count(len(jobs), 'job')} on {wording.places(order)}; nothing was started")


def _key(job: Job) -> tuple[tuple[str, ...], str | None]:
    return tuple(job.spec.hosts), job.only_host


def _short(lines: Sequence[str]) -> str:
    """Return a script on one line, and its beginning only where it is long."""
    text = printable("; ".join(line.strip() for line in lines))
    return text if len(text) <= MAX_COMMAND else text[: MAX_COMMAND - 1] + "…"


def _text(names: list[str], total: int) -> str:
    if len(names) == total > 1:
        return f"on any of {total} hosts"
    more = f" and {len(names) - MAX_HOSTS} more" if len(names) > MAX_HOSTS else ""
    return "on " + printable(", ".join(names[:MAX_HOSTS]) + more)
