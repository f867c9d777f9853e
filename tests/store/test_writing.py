"""What is committed is there, whole, once, and cheap."""

from __future__ import annotations

import errno
import json
import sqlite3
from pathlib import Path

import pytest

from sshjobs.errors import RunBusyError, StoreError
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.database import StoreBlockedError
from sshjobs.store.rundir import create_run
from tests.store.helpers import CREATED, UID, contradictions, finish, launch, make_jobs, make_store


def rows(path: Path, query: str) -> list[tuple]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def everything(thing: Job | JobSpec) -> dict[str, object]:
    """The slots of an object, and of the objects in them."""
    if isinstance(thing, JobSpec):
        return thing.as_dict()
    found: dict[str, object] = {slot: getattr(thing, slot) for slot in type(thing).__slots__}
    if isinstance(thing, Job):
        found["spec"] = everything(thing.spec)
        found["attempts"] = [{slot: getattr(attempt, slot) for slot in (*type(attempt).__slots__, *type(attempt._seldom).__slots__)
                              if slot != "_seldom"} for attempt in thing.attempts]
    return found


def test_a_job_comes_back_as_it_was_committed(tmp_path: Path) -> None:
    spec = JobSpec(["echo 'a b' \"$X\"\t\n", "é \udcff \0"], ["in put", "dir"], "näme x", env={"X": "\udc80"}, cwd="/",
                   timeout=1.5, retries=2, host_retries=0, once=True, stdin="in", nice=5, login=True, strict=False,
                   leftovers="keep", hosts=["a*"], per_host=True, index=7, base_dir="/tmp")
    job = Job(spec, 0, "näme x")
    plain = Job(JobSpec(argv=["true", ""], name="p", output="pipe"), 1)
    job.only_host = "a"
    store = make_store(tmp_path, [job, plain])
    launch(store, job)
    finish(store, job, Outcome.SIGNALLED)
    first = job.attempts[0]
    first.reason, first.signal, first.pid, first.cpu, first.rss = "wurde getötet", 9, 4321, 0.25, 1 << 40
    first.out_size, first.err_size, first.gpus = 1 << 33, 0, ("GPU-1", "MIG-GPU-2/7/0")
    launch(store, job, "b")
    job.state, job.reason, job.signal, job.id_ = STATE_UNKNOWN, "away", None, "1.2"
    store.commit()
    with RunReader.open(store.paths) as reader:
        loaded = reader.load_unfinished()
    assert [everything(one) for one in loaded] == [everything(job), everything(plain)]
    store.close()


def test_a_named_copy_of_a_spec_has_all_that_the_spec_has() -> None:
    spec = JobSpec(["x"], ["f"], "n", env={"a": "b"}, cwd="c", timeout=1, retries=1, host_retries=1, once=True,
                   stdin="s", nice=1, login=True, strict=False, hosts=["h"], per_host=True, base_dir="d")
    assert everything(spec.named("other", 5)) == everything(spec) | {"name": "other", "index": 5}


def test_repeats_share_one_spec_and_equal_specs_too(tmp_path: Path) -> None:
    jobs = make_jobs(1000)
    jobs += [Job(JobSpec([f"echo {n % 3}"], name=f"other-{n}"), 1000 + n) for n in range(30)]
    store = make_store(tmp_path, jobs)
    store.close()
    assert rows(store.paths.store, "SELECT count(*) FROM specs") == [(4,)]
    with RunReader.open(store.paths) as reader:
        loaded = reader.load_unfinished()
    assert [job.spec.cmds for job in loaded] == [job.spec.cmds for job in jobs]
    assert [(job.name, job.spec.index) for job in loaded[:2]] == [("sim-1", 1), ("sim-2", 2)]


def test_jobs_are_taken_one_at_a_time(tmp_path: Path) -> None:
    taken: list[int] = []
    alive = 0

    class Counted(Job):
        __slots__ = ("__weakref__",)

        def __init__(self, n: int):
            nonlocal alive
            alive += 1
            super().__init__(JobSpec(["x"]), n, f"j{n}")

        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    def stream():
        for n in range(500):
            taken.append(alive)
            yield Counted(n)

    paths = create_run(tmp_path)
    RunStore.create(paths, uid=UID, name="r", jobs=stream(), hosts=[], options={}, created=CREATED).close()
    assert len(taken) == 500
    assert max(taken) < 5


def test_what_happened_to_an_attempt_within_one_batch_is_one_write(tmp_path: Path) -> None:
    job, other, *_ = jobs = make_jobs(3)
    store = make_store(tmp_path, jobs)
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    launch(store, job)
    finish(store, job)
    assert store.dirty
    store.commit()
    assert not store.dirty
    assert len([text for text in statements if text.startswith("INSERT INTO attempts")]) == 1
    assert statements.count("COMMIT") == 1
    statements.clear()
    store.commit()
    assert statements == []
    changes = store._connection.total_changes
    for reason in ("one", "two"):
        other.reason = reason
        store.touch(other)
    store.commit()
    # The job's row, and the number of the commit.
    assert store._connection.total_changes == changes + 2
    store.close()


