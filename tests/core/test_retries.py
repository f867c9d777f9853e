"""Which jobs are tried again, by what they ended of, and what the next attempt gets."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from sshjobs import JobSpec, UsageError
from sshjobs.model.causes import Cause
from sshjobs.model.given import LONGEST_S
from sshjobs.model.sizes import MAX_MEMORY, format_memory, parse_memory
from sshjobs.model.spec import Job
from sshjobs.model.states import JOB_OUTCOMES, Outcome
from sshjobs.network.session.attempts import ended_from
from sshjobs.scheduling.retries import launched_with, retry_wanted

GIB = 1 << 30
BY_OUTCOME: dict[str, Any] = {"failed": 1, "out_of_memory": {"times": 2, "memory": "x2"},
                              "timed_out": {"times": 1, "timeout": "x3"}}


def ended(spec: JobSpec, *outcomes: str, cause: Cause | None = None) -> Job:
    """Return a job whose attempts ended so, the last of them by a cause."""
    job = Job(spec)
    for n, outcome in enumerate(outcomes):
        job.new_attempt("a", str(n)).outcome = Outcome(outcome)
    if cause is not None:
        job.attempts[-1].cause = cause
    return job


@pytest.mark.parametrize(("outcomes", "wanted"), [
    ("failed", True), ("failed failed", False), ("out_of_memory", True), ("out_of_memory out_of_memory", True),
    ("out_of_memory out_of_memory out_of_memory", False), ("timed_out", True), ("timed_out timed_out", False),
    ("signalled", False), ("failed out_of_memory timed_out out_of_memory", True), ("lost", True),
    ("lost lost failed", True), ("failed out_of_memory failed", False),
])
def test_each_outcome_counts_for_itself(outcomes, wanted):
    job = ended(JobSpec("true", memory=GIB, timeout=10, retries=BY_OUTCOME), *outcomes.split())
    assert retry_wanted(job, Outcome(outcomes.split()[-1])) is wanted


def test_no_sequence_of_ends_has_more_attempts_than_were_asked_for():
    spec = JobSpec("true", memory=GIB, retries={"failed": 2, "signalled": 1, "out_of_memory": {"times": 1, "memory": "x2"}})
    for outcomes in itertools.product(sorted(JOB_OUTCOMES), repeat=6):
        job = Job(spec)
        for n, outcome in enumerate(outcomes):
            job.new_attempt("a", str(n)).outcome = outcome
            if not retry_wanted(job, outcome):
                break
        counts = {word: sum(attempt.outcome == word for attempt in job.attempts[:-1]) for word in JOB_OUTCOMES}
        assert counts[Outcome.FAILED] <= 2 and counts[Outcome.SIGNALLED] <= 1 and counts[Outcome.OUT_OF_MEMORY] <= 1
        assert counts[Outcome.TIMED_OUT] == 0 and len(job.attempts) <= 5


def test_the_next_attempt_gets_more_of_what_the_one_before_lacked():
    spec = JobSpec("true", memory=GIB, timeout=10, retries=BY_OUTCOME)
    job = ended(spec, "out_of_memory", "timed_out", "out_of_memory", "failed")
    job.new_attempt("a", "last")
    with_ = [launched_with(job, attempt) for attempt in job.attempts]
    assert [(one.memory, one.timeout) for one in with_] == [
        (GIB, 10), (2 * GIB, 10), (2 * GIB, 30), (4 * GIB, 30), (4 * GIB, 30)]
    assert (spec.memory, spec.timeout) == (GIB, 10), "what the job says stays"


def test_what_hosts_did_makes_nothing_grow():
    spec = JobSpec("true", memory=GIB, retries={"failed": {"times": 5, "memory": "x2"}})
    job = ended(spec, "lost", "failed", cause=Cause.HOSTS_FAULT)
    assert launched_with(job, job.new_attempt("a", "next")).memory == GIB


def test_what_grows_has_a_bound():
    spec = JobSpec("true", memory=GIB, timeout=10, retries={"failed": {"times": 1000, "memory": "x100", "timeout": "x100"}})
    job = ended(spec, *["failed"] * 999)
    last = launched_with(job, job.new_attempt("a", "next"))
    assert (last.memory, last.timeout) == (MAX_MEMORY, LONGEST_S)
    # A person may have it tried again more often than that.
    job = ended(JobSpec("true", memory=GIB, retries={"failed": {"times": 1, "memory": "x2"}}), *["failed"] * 4)
    assert launched_with(job, job.new_attempt("a", "next")).memory == 2 * GIB


@pytest.mark.parametrize(("retries", "complaint"), [
    ({"oom": 1}, "did you mean out_of_memory"), ({"lost": 1}, "host_retries"), ({"failed": -1}, "0 to 1,000"),
    ({"failed": True}, "0 to 1,000"), ({"failed": {"tries": 1}}, "no 'tries'"), ({"failed": {"memory": "2"}}, "x2"),
    ({"timed_out": {"timeout": "x0.5"}}, "x1 to x100"), ({"timed_out": {"timeout": float("nan")}}, "x1 to x100"),
    ({"timed_out": {"timeout": "x1000"}}, "x1 to x100"), ("2", "whole number"), (1001, "1,000"), ([1], "whole number"),
    ({"failed": {"memory": "x2"}}, "says no memory"),
])
def test_what_cannot_be_is_told(retries, complaint):
    with pytest.raises(UsageError, match=complaint):
        JobSpec("true", retries=retries)


@pytest.mark.parametrize(("text", "size"), [
    ("512M", 512 << 20), ("4G", 4 * GIB), ("4GiB", 4 * GIB), ("4 gb", 4 * GIB), ("1.5g", 3 * GIB // 2), ("1T", 1 << 40),
    ("1048576", 1 << 20), (GIB, GIB), ("1024K", 1 << 20),
])
def test_sizes_of_memory(text, size):
    assert parse_memory(text) == size
    assert parse_memory(format_memory(size)) == size


@pytest.mark.parametrize("text", ["4", "0", "-4G", "4X", "", "G", "1e9", "2000T", True, 0.5, None, "٤G", "9" * 17])
def test_what_is_no_size_of_memory(text):
    with pytest.raises(ValueError, match="memory|size|at least|at most|must be"):
        parse_memory(text)


@pytest.mark.parametrize(("ok", "status", "outcome"), [
    (None, 0, "succeeded"), (None, 2, "failed"), ([0, 2], 0, "succeeded"), ([0, 2], 2, "succeeded"), ([0, 2], 1, "failed"),
    ([2], 0, "failed"), ([255], 255, "succeeded"),
])
def test_which_exit_status_is_a_success(ok, status, outcome):
    frame: dict[str, Any] = dict.fromkeys("started ended msg cpu rss signal".split()) | {
        "id": "1.1", "why": "exited", "status": status, "out": 0, "err": 0}
    end = ended_from(frame, JobSpec("x", ok_exit=ok).ok_exit)
    assert (str(end.outcome), end.status) == (outcome, status)
