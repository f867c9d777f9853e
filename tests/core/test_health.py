"""Which hosts are black holes, and which only have bad luck."""

from __future__ import annotations

import pytest

from sshjobs.model.attempt import Attempt
from sshjobs.model.causes import Cause
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.scheduling.health import FIRST_PAUSE, PATIENCE, HostHealth


def end(host: str, outcome: str = "failed", seconds: float = 0.01) -> tuple[Job, Attempt]:
    job = Job(JobSpec("true"))
    attempt = job.new_attempt(host, "token")
    attempt.outcome, attempt.exit_status = Outcome(outcome), 127
    attempt.started, attempt.ended = 100.0, 100.0 + seconds
    return job, attempt


def health(passes_elsewhere: int = 20) -> HostHealth:
    made = HostHealth(["good", "bad"], lambda job, host: True)
    for _ in range(passes_elsewhere):
        made.note(*end("good", "succeeded"), now=0.0)
    return made


def again(job: Job, outcome: str, host: str = "good") -> tuple[Job, Attempt]:
    attempt = job.new_attempt(host, "token")
    attempt.outcome, attempt.started, attempt.ended = Outcome(outcome), 200.0, 200.01
    return job, attempt


def suspect(made: HostHealth) -> list[Job]:
    ends = [end("bad") for _ in range(5)]
    assert [list(made.note(*one, now=0.0)) for one in ends] == [[], [], [], [], [ends[4][0]]]
    assert made.is_suspect("bad") and made.reason("bad") is None
    return [job for job, _ in ends]


def test_a_row_of_fast_failures_makes_a_host_suspect_and_a_pass_elsewhere_proves_it():
    made = health()
    jobs = suspect(made)
    assert list(made.note(*again(jobs[4], "succeeded"), now=0.0)) == jobs[:4]
    assert "5 jobs in a row" in (made.reason("bad") or "")
    assert made.reason("good") is None


def test_a_host_is_cleared_when_the_job_fails_elsewhere_too():
    made = health()
    jobs = suspect(made)
    assert made.note(*again(jobs[4], "failed"), now=0.0) == {}
    assert not made.is_suspect("bad")
    for _ in range(5):
        assert made.note(*end("bad"), now=0.0) == {}
    assert not made.is_suspect("bad")


@pytest.mark.parametrize("between", [("succeeded", 0.01), ("failed", 60.0)])
def test_one_job_that_ran_breaks_the_row(between):
    made = health()
    for _ in range(10):
        made.note(*end("bad"), now=0.0)
        made.note(*end("bad"), now=0.0)
        made.note(*end("bad", *between), now=0.0)
    assert not made.is_suspect("bad")


def test_one_job_that_fails_again_and_again_is_one_job():
    made = health()
    job, attempt = end("bad")
    made.note(job, attempt, 0.0)
    for _ in range(20):
        made.note(*again(job, "failed", "bad"), now=0.0)
    assert not made.is_suspect("bad")


def test_where_jobs_fail_as_often_elsewhere_the_host_is_not_suspect():
    made = health()
    for _ in range(400):
        made.note(*end("good"), now=0.0)
    for _ in range(8):
        made.note(*end("bad"), now=0.0)
    assert not made.is_suspect("bad")


def test_without_another_host_nobody_can_tell():
    made = HostHealth(["bad"], lambda job, host: False)
    for _ in range(50):
        made.note(*end("bad"), now=0.0)
    assert not made.is_suspect("bad")


def test_a_canary_goes_alone_and_a_pass_ends_the_quarantine():
    made = health()
    made.note(*again(suspect(made)[4], "succeeded"), now=0.0)
    assert made.canary_due(FIRST_PAUSE - 1) == []
    assert made.canary_due(FIRST_PAUSE) == ["bad"]
    job, attempt = end("bad")
    made.send_canary("bad", job)
    assert made.canary_due(FIRST_PAUSE) == []
    assert list(made.note(job, attempt, FIRST_PAUSE)) == [job]
    assert made.canary_due(2 * FIRST_PAUSE) == ["bad"]
    job, attempt = end("bad", "succeeded")
    made.send_canary("bad", job)
    assert made.note(job, attempt, 3 * FIRST_PAUSE) == {}
    assert not made.is_suspect("bad")
    assert made.canary_due(1e9) == []


