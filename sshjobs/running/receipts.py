"""Receipts: what is left of a run on its hosts after a cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sshjobs.errors import HostError, printable
from sshjobs.model.host import Host
from sshjobs.network.traces import HostTraces, ProcessTrace, host_key, survey
from sshjobs.store import AttemptRow, JobRow, RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import MOST_TOLD

#: How often hosts with something left are asked, and seconds in between: an agent that was told to exit takes a moment.
LOOKS, PAUSE = 6, 0.5
#: Files of an attempt on its host: stdout and stderr.
_FILES = 2


@dataclass
class Receipt:
    """What is left of a run, by what its hosts reported.

    :ivar hosts: how many hosts were asked
    :ivar processes: living processes of its jobs, without those that jobs keep on purpose, and agents that still run
    :ivar files: files in its directories
    :ivar left: a line about each process
    :ivar unasked: a line about each host that could not be asked
    """

    hosts: int = 0
    processes: int = 0
    files: int = 0
    left: list[str] = field(default_factory=list)
    unasked: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the receipt as plain data."""
        return asdict(self)


def receipt(paths: RunPaths, jobs: Sequence[str] | None = None, *, looks: int = LOOKS,
            pause: Callable[[float], None] = time.sleep) -> Receipt:
    """Ask the hosts of a run what is left of it there. Changes nothing.

    :param jobs: only what is left of these jobs; ``None``: of the whole run, with agents and directories
    :param looks: how often to ask hosts with something left
    """
    with RunReader.open(paths) as reader:
        summary, hosts = reader.summary(), _hosts(reader, jobs)
        told: dict[str, HostTraces] = {}
        made = Receipt()
        todo = list(hosts)
        for look in range(looks):
            if look:
                pause(PAUSE)
            answers = survey(todo, summary.uid, transport=summary.options.get("transport"),
                             ssh_config=summary.options.get("ssh_config"),
                             accept_new_host_keys=bool(summary.options.get("accept_new_host_keys")))
            told.update((host.name, answer) for host, answer in zip(todo, answers, strict=True)
                        if not isinstance(answer, HostError))
            unasked = {host.name: str(answer) for host, answer in zip(todo, answers, strict=True)
                       if isinstance(answer, HostError)}
            made = _made(reader, summary.uid, told, jobs)
            made.unasked = list(unasked.values())
            todo = [host for host in hosts if host.name in unasked or _is_dirty(told[host.name], summary.uid, host)]
            if not (made.processes or made.files):
                break
    return made


def _hosts(reader: RunReader, jobs: Sequence[str] | None) -> list[Host]:
    """Return the hosts where something was launched, or may have been left."""
    if jobs is None:
        in_use = reader.hosts_in_use()
        return [row.host for row in reader.hosts() if row.facts is not None or row.host.name in in_use]
    used = {attempt.host for _, attempts in _rows(reader, jobs) for attempt in attempts}
    return [row.host for row in reader.hosts() if row.host.name in used]


def _rows(reader: RunReader, jobs: Sequence[str] | None) -> Iterator[tuple[JobRow, list[AttemptRow]]]:
    if jobs is None:
        yield from reader.jobs_with_attempts()
        return
    for row in map(reader.job, jobs):
        if row is not None:
            yield row, reader.attempts_of([row.number])[row.number]


def _is_dirty(told: HostTraces, uid: str, host: Host) -> bool:
    return bool(told.processes) or any(_is_of(one.run, one.host, uid, host.name) and (one.left or not one.kept)
                                       for one in told.directories)


def _is_of(run: str, key: str, uid: str, host: str) -> bool:
    return run == uid and key == host_key(host)


def _made(reader: RunReader, uid: str, told: Mapping[str, HostTraces], jobs: Sequence[str] | None) -> Receipt:
    made = Receipt(len(told))
    living = {process.token for one in told.values() for process in one.processes if process.token}
    names, uids = dict[str, str](), set[str]()
    if living or jobs is not None:
        for job, attempts in _rows(reader, jobs):
            names.update((attempt.token, job.name) for attempt in attempts if attempt.token in living)
            uids.update(f"{attempt.job}.{attempt.n}" for attempt in attempts)
    kept = {job.name for job in reader.load(set(names.values())) if job.spec.leftovers == "keep"}
    for host, one in told.items():
        mine = [directory for directory in one.directories if _is_of(directory.run, directory.host, uid, host)]
        bases = {directory.base for directory in mine} if jobs is None else set[str]()
        before = made.processes
        for process in one.processes:
            job_name = names.get(process.token)
            if (job_name is not None and job_name not in kept) or process.base in bases:
                made.processes += 1
                if made.processes - before <= MOST_TOLD:
                    made.left.append(describe(process, job_name, host))
        if made.processes - before > MOST_TOLD:
            made.left.append(printable(f"and {made.processes - before - MOST_TOLD:,} more processes on {host}"))
        made.files += (sum(directory.left for directory in mine) if jobs is None else
                       sum(_FILES for directory in mine for attempt in directory.attempts if attempt.uid in uids))
    return made


def describe(process: ProcessTrace, job: str | None, host: str) -> str:
    """Return a line about a living process, with the reason why it cannot be killed if that is known."""
    text = f"process {process.pid} of {'the agent' if job is None else job} on {host}"
    if process.user is not None:
        text += f": it belongs to user {process.user}, whom we cannot signal"
    elif process.state == "D":
        text += ": it waits for a disk or a file server, and cannot be killed before"
    return printable(text)