def test_counts_follow_every_move(tmp_path: Path) -> None:
    jobs = make_jobs(10)
    store = make_store(tmp_path, jobs)
    for job in jobs[:6]:
        launch(store, job)
    store.commit()
    finish(store, jobs[0])
    finish(store, jobs[1], Outcome.TIMED_OUT)
    finish(store, jobs[2], Outcome.CANCELLED)
    jobs[3].state = STATE_UNKNOWN
    store.touch(jobs[3])
    store.commit()
    store.add_jobs([Job(JobSpec(["x"]), 10, "late")])
    with RunReader.open(store.paths) as reader:
        summary = reader.summary()
    assert summary.counts == {"free": 5, "busy": 2, "done": 1, "unknown": 1, "error": 2}
    assert summary.outcomes == {"succeeded": 1, "timed_out": 1, "cancelled": 1}
    assert summary.total == 11
    # A person asks for a retry.
    jobs[1].state, jobs[1].outcome = STATE_FREE, None
    store.touch(jobs[1])
    store.commit()
    assert contradictions(store.paths) == []
    store.close()


def test_a_job_that_was_never_added_is_not_lost_in_silence(tmp_path: Path) -> None:
    jobs = make_jobs(2)
    store = make_store(tmp_path, jobs)
    launch(store, jobs[0])
    stranger = Job(JobSpec(["x"]), 7, "stranger")
    store.touch(stranger)
    with pytest.raises(StoreError, match="not in the store"):
        store.commit()
    assert store.dirty
    store.add_jobs([Job(JobSpec(["x"]), n, f"j{n}") for n in range(2, 8)])
    store.commit()
    store.touch_attempt(Job(JobSpec(["x"]), 99), jobs[0].attempts[0])
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.commit()
    store.close()


@pytest.mark.parametrize(("index", "name", "what"), [(2, "sim-1", "one name"), (0, "new", "one number")])
def test_jobs_of_one_name_or_number_are_refused_and_none_of_them_added(
        tmp_path: Path, index: int, name: str, what: str) -> None:
    store = make_store(tmp_path, make_jobs(2))
    late = [Job(JobSpec(["x"]), 5, "fine"), Job(JobSpec(["x"]), index, name)]
    with pytest.raises(StoreError, match=what):
        store.add_jobs(late)
    with RunReader.open(store.paths) as reader:
        assert [job.name for job in reader.jobs()] == ["sim-1", "sim-2"]
        assert reader.summary().total == 2
    store.close()


def test_a_store_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    paths = create_run(tmp_path)
    for bad in (Job(JobSpec(["x"]), 1, "sim"), Job(JobSpec(["x"]), 1, "\udcff")):
        with pytest.raises(StoreError):
            RunStore.create(paths, uid=UID, name="r", jobs=[Job(JobSpec(["x"]), 0, "sim"), bad], hosts=[],
                            options={}, created=CREATED)
    assert sorted(path.name for path in paths.root.iterdir()) == [".sshjobs", "jobs"]


def test_a_store_is_not_made_over_another(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(1))
    store.close()
    with pytest.raises(StoreError, match="a store already"):
        RunStore.create(store.paths, uid=UID, name="r", jobs=[], hosts=[], options={}, created=CREATED)


def test_only_the_owner_can_read_a_store(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(1))
    files = list(store.paths.root.glob("run.db*"))
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    store.close()


def test_hosts_keep_their_order_and_what_they_told(tmp_path: Path) -> None:
    store = make_store(tmp_path, [])
    store.set_host("b", "up", facts={"cores": 4, "gpus": ["x"]}, since=5.0)
    store.set_host("b", "away", "timeout \udcff", since=6.0)
    store.commit()
    store.set_host("b", "up", since=7.0)
    store.add_hosts([Host("b", slots=3), Host("c", local=True)])
    store.commit()
    with RunReader.open(store.paths) as reader:
        hosts = reader.hosts()
    assert [row.host for row in hosts] == [Host("a"), Host("b", slots=3), Host("c", local=True)]
    assert hosts[1][1:] == ({"cores": 4, "gpus": ["x"]}, "up", None, 7.0, None, None)
    store.set_host("nobody", "up")
    with pytest.raises(StoreError, match="not in the store"):
        store.commit()
    store.close()


def test_how_a_host_fares_is_kept_as_it_last_said(tmp_path: Path) -> None:
    store = make_store(tmp_path, [])
    for load in (1.0, 2.0):
        store.set_pulse("b", {"at": 5.0, "load": load, "gpus": [3, None], "jobs": {"1.1": (1.5, 4096)}})
    store.set_pulse("nobody", {"at": 5.0})
    assert store.dirty
    store.commit()
    assert not store.dirty
    with RunReader.open(store.paths) as reader:
        assert [row.pulse for row in reader.hosts()] == [
            None, {"at": 5.0, "load": 2.0, "gpus": [3, None], "jobs": {"1.1": (1.5, 4096)}}]
    store.close()


