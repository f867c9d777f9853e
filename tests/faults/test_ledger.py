"""The checker itself: it must see what it is there for."""

from __future__ import annotations

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.store import ManagerIdentity, RunStore
from sshjobs.store.rundir import create_run
from tests.faults import ledger


@pytest.fixture
def told(tmp_path):
    """A run of two jobs that both succeeded as the store tells it, and what their ledgers say."""
    made = ledger.Jobs()
    made.add("one", ["note end"], stdout=b"out\n")
    made.add("two", ["note end"], stdout=b"out\n")
    paths = create_run(tmp_path, name="run")
    jobs = [Job(JobSpec(["true"]), n, name) for n, name in enumerate(made.expected)]
    store = RunStore.create(paths, uid="0" * 32, name="run", jobs=jobs, hosts=[Host("h")], options={}, created=0.0)
    store.take_over(ManagerIdentity.this_process())
    lines = []
    for job in jobs:
        attempt = job.new_attempt("h", f"token{job.index}")
        attempt.state, attempt.outcome, attempt.exit_status = "done", Outcome.SUCCEEDED, 0
        job.state, job.outcome, job.exit_status = "done", Outcome.SUCCEEDED, 0
        store.touch(job)
        store.touch_attempt(job, attempt)
        paths.job(job.name).mkdir(parents=True)
        paths.stdout(job.name).write_bytes(b"out\n")
        paths.stderr(job.name).write_bytes(b"")
        lines += [ledger.Line(what, "run", job.name, 1, attempt.token, at, "boot", "h")
                  for what, at in (("start", 1.0), ("end", 2.0))]
    store.commit()
    store.close(0.0)
    return paths, made, lines


def test_a_run_that_is_told_as_it_was_has_no_findings(told):
    found = ledger.check(*told)
    assert found.bad == []
    assert (found.jobs, found.starts, found.repeated) == (2, 2, 0)


def test_a_second_start_of_an_attempt_is_doubled(told):
    paths, made, lines = told
    assert ledger.check(paths, made, [*lines, lines[0]]).doubled


def test_a_start_that_the_store_does_not_know_is_unexpected_and_doubled(told):
    paths, made, lines = told
    found = ledger.check(paths, made, [*lines, lines[0]._replace(attempt=2)])
    assert found.unexpected and found.doubled


def test_a_success_that_never_ran_is_told_wrong(told):
    paths, made, lines = told
    assert ledger.check(paths, made, lines[:2]).wrong


def test_a_success_without_its_end_is_told_wrong(told):
    paths, made, lines = told
    assert ledger.check(paths, made, lines[:3]).wrong


def test_a_job_that_is_not_in_the_store_is_lost(told):
    paths, made, lines = told
    made.add("three", [])
    assert ledger.check(paths, made, lines).lost


def test_output_that_lacks_a_byte_is_found(told):
    paths, made, lines = told
    paths.stdout("one").write_bytes(b"out")
    assert ledger.check(paths, made, lines).digests


def test_an_end_other_than_expected_is_told_wrong(told):
    paths, made, lines = told
    made.add("one", [], outcome="failed", exit_status=3, stdout=b"out\n")
    assert ledger.check(paths, made, lines).wrong