def test_a_suspect_host_is_not_forgotten_when_the_job_elsewhere_takes_long():
    made = health()
    suspect(made)
    assert made.canary_due(PATIENCE - 1) == []
    assert made.canary_due(PATIENCE) == ["bad"]


def row_until_suspect(made: HostHealth) -> int:
    """Fail new jobs on a host until it is suspect, and return how many that took."""
    for number in range(1, 100):
        if made.note(*end("bad"), now=0.0):
            return number
    raise AssertionError("it never is")


def test_each_time_that_a_host_is_cleared_it_takes_twice_as_many_to_arouse_suspicion():
    made = health(5000)
    counts = []
    for _ in range(4):
        counts.append(row_until_suspect(made))
        (job,) = [job for job, host in made._probes.items() if host == "bad"]
        made.note(*again(job, "failed"), now=0.0)
    assert counts == [3, 6, 12, 24]
    made.trust("bad")
    assert row_until_suspect(made) == 3
    made.forgive("bad")
    assert row_until_suspect(made) == 6


def test_a_host_that_is_full_gets_a_canary_after_a_while_that_doubles_and_a_start_makes_room():
    made = health()
    now, pauses = 0.0, []
    for _ in range(6):
        job, attempt = end("bad", "never_started")
        attempt.cause = Cause.NO_ROOM
        made.send_canary("bad", job)
        assert made.note(job, attempt, now) == {}
        assert made.full("bad") and made.reason("bad") is None and made.is_suspect("bad")
        due = next(later for later in range(1000) if made.canary_due(now + later) == ["bad"])
        pauses.append(due)
        now += due
    assert pauses == [1, 2, 4, 8, 15, 15]
    job, attempt = end("bad")
    made.send_canary("bad", job)
    assert made.canary_due(now + 100) == [], "one at a time"
    made.note_start(job, attempt)
    assert made.full("bad") is None and not made.is_suspect("bad") and made.canary_due(1e9) == []
    other, attempt = end("bad", "never_started")
    attempt.cause = Cause.NO_ROOM
    made.note(other, attempt, now)
    assert made.canary_due(now) == [] and made.canary_due(now + 1) == ["bad"], "what still runs there was no canary any more"


def test_the_canaries_of_a_quarantined_host_come_after_pauses_that_double():
    made = health()
    made.note(*again(suspect(made)[4], "succeeded"), now=0.0)
    now, pauses = 0.0, []
    for _ in range(9):
        due = next(later for later in range(0, 10_000, 10) if made.canary_due(now + later) == ["bad"])
        pauses.append(due)
        now += due
        job, attempt = end("bad")
        made.send_canary("bad", job)
        assert list(made.note(job, attempt, now)) == [job]
    assert pauses == [10, 10, 20, 40, 80, 160, 320, 600, 600]
    made.trust("bad")
    assert not made.is_suspect("bad") and made.canary_due(1e9) == []


def test_what_shows_that_a_host_can_run_jobs_is_any_that_took_two_seconds():
    for seconds, breaks in ((1.99, False), (2.0, True)):
        made = health(5000)
        for _ in range(2):
            assert made.note(*end("bad"), now=0.0) == {}
        made.note(*end("bad", "failed", seconds), now=0.0)
        assert made.is_suspect("bad") is not breaks


def test_an_end_tells_of_its_host_and_of_a_suspect_one_where_the_job_failed_before():
    made = health()
    job = suspect(made)[4]
    assert made.concerned(*end("good")) == ["good"]
    assert made.concerned(job, job.new_attempt("good", "token")) == ["good", "bad"]
    assert made.concerned(job, job.new_attempt("bad", "token")) == ["bad"]
    made.remove("bad")
    assert made.concerned(job, job.new_attempt("good", "token")) == ["good"]
