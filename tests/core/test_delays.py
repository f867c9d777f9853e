"""Jobs that wait before they are tried again, jobs that are tried elsewhere, and runs that end because too many fail."""

from __future__ import annotations

import random

import pytest

from sshjobs import JobSpec
from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.scheduling.delays import JITTER, LONGEST_DELAY, Delays, delay_before
from sshjobs.scheduling.failures import FailureLimit
from sshjobs.scheduling.schedule import Schedule


def failing(spec: JobSpec, *hosts: str, index: int = 0) -> Job:
    """Return a job that has failed on these hosts, one after the other."""
    job = Job(spec, index, f"j{index}")
    for host in hosts:
        job.new_attempt(host, "t").outcome = Outcome.FAILED
    return job


def schedule(*names: str, slots: int = 1, up: bool = True) -> Schedule:
    made = Schedule([Host(name) for name in names], random.Random(1))
    for name in names if up else ():
        made.host_up(name, slots)
    return made


# -- delays ------------------------------------------------------------------------------------------------------------

def test_a_delay_doubles_up_to_an_hour_and_is_never_shorter_than_that():
    spec = JobSpec("x", retry_delay=30, retries=1000)
    found = [delay_before(failing(spec, *"a" * ends)) or 0.0 for ends in range(1, 20)]
    plain = [min(30.0 * 2**n, LONGEST_DELAY) for n in range(19)]
    assert all(least <= delay <= least * (1 + JITTER) for least, delay in zip(plain, found, strict=True))
    assert (delay_before(failing(JobSpec("x", retry_delay=7200), "a", "a")) or 0) >= 7200, "what was asked for is no mistake"


def test_a_delay_is_the_same_for_every_manager_and_another_for_every_job():
    spec = JobSpec("x", retry_delay=30)
    delays = [[delay_before(failing(spec, "a", index=n)) for n in range(50)] for _ in range(2)]
    assert delays[0] == delays[1]
    assert len(set(delays[0])) == 50


@pytest.mark.parametrize(("outcome", "cause"), [
    (Outcome.LOST, None), (Outcome.NEVER_STARTED, Cause.TAKEN_BACK), (Outcome.FAILED, Cause.HOSTS_FAULT),
])
def test_what_is_nobodys_fault_is_tried_again_at_once(outcome, cause):
    job = failing(JobSpec("x", retry_delay=30), "a")
    attempt = job.new_attempt("a", "t")
    attempt.outcome, attempt.cause = outcome, cause
    assert delay_before(job) is None
    assert delay_before(failing(JobSpec("x"), "a")) is None


def test_jobs_are_due_in_their_order_and_each_once():
    rng, delays, expected = random.Random(3), Delays(), dict[Job, float]()
    jobs = [Job(JobSpec("x"), n) for n in range(50)]
    now = 0.0
    for _ in range(2000):
        job = rng.choice(jobs)
        match rng.random():
            case draw if draw < 0.5:
                expected[job] = now + rng.choice((0.0, 1.0, rng.uniform(0, 9)))
                delays.add(job, expected[job])
            case draw if draw < 0.7:
                assert delays.discard(job) is (expected.pop(job, None) is not None)
            case _:
                now += rng.uniform(0, 2)
                times = [expected.pop(one) for one in delays.take(now)]
                assert times == sorted(times) and all(at <= now for at in times)
                assert all(at > now for at in expected.values())
        assert delays.soonest() == min(expected.values(), default=None)
        assert len(delays) == len(expected)


def test_a_job_that_waits_for_its_time_holds_nobody_up():
    made = schedule("a")
    late, other = Job(JobSpec("x"), 0), Job(JobSpec("x"), 1)
    made.add(late, 5.0)
    made.add(other)
    assert made.next(0.0) == (other, "a")
    made.vacate("a", other)
    assert made.next(4.9) is None
    assert made.next(5.0) == (late, "a")


