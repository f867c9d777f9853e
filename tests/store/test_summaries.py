"""What is told of a run in numbers, and its failed jobs one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshjobs.model.states import STATE_UNKNOWN, Outcome
from sshjobs.store import RunReader
from sshjobs.store.failed import FailureReader
from tests.store.helpers import CREATED, finish, launch, make_jobs, make_store


def test_a_failed_job_is_found_by_its_number_and_no_other_is(tmp_path: Path) -> None:
    jobs = make_jobs(6)
    store = make_store(tmp_path, jobs)
    for job in jobs[1:]:
        launch(store, job)
    finish(store, jobs[1])
    for job in jobs[2:4]:
        finish(store, job, Outcome.FAILED)
    jobs[5].state = jobs[5].attempts[0].state = STATE_UNKNOWN
    store.commit()
    with FailureReader.open(store.paths) as reader:
        assert [row.number for row in reader.failed()] == [3, 4]
        found = [reader.failed_one(number) for number in range(8)]
        assert [None if row is None else row.number for row in found] == [None, None, None, 3, 4, None, None, None]
    with RunReader.open(store.paths) as reader:
        summary = reader.summary()
        assert (summary.total, summary.unfinished) == (6, 3)
        row = reader.job_numbered(3)
        assert row is not None and row.name == "sim-3" and reader.job_numbered(7) is None
    store.close(CREATED)


@pytest.mark.parametrize(("outcomes", "ending"), [
    ([Outcome.SUCCEEDED], "done"), ([Outcome.CANCELLED], "cancelled"), ([Outcome.SUCCEEDED, Outcome.CANCELLED], "cancelled"),
    ([Outcome.FAILED], "failed"), ([Outcome.SUCCEEDED, Outcome.FAILED], "failed"), ([Outcome.CANCELLED, Outcome.FAILED], "failed")])
def test_how_a_run_ends_follows_from_its_jobs(outcomes: list[Outcome], ending: str, tmp_path: Path) -> None:
    jobs = make_jobs(len(outcomes))
    store = make_store(tmp_path, jobs)
    for job, outcome in zip(jobs, outcomes, strict=True):
        launch(store, job)
        finish(store, job, outcome)
    store.set_options(ended_by={"rule": "fail_fast"} if ending == "failed" else None)
    store.commit()
    with RunReader.open(store.paths) as reader:
        summary = reader.summary()
        assert (summary.ending, summary.unfinished) == (ending, 0)
        assert summary.rule() == ({"rule": {"rule": "fail_fast"}} if ending == "failed" else {})
    store.close(CREATED)
