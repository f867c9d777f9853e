"""A host behind a network that is really cut: it ends jobs with a lease by itself, and they run elsewhere."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_DONE, STATE_UNKNOWN, Outcome
from sshjobs.network import Network
from sshjobs.running.manager import Manager
from sshjobs.scheduling import hostwatch
from tests.lab import BaseLab, LabHost

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and nft need root")]

LEASE = 6.0
#: Stays for ever at the first attempt, and leaves its mark in both.
COMMANDS = ['echo "$SSHJOBS_ATTEMPT" >> ~/ledger-$SSHJOBS_JOB', 'test "$SSHJOBS_ATTEMPT" -gt 1 || setsid sleep 600']


@pytest.fixture(autouse=True)
def shorter_margin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time for TERM and KILL, and for a busy machine; not for the clocks of other people's hosts."""
    monkeypatch.setattr(hostwatch, "LEASE_MARGIN", 9.0)


def drive(manager: Manager, until: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Let a manager work until something holds."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"waited in vain for {what}: {manager.jobs.objects}"
        manager.turn()


def begin(lab: BaseLab, results: str, *specs: JobSpec) -> tuple[Manager, list[Job]]:
    """Start a run and wait until every job of it runs."""
    manager = Manager(0.2)
    manager.Setup(list(specs), Network(results, lab.names, slots=2, ssh_config=str(lab.ssh_config)))
    jobs = list(manager.jobs.objects)
    drive(manager, lambda: all(job.attempts and job.attempts[-1].started for job in jobs), "all jobs to run")
    return manager, jobs


def kill_agent(host: LabHost, token: str) -> None:
    """kill -9 of the agent above the runner above a job."""
    found = {process.pid: process for process in host.processes()}
    (runner,) = {process.parent for process in found.values()
                 if process.carries(token) and not found[process.parent].carries(token)}
    os.kill(found[runner].parent, signal.SIGKILL)


@pytest.mark.parametrize("agent_too", [False, True], ids=["cut", "cut and its agent killed"])
def test_a_job_of_a_host_that_is_cut_off_runs_elsewhere_and_never_on_both(fresh_lab, clean_home, tmp_path, agent_too):
    lab = fresh_lab(hosts=2)
    manager, (leased,) = begin(lab, str(tmp_path), JobSpec(COMMANDS, name="leased", lease=LEASE))
    first = leased.attempts[0]
    host = lab.host(first.host)
    assert host.pids_with(first.token)
    if agent_too:
        kill_agent(host, first.token)
    host.cut("drop")
    drive(manager, lambda: leased.state == STATE_UNKNOWN, "the host to be missed")
    drive(manager, lambda: len(leased.attempts) > 1, "another attempt")
    # At the very moment at which the manager takes it for over: so it was.
    assert host.pids_with(first.token) == []
    assert (first.outcome, first.reason) == (Outcome.LOST, "its lease of 6s ran out while its host was away")
    host.heal()
    drive(manager, lambda: leased.state == STATE_DONE, "the end of the job")
    drive(manager, lambda: manager.schedule.hosts.is_up(first.host), "the host to come back")
    manager.ProcessJobs()
    assert [attempt.outcome for attempt in leased.attempts] == [Outcome.LOST, Outcome.SUCCEEDED]
    assert leased.attempts[1].host != first.host
    assert (host.home / "ledger-leased").read_text() == "1\n"


def test_jobs_without_a_lease_or_with_once_wait_for_their_host(fresh_lab, clean_home, tmp_path):
    lab = fresh_lab(hosts=2)
    specs = [JobSpec([*COMMANDS[:1], "sleep 600"], name=f"job-{n}", lease=lease, once=once, hosts=[lab.names[0]])
             for n, (lease, once) in enumerate([(None, False), (LEASE, True)])]
    manager, (plain, once) = begin(lab, str(tmp_path), *specs)
    host = lab.host(lab.names[0])
    host.cut("drop")
    drive(manager, lambda: not host.pids_with(once.attempts[0].token), "the host to end it")
    over = time.monotonic() + LEASE * hostwatch.LEASE_DRIFT + hostwatch.LEASE_MARGIN
    drive(manager, lambda: time.monotonic() > over, "the time after which it would be taken for over")
    assert (plain.state, once.state) == (STATE_UNKNOWN, STATE_UNKNOWN)
    assert host.pids_with(plain.attempts[0].token)
    host.heal()
    drive(manager, lambda: once.outcome is not None, "the host's own word")
    assert (once.outcome, once.reason) == (Outcome.LOST, "its lease of 6s ran out while no manager was there")
    manager.cancel([plain])
    manager.ProcessJobs()
    assert (plain.outcome, len(plain.attempts), len(once.attempts)) == (Outcome.CANCELLED, 1, 1)