@pytest.mark.parametrize("told", ['{"load": -1, "at": "x", "gpus": ["<b>"], "jobs": {"1.1": 5, "2.1": [1, null]}}',
                                  '{"load": true, "at": 1e999, "gpus": {"a": 1}, "jobs": [[1, 2]]}'])
def test_what_no_host_can_have_said_of_how_it_fares_is_left_out(tmp_path: Path, told: str) -> None:
    store = make_store(tmp_path, [])
    store._connection.execute("UPDATE hosts SET pulse = ?", (told,))
    with RunReader.open(store.paths) as reader:
        for row in reader.hosts():
            assert row.pulse is not None and row.pulse.get("gpus", [None]) == [None] and not row.pulse.get("jobs")
            assert row.pulse.keys() <= {"gpus", "jobs"}
    store.close()


def test_a_second_manager_is_refused_and_told_who_and_since_when(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(1))
    second = RunStore.open(store.paths)
    with pytest.raises(RunBusyError, match=r"process \d+ on .*, since \d{4}-"):
        second.take_over(ManagerIdentity.this_process())
    store.commit()
    store.close(until=CREATED + 9)
    # It left by itself, so nobody is asked whether it lives.
    assert second.take_over(ManagerIdentity.this_process(), is_alive=lambda manager: True) == 2
    second.close()


def test_a_new_store_can_be_made_with_its_manager_in_it(tmp_path: Path) -> None:
    paths, here = create_run(tmp_path, stem="r"), ManagerIdentity.this_process()
    store = RunStore.create(paths, uid=UID, name="r", jobs=[], hosts=[], options={}, created=CREATED, manager=here)
    assert store.epoch == 1
    second = RunStore.open(paths)
    with pytest.raises(RunBusyError):
        second.take_over(here)
    store.set_run_state("done")
    store.commit(until=CREATED + 9)
    with RunReader.open(paths) as reader:
        assert (reader.summary().state, reader.summary().until) == ("done", CREATED + 9)
    # It is noted once: closing changes nothing.
    store.close(until=CREATED + 99)
    with RunReader.open(paths) as reader:
        assert reader.summary().until == CREATED + 9
    assert second.take_over(here, is_alive=lambda manager: True) == 2
    second.close()


def test_an_older_manager_that_wakes_up_can_write_no_more(tmp_path: Path) -> None:
    jobs = make_jobs(2)
    old = make_store(tmp_path, jobs)
    launch(old, jobs[0])
    new = RunStore.open(old.paths)
    assert new.take_over(ManagerIdentity.this_process(), is_alive=lambda manager: False) == 2
    for act in (old.commit, lambda: old.add_jobs([]), lambda: old.close(until=1.0)):
        with pytest.raises(RunBusyError, match="number 2 took it, this is number 1"):
            act()
    with RunReader.open(new.paths) as reader:
        assert reader.summary().counts["busy"] == 0
        assert reader.summary().until is None
    new.close()


def test_nothing_is_written_before_the_run_is_taken(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(1))
    store.close()
    again = RunStore.open(store.paths)
    with pytest.raises(RunBusyError):
        again.add_jobs([])
    again.close()


def test_a_run_can_be_taken_by_force(tmp_path: Path) -> None:
    store = make_store(tmp_path, [])
    second = RunStore.open(store.paths)
    assert second.take_over(ManagerIdentity.this_process(), is_alive=lambda manager: True, force=True) == 2
    second.close()
    store.close()


def test_an_unknown_run_state_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, [])
    with pytest.raises(StoreError, match="use one of running"):
        store.set_run_state("unattended")
    store.close()


def test_a_place_that_cannot_be_looked_at_is_waited_for_and_one_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path, make_jobs(1))
    store.check_place()

    def fails(error: OSError) -> None:
        def identity(path: Path) -> None:
            raise error

        monkeypatch.setattr("sshjobs.store.writer._identity", identity)

    fails(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(StoreBlockedError, match="cannot be looked at"):
        store.check_place()
    for error in (FileNotFoundError(errno.ENOENT, ""), NotADirectoryError(errno.ENOTDIR, "")):
        fails(error)
        with pytest.raises(StoreError, match="the run's directory is gone"):
            store.check_place()
    monkeypatch.undo()
    store.close(CREATED)


def test_a_large_result_is_put_aside_and_read_when_somebody_asks(tmp_path: Path) -> None:
    large, small = {"curve": [0.5] * 5000}, {"loss": 0.25}
    jobs = make_jobs(2)
    store = make_store(tmp_path, jobs)
    for job, left in zip(jobs, (large, small), strict=True):
        launch(store, job)
        finish(store, job)
        job.attempts[-1].result_json = json.dumps(left)
    store.commit()
    assert [job.attempts[-1].result_json is None for job in jobs] == [True, False]
    assert [job.result for job in jobs] == [large, small]
    # Whatever else is written of it, it stays.
    jobs[0].attempts[-1].cpu = 1.0
    store.touch_attempt(jobs[0], jobs[0].attempts[-1])
    store.commit()
    store.close(CREATED)
    assert [job.result for job in jobs] == [large, small]
    with RunReader.open(store.paths) as reader:
        assert [reader.load([job.name])[0].result for job in jobs] == [large, small]
