"""What ``sshjobs run --dry-run`` does: the checks of a start, and what would run where."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import click

from sshjobs.errors import RunExistsError, UsageError, printable
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_FREE
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.carrying import carried_over
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


def show(specs: Iterable[JobSpec], hosts: Sequence[Host], *, earlier: Sequence[RunPaths] = (), as_json: bool,
         verbose: bool = False, slots: int | None = None) -> None:
    """Print each job that would run, with the hosts that it may run on and its command.

    :param earlier: runs in which what is done counts as done
    :param verbose: all of each script, a line each
    :param slots: how many slots hosts have whose user says nothing about it
    :raises UsageError: the ``hosts`` of a job match none, none has what a job needs, or a job cannot be called so;
        nothing was printed
    """
    jobs, order, done = list(jobs_from(specs, hosts)), [host.name for host in hosts], 0
    places = Places(hosts, slots)
    for job in jobs:
        job_directory_name(job.name)
        places.of(job)
    if earlier:
        with carried_over(jobs, earlier, Staging()) as carried:
            done = sum(carried.counts.values())
    told = _told(jobs, places, as_json=as_json, verbose=verbose)
    # Many at a time: one by one takes as long as all that comes before.
    while some := list(islice(told, 1000)):
        click.echo("\n".join(some))
    if not as_json:
        before = f", {done:,} more done already" if earlier else ""
        click.echo(f"{count(len(jobs) - done, 'job')} on {wording.places(order)}{before}; nothing was started")


def _told(jobs: Iterable[Job], places: Places, *, as_json: bool, verbose: bool) -> Iterator[str]:
    """Yield the lines that tell of jobs."""
    for job in jobs:
        if job.state != STATE_FREE:
            continue
        where = places.of(job)
        if as_json:
            yield json.dumps({"event": "would_run", "job": job.name, "hosts": where, "commands": job.spec.cmds,
                              "argv": job.spec.argv, **({"params": job.spec.params} if job.spec.values else {})})
            continue
        lines = [shlex.join(job.spec.argv)] if job.spec.argv else job.spec.cmds
        shown = "" if verbose else f": {_short(lines)}"
        yield f"{printable(job.name)}{shown_params(job.spec)} {places.text(where)}{shown}"
        for line in lines if verbose else ():
            yield f"    {printable(line)}"


class Places:
    """Which hosts jobs may run on, and have what they need as far as their user says what they have.

    :param slots: how many slots hosts have whose user says nothing about it
    """

    def __init__(self, hosts: Sequence[Host], slots: int | None = None):
        self._schedule, self._order = Schedule(hosts, slots=slots), [host.name for host in hosts]
        self._known: dict[tuple[tuple[str, ...], str | None, Needs | None], list[str]] = {}

    def of(self, job: Job) -> list[str]:
        """Return the names of the hosts that a job may run on, in the order of the hosts.

        :raises UsageError: there is none
        """
        key = tuple(job.spec.hosts), job.only_host, needs_of(job.spec)
        if key not in self._known:
            self._schedule.check(job)
            self._known[key] = self._schedule.able(job)
        return self._known[key]

    def text(self, names: Sequence[str]) -> str:
        """Return hosts in words: ``on any of 4 hosts``, ``on node01, node02``."""
        if len(names) == len(self._order) > 1:
            return f"on any of {len(self._order)} hosts"
        more = f" and {len(names) - MAX_HOSTS} more" if len(names) > MAX_HOSTS else ""
        return "on " + printable(", ".join(names[:MAX_HOSTS]) + more)


def shown_params(spec: JobSpec) -> str:
    """Return the parameters of a job as people name them: `` [lr=0.1,seed=3]``."""
    if not spec.values:
        return ""
    text = ",".join(f"{name}={value}" for name, value in spec.params.items())
    return printable(f" [{text if len(text) <= MAX_COMMAND else text[: MAX_COMMAND - 1] + '…'}]")


def _short(lines: Sequence[str]) -> str:
    """Return a script on one line, and its beginning only where it is long."""
    text = printable("; ".join(line.strip() for line in lines))
    return text if len(text) <= MAX_COMMAND else text[: MAX_COMMAND - 1] + "…"
