"""``sshjobs verify``: whether store, files and hosts agree about a run. Changes nothing, anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sshjobs.audit.files import FileCheck
from sshjobs.audit.findings import Disagreement
from sshjobs.audit.hosts import HostCheck
from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, STATE_UNKNOWN
from sshjobs.network.traces import HostTraces, survey
from sshjobs.store import RunReader, Summary
from sshjobs.store.ownership import check_own
from sshjobs.store.rundir import RunPaths

#: How often a run that a manager works on is looked at, and the pause between the looks, in seconds: what the manager
#: is just about to store agrees at the next look.
LOOKS, PAUSE = 3, 0.5


@dataclass
class Report:
    """What an audit of a run has found.

    :ivar hosts: how many hosts were asked
    :ivar files: how many outputs were compared
    :ivar unsummed: how many of them were compared by their size only
    :ivar attended: a manager works on the run
    :ivar kept: how many directories jobs keep on hosts on purpose
    :ivar moving: how many jobs are on hosts, and therefore were not compared completely
    """

    run: str
    jobs: int = 0
    hosts: int = 0
    files: int = 0
    unsummed: int = 0
    attended: bool = False
    moving: int = 0
    kept: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)


def verify(paths: RunPaths, word: str, *, ask_hosts: bool = True,
           pause: Callable[[float], None] = time.sleep) -> Report:
    """Compare the store of a run with itself, with the files of the run directory, and with what hosts tell.

    Where a manager works on the run, a disagreement counts only if it is found in each of several looks.

    :param word: what to type for the run in the commands of the hints
    :raises StoreError: the store cannot be read
    :raises NotYoursError: the run belongs to another user
    """
    check_own(paths)
    with RunReader.open(paths) as reader:
        report, found = _look(reader, word, ask_hosts)
        for _ in range(LOOKS - 1):
            if not found or not report.attended:
                break
            pause(PAUSE)
            report, again = _look(reader, word, ask_hosts)
            found = {one: None for one in found if one in again}
    report.disagreements = list(found)
    return report


def _look(reader: RunReader, word: str, ask_hosts: bool) -> tuple[Report, dict[Disagreement, None]]:
    found: dict[Disagreement, None] = {}
    summary = reader.summary()
    told: dict[str, HostTraces] = {}
    if ask_hosts:
        # Hosts are asked before the store is read: whatever a host has was in the store before.
        told = _ask(reader, summary, found)
    with reader.snapshot():
        summary = reader.summary()
        report = Report(summary.run, summary.total, len(told), attended=_attended(summary))
        for text in reader.contradictions():
            found[Disagreement(str(reader.paths.store), text, "the store contradicts itself",
                               "bring run.db back from a copy")] = None
        files = FileCheck(reader.paths, word, reader.brought)
        hosts = HostCheck(summary.uid, told, attended=report.attended, over=_is_over(summary), word=word)
        for job, attempts in reader.jobs_with_attempts():
            report.moving += job.state in (STATE_BUSY, STATE_UNKNOWN)
            _note(found, files.job(job, attempts), hosts.job(job, attempts))
        setups = reader.setups()
        files.setups(setups)
        hosts.setups(setups)
        _note(found, files.rest(), hosts.rest(), _survivors(reader, hosts))
    report.files, report.unsummed, report.kept = files.files, files.unsummed, hosts.kept
    return report, found


def _note(found: dict[Disagreement, None], *sources: Iterable[Disagreement]) -> None:
    for source in sources:
        found.update(dict.fromkeys(source))


def _survivors(reader: RunReader, hosts: HostCheck) -> Iterator[Disagreement]:
    """Yield the processes that outlived their jobs, except those that a job keeps on purpose."""
    for job in reader.load(hosts.survivors):
        if job.spec.leftovers != "keep":
            yield from hosts.survivors[job.name]


def _ask(reader: RunReader, summary: Summary, found: dict[Disagreement, None]) -> dict[str, HostTraces]:
    hosts = hosts_of_run(reader)
    told: dict[str, HostTraces] = {}
    answers = survey(hosts, summary.uid, transport=summary.options.get("transport"),
                     ssh_config=summary.options.get("ssh_config"),
                     accept_new_host_keys=bool(summary.options.get("accept_new_host_keys")))
    for host, answer in zip(hosts, answers, strict=True):
        if isinstance(answer, HostError):
            why = str(answer).removeprefix(f"{host.name}: ")
            found[Disagreement(host.name, "could not be asked", why, "or leave hosts out: --no-hosts")] = None
        else:
            told[host.name] = answer
    return told


def hosts_of_run(reader: RunReader) -> list[Host]:
    """Return the hosts that may have something of a run and that can be asked. Nodes of an allocation are left out:
    only their run can reach them, and what ran there ended with it."""
    in_use = reader.hosts_in_use()
    return [row.host for row in reader.hosts()
            if not row.host.slurm and (not row.host.removed or row.host.name in in_use)]


def _attended(summary: Summary) -> bool:
    return summary.state == "running" or (summary.manager is not None and summary.until is None
                                          and summary.manager.is_alive())


def _is_over(summary: Summary) -> bool:
    left = any(number for state, number in summary.counts.items() if state not in FINAL_STATES)
    return not left and not summary.options.get("stays_open")
