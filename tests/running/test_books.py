"""The books of a run, without any host: what is noted is in the store, and hosts forget only what is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sshjobs.errors import StoreError
from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_DONE, STATE_ERROR, STATES, Outcome
from sshjobs.running.books import RELEASE_EVERY, Books
from sshjobs.scheduling.queue import Queue
from sshjobs.store import RunReader
from tests.store.helpers import CREATED, make_jobs, make_store


def books(results: Path, number: int = 2) -> tuple[Books, list[Job]]:
    jobs = make_jobs(number)
    store = make_store(results, jobs)
    made = Books(store.paths, store, Queue(STATES))
    for job in jobs:
        made.enlist(job)
    return made, jobs


def end(made: Books, job: Job, outcome: Outcome) -> None:
    attempt = job.attempts[-1]
    attempt.outcome = job.outcome = outcome
    attempt.state = STATE_DONE if outcome is Outcome.SUCCEEDED else STATE_ERROR
    made.store.touch_attempt(job, attempt)
    made.move(job, attempt.state)
    made.ended([attempt])


def test_an_attempt_is_kept_from_its_launch_until_its_host_has_forgotten_it(tmp_path: Path) -> None:
    made, (job, _) = books(tmp_path)
    attempt = job.new_attempt("a", "token")
    made.launched(job, attempt)
    made.commit()
    assert made.any_launched() and not made.owed()
    end(made, job, Outcome.SUCCEEDED)
    made.commit()
    assert made.owed() == [attempt]
    assert made.due(0.0, hurry=True) == [attempt]
    assert made.due(100.0, hurry=True) == [], "each is told once"
    made.released([attempt])
    made.commit()
    assert (made.owed(), attempt.token) == ([], "")
    with RunReader.open(made.paths) as reader:
        ((row, attempts), *_) = reader.jobs_with_attempts()
        assert (row.state, attempts[0].released, list(reader.contradictions())) == ("done", 1, [])
    made.store.close()


def test_releases_are_put_together_unless_there_is_nothing_else_to_do(tmp_path: Path) -> None:
    made, jobs = books(tmp_path, 3)
    now = 100.0
    for job, hurry in zip(jobs, (False, False, True), strict=True):
        made.launched(job, job.new_attempt("a", "token"))
        end(made, job, Outcome.SUCCEEDED)
        if job is jobs[0]:
            assert made.due(now, hurry=hurry) == [job.attempts[-1]]
        elif job is jobs[1]:
            assert made.due(now + RELEASE_EVERY / 2, hurry=hurry) == []
        else:
            assert made.due(now + RELEASE_EVERY / 2, hurry=hurry) == [jobs[1].attempts[-1], job.attempts[-1]]
    made.store.close()


def test_what_was_given_up_is_owed_to_nobody(tmp_path: Path) -> None:
    made, (job, _) = books(tmp_path)
    attempt = job.new_attempt("a", "token")
    made.launched(job, attempt)
    attempt.state, attempt.outcome = STATE_ERROR, Outcome.LOST
    made.given_up(job, attempt)
    assert attempt.released and not made.unreleased
    made.store.close()


@pytest.mark.parametrize(("outcomes", "state"), [
    ((Outcome.SUCCEEDED, Outcome.SUCCEEDED), "done"), ((Outcome.SUCCEEDED, Outcome.FAILED), "failed"),
    ((Outcome.SUCCEEDED, Outcome.CANCELLED), "cancelled"),
])
def test_the_end_of_a_run_is_that_of_its_jobs(tmp_path: Path, outcomes: tuple[Outcome, Outcome], state: str) -> None:
    made, jobs = books(tmp_path)
    for job, outcome in zip(jobs, outcomes, strict=True):
        assert not made.all_final()
        made.launched(job, job.new_attempt("a", "token"))
        end(made, job, outcome)
    assert made.all_final()
    assert made.conclude(CREATED + 9).ending == state
    made.store.close()
    with RunReader.open(made.paths) as reader:
        summary = reader.summary()
    assert (summary.state, summary.until) == (state, CREATED + 9)


def test_nothing_is_written_where_the_next_manager_would_not_find_it(tmp_path: Path) -> None:
    made, (job, _) = books(tmp_path)
    made.launched(job, job.new_attempt("a", "token"))
    shutil.move(made.paths.root, tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="the run's directory is gone"):
        made.commit()
    assert made.store.dirty, "it is kept"
    made.store.close()
