"""What any process may ask while the manager writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.inputs.builder import Builder
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_FREE, STATE_UNKNOWN, STATES, Outcome
from sshjobs.scheduling.naming import jobs_from
from sshjobs.store import ManagerIdentity, RunReader, RunStore, iter_status_json, shown_state, status
from sshjobs.store.queries import queries
from tests.store.helpers import CREATED, UID, contradictions, finish, launch, make_jobs, make_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    """Six jobs: free, busy, done, unknown, error after a retry, done and not released."""
    jobs = make_jobs(6)
    store = make_store(tmp_path, jobs)
    for job in jobs[1:]:
        launch(store, job)
    finish(store, jobs[2])
    jobs[3].state = jobs[3].attempts[0].state = STATE_UNKNOWN
    finish(store, jobs[4], Outcome.FAILED)
    launch(store, jobs[4], "b")
    finish(store, jobs[4], Outcome.FAILED)
    finish(store, jobs[5], released=False)
    store.commit()
    yield store
    store.close()


@pytest.fixture
def reader(store: RunStore) -> Iterator[RunReader]:
    with RunReader.open(store.paths) as reader:
        yield reader


def test_the_status_document_has_exactly_the_promised_keys(reader: RunReader) -> None:
    document = status(reader)
    assert list(document) == ["run", "state", "counts", "jobs"]
    assert document["run"] == "sweep-1"
    assert document["state"] == "running"
    assert document["counts"] == {"free": 1, "busy": 1, "done": 2, "unknown": 1, "error": 1}
    assert document["jobs"][0] == {"name": "sim-1", "state": "free", "outcome": None, "exit_status": None,
                                   "signal": None, "host": None, "attempts": []}
    failed = document["jobs"][4]
    assert (failed["outcome"], failed["exit_status"], failed["host"]) == ("failed", 3, "b")
    attempt = {"state": "error", "outcome": "failed", "exit_status": 3, "signal": None, "started": CREATED + 1,
               "ended": CREATED + 2.25}
    assert failed["attempts"] == [{"n": 1, "host": "a", **attempt}, {"n": 2, "host": "b", **attempt}]


@pytest.mark.parametrize("number", [0, 1, 500, 501, 4001])
def test_the_document_in_pieces_is_the_document(tmp_path: Path, number: int) -> None:
    jobs = make_jobs(number)
    store = make_store(tmp_path, jobs)
    for job in jobs[::7]:
        launch(store, job)
    store.commit()
    with RunReader.open(store.paths) as reader:
        text = "".join(iter_status_json(reader))
        assert json.loads(text) == status(reader)
    assert text.endswith("\n")
    assert len(text.splitlines()) == max(1, number + 1)
    store.close()


def test_the_pieces_are_of_one_moment(tmp_path: Path) -> None:
    jobs = make_jobs(3000)
    store = make_store(tmp_path, jobs)
    with RunReader.open(store.paths) as reader:
        pieces = iter_status_json(reader)
        first = next(pieces)
        for job in jobs:
            launch(store, job)
        store.commit()
        document = json.loads(first + "".join(pieces))
        assert {job["state"] for job in document["jobs"]} == {STATE_FREE}
        assert reader.summary().counts["busy"] == 3000
    store.close()


def test_a_summary_costs_the_same_for_many_jobs_as_for_few(tmp_path: Path) -> None:
    def steps(number: int) -> int:
        store = make_store(tmp_path, make_jobs(number))
        store.close()
        with RunReader.open(store.paths) as reader:
            count = 0

            def step() -> int:
                nonlocal count
                count += 1
                return 0

            reader._connection.set_progress_handler(step, 1)
            assert reader.summary().total == number
            return count

    assert steps(5000) == steps(5)


def test_queries_that_are_asked_often_do_not_walk_through_the_jobs(reader: RunReader) -> None:
    wanted = {
        "select_job": (("x",), "SEARCH jobs USING INDEX jobs_by_name"),
        "select_changed": ((1, 2), "SEARCH jobs USING INDEX jobs_by_change"),
        "select_names_from": (("x", 5), "SEARCH jobs USING COVERING INDEX jobs_by_name"),
        "select_attempts": ((1, 2), "SEARCH attempts USING PRIMARY KEY"),
        "select_jobs": ((1, *STATES, 5), "SEARCH jobs USING INTEGER PRIMARY KEY"),
    }
    for name, (parameters, plan) in wanted.items():
        found = reader._connection.execute(f"EXPLAIN QUERY PLAN {queries()[name]}", parameters).fetchall()
        assert found[0][3].startswith(plan), name
        assert not any("TEMP B-TREE FOR ORDER BY" == row[3] for row in found), name


def test_the_summary_tells_who_manages_the_run(reader: RunReader) -> None:
    summary = reader.summary()
    assert summary.manager is not None
    assert summary.manager.is_alive()
    assert (summary.uid, summary.created, summary.epoch, summary.until) == (UID, CREATED, 1, None)
    assert summary.options == {"slots": 2}
    assert summary.outcomes == {"succeeded": 2, "failed": 1}


def test_jobs_are_found_by_state_in_pages_and_by_name(reader: RunReader) -> None:
    assert [job.name for job in reader.jobs()] == [f"sim-{n}" for n in range(1, 7)]
    assert [job.number for job in reader.jobs(["done", "error"])] == [3, 5, 6]
    assert [job.number for job in reader.jobs(after=2, limit=3)] == [3, 4, 5]
    assert list(reader.jobs([])) == []
    assert list(reader.jobs(limit=0)) == []
    job = reader.job("sim-4")
    assert job is not None
    assert (job.number, job.state, job.host) == (4, "unknown", "a")
    assert reader.job("sim") is None


def test_a_page_ends_where_it_should_in_a_long_list(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(4100))
    with RunReader.open(store.paths) as reader:
        assert [job.number for job in reader.jobs()] == list(range(1, 4101))
        assert [job.number for job in reader.jobs(limit=2001)] == list(range(1, 2002))
    store.close()


def test_a_mistyped_name_brings_the_names_that_are_near(reader: RunReader) -> None:
    assert reader.near_names("sim-44")[0] == "sim-4"
    assert reader.near_names("Sim-2")[0] == "sim-2"
    assert reader.near_names("zebra") == []
    assert reader.near_names("") == []


def test_attempts_of_chosen_jobs(reader: RunReader) -> None:
    found = reader.attempts_of([1, 5])
    assert found[1] == []
    assert [(row.n, row.host, row.outcome) for row in found[5]] == [(1, "a", "failed"), (2, "b", "failed")]


def test_resume_loads_what_is_unfinished_or_unreleased_and_nothing_else(reader: RunReader) -> None:
    jobs = reader.load_unfinished()
    assert [job.name for job in jobs] == ["sim-1", "sim-2", "sim-4", "sim-6"]
    assert [len(job.attempts) for job in jobs] == [0, 1, 1, 1]
    assert jobs[3].outcome is Outcome.SUCCEEDED
    assert jobs[3].attempts[0].uid == jobs[3].id_ == "6.1"
    assert not jobs[3].attempts[0].released


def test_a_follower_hears_of_each_change_once(store: RunStore, reader: RunReader) -> None:
    commit = reader.summary().commit
    assert reader.changed_since(commit) == (commit, [])
    assert reader.news()
    assert not reader.news()
    jobs = make_jobs(6)
    for n in (1, 0):
        jobs[n].state = STATE_UNKNOWN
        store.touch(jobs[n])
        store.commit()
    assert reader.news()
    newest, changed = reader.changed_since(commit)
    assert [job.number for job in changed] == [2, 1]
    assert reader.changed_since(newest) == (newest, [])
    assert not reader.news()
    # From the very beginning: all that anything ever happened to.
    assert {job.number for job in reader.changed_since(0)[1]} == {1, 2, 3, 4, 5, 6}


def test_a_reader_does_not_hold_the_writer_up_nor_the_other_way_round(store: RunStore, reader: RunReader) -> None:
    job = make_jobs(1)[0]
    with reader.snapshot():
        before = reader.summary()
        launch(store, job)
        store.commit()
        assert reader.summary() == before
        store._connection.execute("BEGIN IMMEDIATE")
        assert reader.summary() == before
        store._connection.execute("ROLLBACK")
    assert reader.summary().counts["busy"] == 2


def test_a_reader_can_change_nothing(reader: RunReader) -> None:
    with pytest.raises(Exception, match="readonly"):
        reader._connection.execute("UPDATE run SET state = 'done'")


@pytest.mark.parametrize(
    ("stored", "counts", "attended", "shown"),
    [
        ("running", {"free": 1}, True, "running"),
        ("running", {"busy": 1, "free": 1}, False, "unattended"),
        ("running", {"unknown": 1}, False, "unattended"),
        ("running", {"free": 1, "done": 1}, False, "interrupted"),
        ("running", {"done": 1}, False, "done"),
        ("running", {"done": 1, "error": 1}, False, "failed"),
        ("interrupted", {"busy": 1}, False, "unattended"),
        ("interrupted", {"free": 1}, False, "interrupted"),
        ("done", {"done": 1}, False, "done"),
        ("failed", {"error": 1}, False, "failed"),
        ("cancelled", {"error": 1}, False, "cancelled"),
    ],
)
def test_the_state_that_is_shown(stored: str, counts: dict[str, int], attended: bool, shown: str) -> None:
    assert shown_state(stored, {**dict.fromkeys(STATES, 0), **counts}, attended) == shown


def test_a_run_whose_manager_is_gone_is_not_shown_as_running(store: RunStore) -> None:
    def gone(manager: ManagerIdentity) -> bool:
        return False

    with RunReader.open(store.paths, is_alive=gone) as reader:
        summary = reader.summary()
    assert (summary.state, summary.stored_state) == ("unattended", "running")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE counts SET n = n + 1 WHERE state = 'free'", "the counts are wrong"),
        ("UPDATE jobs SET outcome = 'failed' WHERE name = 'sim-3'", "job sim-3: its outcome does not fit its state"),
        ("DELETE FROM attempts WHERE job = 2", "job sim-2: it should be on a host"),
        ("UPDATE jobs SET state = 'free' WHERE name = 'sim-2'", "job sim-2: one of its attempts is on a host, but"),
        ("INSERT INTO attempts (job, n, host, token, state) VALUES (2, 2, 'b', 't', 'busy')",
         "job sim-2: two of its attempts are on a host at once"),
        ("DELETE FROM attempts WHERE job = 5 AND n = 1", "job sim-5: an attempt is missing"),
    ],
)
def test_a_store_that_contradicts_itself_is_found_out(store: RunStore, damage: str, words: str) -> None:
    assert contradictions(store.paths) == []
    store._connection.execute(damage)
    assert [text for text in contradictions(store.paths) if text.startswith(words)]


def test_names_that_somebody_may_have_meant_are_found_among_many(tmp_path: Path) -> None:
    many = [f"{letter}{n:04}" for letter in "au" for n in range(1100)]
    specs = [JobSpec("true", name=name) for name in (*many, "train-model", "tsne", "upper-model")]
    store = make_store(tmp_path, [Job(spec, index) for index, spec in enumerate(specs)])
    with RunReader.open(store.paths) as reader:
        # More names come before these in the alphabet than are looked at: some are found from half of what was typed on,
        # some from the first letter on.
        assert reader.near_names("train-modle") == ["train-model"] and reader.near_names("upper-zodel") == ["upper-model"]
        assert reader.near_names("tnse") == reader.near_names("tzne") == ["tsne"]
        assert len(reader.near_names("a0001x")) == 3 and len(reader.near_names("a0001x", 2)) == 2
    store.close(CREATED)


@pytest.mark.parametrize(("outcomes", "ending"), [
    ({"succeeded": 2}, "done"), ({"cancelled": 2}, "cancelled"), ({"succeeded": 1, "cancelled": 1}, "cancelled"),
    ({"cancelled": 1, "failed": 1}, "failed"), ({"lost": 1}, "failed")])
def test_a_run_ends_as_its_jobs_have_ended(tmp_path: Path, outcomes: dict[str, int], ending: str) -> None:
    jobs = make_jobs(2)
    store = make_store(tmp_path, jobs)
    for job, outcome in zip(jobs, (word for word, number in outcomes.items() for _ in range(number)), strict=False):
        launch(store, job)
        finish(store, job, Outcome(outcome))
    if sum(outcomes.values()) == 1:
        launch(store, jobs[1])
        finish(store, jobs[1])
    store.commit()
    with RunReader.open(store.paths) as reader:
        assert reader.summary().ending == ending
    store.close(CREATED)


def test_jobs_of_a_sweep_come_back_with_one_text_for_all(tmp_path: Path) -> None:
    specs = Builder().AddJob(argv=["run", "${{ lr }}"], name="t", matrix={"lr": [0.1, 1]}, env={"A": "${{ lr }}"}).job_specs
    store = make_store(tmp_path, list(jobs_from(specs, [])))
    try:
        store.commit()
        with RunReader.open(store.paths) as reader:
            assert [reader.spec_of(number).as_dict() for number in (1, 2)] == [spec.as_dict() for spec in specs]
            one, other = reader.load_unfinished()
            assert one.spec.repeats(other.spec) and other.spec.argv == ["run", "1"] and other.spec.env == {"A": "1"}
            assert reader.parameters() == {"t": ["lr"]}
            with pytest.raises(KeyError):
                reader.spec_of(3)
    finally:
        store.close()
