"""Which hosts are black holes, and which only have bad luck."""

from __future__ import annotations

import pytest

from sshjobs.health import FIRST_PAUSE, HostHealth
from sshjobs.spec import Job, JobSpec
from sshjobs.states import Outcome


def end(host: str, outcome: str = "failed", seconds: float = 0.01):
    job = Job(JobSpec("true"))
    attempt = job.new_attempt(host, "token")
    attempt.outcome, attempt.exit_status = Outcome(outcome), 127
    attempt.started, attempt.ended = 100.0, 100.0 + seconds
    return job, attempt


def health(passes_elsewhere: int = 20) -> HostHealth:
    made = HostHealth(["good", "bad"])
    for _ in range(passes_elsewhere):
        made.note(*end("good", "succeeded"), 0.0)
    return made


def test_a_row_of_fast_failures_while_jobs_pass_elsewhere_is_the_hosts_fault():
    made = health()
    ends = [end("bad") for _ in range(3)]
    assert [made.note(*one, 0.0) for one in ends] == [[], [], [job for job, _ in ends]]
    assert "3 jobs in a row" in (made.reason("bad") or "")
    assert made.reason("good") is None


@pytest.mark.parametrize("between", [("succeeded", 0.01), ("failed", 60.0)])
def test_one_job_that_ran_breaks_the_row(between):
    made = health()
    for _ in range(10):
        made.note(*end("bad"), 0.0)
        made.note(*end("bad"), 0.0)
        made.note(*end("bad", *between), 0.0)
    assert made.reason("bad") is None


def test_where_jobs_fail_as_often_elsewhere_the_host_is_not_blamed():
    made = health()
    for _ in range(400):
        made.note(*end("good"), 0.0)
    for _ in range(8):
        made.note(*end("bad"), 0.0)
    assert made.reason("bad") is None


def test_without_another_host_nobody_can_tell():
    made = HostHealth(["bad"])
    for _ in range(50):
        made.note(*end("bad"), 0.0)
    assert made.reason("bad") is None


def test_a_canary_goes_alone_and_a_pass_ends_the_quarantine():
    made = health()
    for _ in range(3):
        made.note(*end("bad"), 0.0)
    assert made.canary_due(FIRST_PAUSE - 1) == []
    assert made.canary_due(FIRST_PAUSE) == ["bad"]
    job, attempt = end("bad")
    made.send_canary("bad", job)
    assert made.canary_due(FIRST_PAUSE) == []
    assert made.note(job, attempt, FIRST_PAUSE) == [job]
    assert made.canary_due(2 * FIRST_PAUSE) == ["bad"]
    job, attempt = end("bad", "succeeded")
    made.send_canary("bad", job)
    assert made.note(job, attempt, 3 * FIRST_PAUSE) == []
    assert made.reason("bad") is None
    assert made.canary_due(1e9) == []