def test_a_job_that_waits_for_its_time_can_be_taken_out():
    made = schedule("a")
    late = Job(JobSpec("x"), 0)
    made.add(late, 5.0)
    assert made.remove(late) and not made.remove(late)
    assert made.next(9.0) is None


# -- elsewhere ---------------------------------------------------------------------------------------------------------

ELSEWHERE = JobSpec("x", retry_on="elsewhere", retries=9)


def test_a_job_waits_for_another_host_than_those_that_it_failed_on():
    made = schedule("a", "b", "c")
    job = failing(ELSEWHERE, "a", "b")
    blocker = Job(JobSpec("x"), 1)
    made.occupy("c", blocker)
    made.add(job)
    assert made.next() is None, "a and b are free"
    made.vacate("c", blocker)
    assert made.next() == (job, "c")
    assert not made._elsewhere and all(key[4] is None for key in made._lines._lines), "nothing of it is left"


def test_a_job_that_failed_everywhere_runs_anywhere():
    made = schedule("a", "b")
    job = failing(ELSEWHERE, "a", "b")
    assert not made.has_another_host(job)
    made.add(job)
    assert made.next() is not None


@pytest.mark.parametrize("how", ["down", "gone", "drained", "kept away", "removed"])
def test_a_job_whose_other_hosts_cannot_be_used_any_more_runs_where_it_can(how):
    made = schedule("a", "b")
    made.occupy("b", Job(JobSpec("x"), 1))
    job = failing(ELSEWHERE, "a")
    made.add(job)
    assert made.next() is None
    match how:
        case "down" | "gone":
            made.host_down("b", lasting=how == "gone")
        case "drained":
            made.drain("b", True)
        case "kept away":
            made.keep_away("b", True)
        case "removed":
            made.remove_host("b")
    assert made.next() == (job, "a")


def test_a_host_that_nobody_has_heard_of_yet_is_waited_for():
    made = schedule("a", "b", up=False)
    made.host_up("a", 1)
    job = failing(ELSEWHERE, "a")
    made.add(job)
    assert made.next() is None
    made.host_up("b", 1)
    assert made.next() == (job, "b")


def test_what_waits_for_another_host_keeps_to_its_limit_and_can_be_taken_out():
    spec = JobSpec("x", name="x", retry_on="elsewhere", retries=9, max_parallel=1)
    made = schedule("a", "b", slots=2)
    first, second = failing(spec, "a"), failing(spec, "a", index=1)
    made.add(first)
    made.add(second)
    assert made.next() == (first, "b")
    assert made.next() is None
    made.vacate("b", first)
    assert made.remove(second)
    assert made.next() is None and made.waiting == 0
    assert all(key[4] is None for key in made._lines._lines)


def test_jobs_without_a_word_about_it_run_where_there_is_room():
    made = schedule("a")
    job = failing(JobSpec("x", retries=3), "a")
    made.add(job)
    assert made.next() == (job, "a")


# -- how many may fail -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("limit", "failed", "total", "exceeded"), [
    (0, 0, 5, False), (0, 1, 5, True), (2, 2, 5, False), ("2", 3, 5, True), ("10%", 10, 100, False),
    ("10%", 11, 100, True),
    ("10 %", 1, 9, True), ("2.5%", 25, 1000, False), ("100%", 7, 7, False), ("0%", 1, 1_000_000, True),
])
def test_how_many_may_fail(limit, failed, total, exceeded):
    assert FailureLimit.of(limit).is_exceeded(failed, total) is exceeded
    assert FailureLimit.of(str(FailureLimit.of(limit))) == FailureLimit.of(limit)


@pytest.mark.parametrize("limit", ["", "-1", "101%", "1.5", "x", "10%%", True, 2.0, None, 10**9, "٣"])
def test_what_no_limit_can_be(limit):
    with pytest.raises(ValueError, match=r"10%"):
        FailureLimit.of(limit)
