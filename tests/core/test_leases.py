"""When a manager takes a lease for over, and for which jobs."""

from __future__ import annotations

import pytest

from sshjobs.errors import HostError, UsageError
from sshjobs.model.causes import Cause, explain
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_ERROR, Outcome
from sshjobs.network.session.attempts import ended_from, launch_spec
from sshjobs.scheduling.hostwatch import HostWatch
from sshjobs.scheduling.retries import may_be_lost
from sshjobs.scheduling.schedule import Schedule
from tests.hints import tries

FACTS = {"machine": "m", "boot": "b", "pidns": 1}
AWAY = HostError("timeout", "h", "nothing came for a while")


def test_a_lease_counts_from_when_its_host_was_found_to_be_away_with_a_margin():
    watch = HostWatch(["h"])
    assert not watch.lease_is_over("h", 600.0, 1e9)
    watch.down("h", AWAY, 1000.0)
    watch.down("h", AWAY, 1500.0)
    assert watch.away() == ["h"]
    assert not watch.lease_is_over("h", 600.0, 1000.0 + 689.0)
    assert watch.lease_is_over("h", 600.0, 1000.0 + 691.0)


def test_a_host_that_was_there_in_between_is_counted_anew():
    watch = HostWatch(["h"])
    watch.down("h", AWAY, 1000.0)
    watch.up("h", FACTS)
    assert not watch.lease_is_over("h", 600.0, 1e9)
    watch.down("h", AWAY, 2000.0)
    assert not watch.lease_is_over("h", 600.0, 2000.0 + 689.0)


def test_a_job_is_lost_for_its_lease_only_where_it_would_be_tried_again():
    def job(*outcomes: Outcome, **keys: object) -> Job:
        made = Job(JobSpec(["x"], lease=600.0, **keys))  # type: ignore[arg-type]
        for outcome in outcomes:
            attempt = made.new_attempt("h", "t")
            attempt.state, attempt.outcome = STATE_ERROR, outcome
        made.new_attempt("h", "t")
        return made
    assert may_be_lost(job())
    assert may_be_lost(job(Outcome.LOST, host_retries=2))
    assert may_be_lost(job(Outcome.FAILED, Outcome.FAILED, host_retries=1))
    assert not may_be_lost(job(Outcome.LOST, host_retries=1))
    assert not may_be_lost(job(host_retries=0))
    assert not may_be_lost(job(once=True))


@pytest.mark.parametrize("msg", [None, "its lease of 30m ran out while no manager was there"])
def test_an_end_by_lease_is_the_hosts(msg):
    frame = {"id": "1.1", "why": "lease", "status": None, "signal": 15, "started": 1.0, "ended": 2.0, "msg": msg,
             "cpu": None, "rss": None, "out": 0, "err": 0}
    end = ended_from(frame)
    assert (end.outcome, end.signal) == (Outcome.LOST, None)
    assert end.cause is Cause.LEASE
    assert "lease" in (explain(end.cause, end.reason) or "")


def test_a_launch_says_nothing_of_a_lease_that_a_job_has_not():
    assert "lease" not in launch_spec(JobSpec(["x"]))
    assert launch_spec(JobSpec(["x"], lease=60.0))["lease"] == 60.0


ARRAY = Host("slurm1-1", slurm=(("mode", "array"),))


def test_a_job_with_a_lease_runs_on_no_host_where_a_scheduler_carries_it_out_by_itself() -> None:
    job = Job(JobSpec("x", name="leased", lease=60.0), 1)
    schedule = Schedule([ARRAY, Host("lab1")])
    schedule.check(job)
    schedule.add(job)
    schedule.host_up("slurm1-1", 1000)
    assert schedule.next() is None
    schedule.add_host(Host("slurm2-1", slurm=(("mode", "own"),)))
    schedule.host_up("slurm2-1", 1000)
    assert schedule.next() is None
    schedule.host_up("lab1", 1)
    assert schedule.next() == (job, "lab1")


@tries("leave lease out, or name another host")
def test_a_job_with_a_lease_that_only_such_hosts_could_have_is_refused() -> None:
    schedule = Schedule([ARRAY, Host("lab1")])
    for spec in (JobSpec("x", name="leased", lease=60.0, hosts=["slurm1-1"]), JobSpec("x", name="leased", lease=60.0, hosts=["slurm*"])):
        with pytest.raises(UsageError, match="leased: a scheduler that carries out each job by itself knows no lease"):
            schedule.check(Job(spec, 1))
    schedule.check(Job(JobSpec("x", name="free", hosts=["slurm1-1"]), 2))
    schedule.check(Job(JobSpec("x", name="leased", lease=60.0, hosts=["slurm1-1", "lab1"]), 4))
    with pytest.raises(UsageError, match="no host matches gone"):
        schedule.check(Job(JobSpec("x", name="leased", lease=60.0, hosts=["gone"]), 3))
