"""What is done in an earlier run is in the new one as if it had been done there, whatever becomes of the earlier one."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sshjobs.audit.checks import verify
from sshjobs.errors import StoreError, UsageError
from sshjobs.model.states import Outcome
from sshjobs.planning import carrying
from sshjobs.running.forms import runs_from
from sshjobs.running.newrun import new_run
from sshjobs.store import RunReader, RunStore
from sshjobs.store.rundir import RunPaths, create_run, find_run, list_runs
from sshjobs.store.works import WorkReader
from tests.planning.did import HOSTS, did, planned, specs_of
from tests.store.helpers import in_child


def sweep(base: Path, *names: str) -> list[Any]:
    return specs_of(base, *({"commands": f"run {name}", "name": name} for name in names))


def records(paths: RunPaths) -> dict[str, Any]:
    """Return all that a run says of its jobs and attempts, but their numbers and where they come from."""
    with RunReader.open(paths) as reader:
        other = dict.fromkeys(("job", "token", "released", "origin"), 0)
        return {job.name: (job[2:], [one._replace(**other) for one in attempts])  # type: ignore[arg-type]
                for job, attempts in reader.jobs_with_attempts()}


def disagreements(paths: RunPaths) -> list[str]:
    return [f"{one}" for one in verify(paths, paths.name, ask_hosts=False).disagreements]


@pytest.mark.parametrize("linked", [True, False])
def test_records_and_files_are_there_too(linked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    (tmp_path / "data").write_text("1")
    specs = [*sweep(tmp_path, "x", "y"), *specs_of(tmp_path, {"commands": "z", "name": "z", "files": ["data"]})]
    one, _ = did(results, specs, "r-1")
    home = one.job("x") / "files" / "deep"
    home.mkdir(parents=True)
    with (home / "model.bin").open("wb") as hole:
        hole.write(b"begin")
        hole.truncate(1 << 32)
        hole.seek(1 << 31)
        hole.write(b"middle")
    if not linked:
        def refuse(*args: Any, **keys: Any) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", refuse)
    two, ran = did(results, [*sweep(tmp_path, "new", "y"), specs[2], *specs_of(
        tmp_path, {"commands": "run x", "name": "renamed"})], "r-2", earlier=[one])
    assert ran == ["new"]
    then, now = records(one), records(two)
    assert now["renamed"] == then["x"] and now["y"] == then["y"] and now["z"] == then["z"]
    with WorkReader.open(two) as reader:
        rows = {job.name: attempts[-1] for job, attempts in reader.jobs_with_attempts()}
        assert {name: row.origin for name, row in rows.items()} == {"new": None, "y": "r-1", "z": "r-1", "renamed": "r-1"}
        (listed,) = reader.inputs(rows["z"].inputs or "") or []
        assert listed[:2] == ("file", "data")
    for file in ("stdout", "stderr", "files/deep/model.bin"):
        old, new = one.job("x") / file, two.job("renamed") / file
        assert new.samefile(old) == linked and new.stat().st_mode == old.stat().st_mode
        assert new.stat().st_size == old.stat().st_size and new.stat().st_blocks < 2000
        for place in (0, 1 << 31):
            with new.open("rb") as one_file, old.open("rb") as other:
                assert [one_file.seek(place), one_file.read(9)] == [other.seek(place), other.read(9)]
    shutil.rmtree(one.root)
    assert not [told for told in disagreements(two) if "files" not in told]
    assert planned(specs, two)[1] == {"x": "done", "y": "done", "z": "done"}
    # And on to a third, which says where it was really made.
    three, ran = did(results, specs, "r-3", earlier=[two])
    with WorkReader.open(three) as reader:
        assert ran == [] and {attempts[-1].origin for _, attempts in reader.jobs_with_attempts()} == {"r-1"}


def test_what_stands_above_a_carried_attempt_is_carried_too(tmp_path: Path) -> None:
    ends = iter([Outcome.FAILED, Outcome.SUCCEEDED])
    specs = sweep(tmp_path, "x")
    one, _ = did(tmp_path / "results", specs, "r-1", end=lambda job: next(ends))
    store = RunStore.open(one)
    from sshjobs.store import ManagerIdentity
    from tests.store.helpers import finish, launch

    store.take_over(ManagerIdentity.this_process())
    with RunReader.open(one) as reader:
        (job,) = reader.load(["x"])
    aside = one.attempt("x", 1)
    aside.mkdir()
    for name in ("stdout", "stderr"):
        (one.job("x") / name).rename(aside / name)
        (one.job("x") / name).write_text("")
    launch(store, job)
    finish(store, job)
    job.attempts[-1].out_size = job.attempts[-1].err_size = 0
    store.commit()
    store.close(1.0)
    two, ran = did(tmp_path / "results", specs, "r-2", earlier=[one])
    assert ran == [] and records(two) == records(one) and disagreements(two) == []
    assert two.attempt("x", 1).joinpath("stdout").read_text() == "x\n"


def test_a_start_that_is_killed_in_the_middle_leaves_no_run_and_takes_nothing(tmp_path: Path) -> None:
    results, specs = tmp_path / "results", sweep(tmp_path, *"abcdefgh")
    one, _ = did(results, specs, "r-1", end=lambda job: None if job.name == "h" else Outcome.SUCCEEDED)
    before = records(one)

    def die(*args: Any, **keys: Any) -> None:
        os._exit(9)

    for where, name in ((carrying, "sync_tree"), (carrying, "_link"), (RunStore, "create")):
        def half(where: Any = where, name: str = name) -> None:
            setattr(where, name, die)
            new_run(specs, HOSTS, results, stem="r", earlier=[one])

        assert os.waitstatus_to_exitcode(os.waitpid(in_child(half), 0)[1]) == 9
    assert [paths.name for paths in list_runs(results)] == ["r-1"] and records(one) == before
    with pytest.raises(UsageError, match="its start was cut short and nothing ran; remove .*r-2"):
        find_run(results, "r-2")
    two, ran = did(results, specs, "r-9", earlier=[one])
    assert ran == ["h"] and disagreements(two) == []


def test_a_start_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specs = sweep(tmp_path, "a", "b")
    one, _ = did(tmp_path / "results", specs, "r-1")
    link = os.link

    def vanish(source: str, *args: Any, **keys: Any) -> None:
        # Somebody removes the earlier run meanwhile.
        shutil.rmtree(one.root)
        link(source, *args, **keys)

    monkeypatch.setattr(os, "link", vanish)
    with pytest.raises(Exception, match="what . has done cannot be carried over: No such file or directory"):
        new_run(specs, HOSTS, tmp_path / "results", name="r-2", earlier=[one])
    assert list((tmp_path / "results").iterdir()) == []


def test_what_runs_in_an_earlier_run_is_not_started_a_second_time(tmp_path: Path) -> None:
    specs = sweep(tmp_path, "done", "free")
    one, _ = did(tmp_path / "results", specs, "r-1", away=False,
                 end=lambda job: None if job.name == "free" else Outcome.SUCCEEDED)
    found, standings = planned(specs, one)
    assert standings == {"done": "done", "free": "running"} and found.runs[0].live
    with pytest.raises(UsageError, match=r"1 job of this jobfile runs in r-1 or may run there, and would run twice: "
                                         r"such as free; wait for it: sshjobs attach \S*r-1; or end it"):
        new_run(specs, HOSTS, tmp_path / "results", name="r-2", earlier=[one])
    assert not (tmp_path / "results" / "r-2").exists()
    # Others may run beside it.
    assert did(tmp_path / "results", sweep(tmp_path, "done", "other"), "r-3", earlier=[one])[1] == ["other"]


def test_an_older_store_counts_as_far_as_it_can_be_known(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    specs = [*sweep(tmp_path, "plain"), *specs_of(tmp_path, {"commands": "cat", "name": "cat", "files": ["data"]})]
    for path in (tmp_path / "data", tmp_path):
        os.utime(path, (0, 0))
    one, _ = did(tmp_path / "results", specs, "r-1")
    _make_old(one)
    # The file is as young as the run: who knows what it held.
    assert planned(specs, one)[1] == {"plain": "done", "cat": "changed"}
    _later(one, 3600.0)
    assert planned(specs, one)[1] == {"plain": "done", "cat": "done"}
    two, ran = did(tmp_path / "results", specs, "r-2", earlier=[one])
    assert ran == [] and disagreements(two) == []


def _make_old(paths: RunPaths) -> None:
    """Make a store what it was before inputs were noted."""
    import sqlite3

    connection = sqlite3.connect(paths.store)
    connection.execute("UPDATE attempts SET inputs = NULL")
    connection.commit()
    connection.close()


def _later(paths: RunPaths, seconds: float) -> None:
    """Let a run have begun later."""
    import sqlite3

    connection = sqlite3.connect(paths.store)
    connection.execute("UPDATE run SET created = created + ?", (seconds,))
    connection.commit()
    connection.close()


def test_a_store_of_an_older_version_is_compared_and_left_as_it_is(tmp_path: Path) -> None:
    import sqlite3

    old = create_run(tmp_path / "results", name="r-1")
    with sqlite3.connect(old.store) as connection:
        connection.executescript((Path(__file__).parents[1] / "store" / "version_2.sql").read_text("utf-8"))
        connection.execute("UPDATE run SET state = 'interrupted'")
        connection.execute("UPDATE managers SET until = 1.0")
    connection.close()
    before = old.store.read_bytes()
    with RunReader.open(old) as reader:
        specs = [job.spec for job in reader.load([row.name for row in reader.jobs()])]
        states = {row.name: row.state for row in reader.jobs()}
    found, standings = planned(specs, old)
    known = {"done": {"done", "changed"}, "error": {"failed"}, "free": {"waiting"}, "busy": {"running"},
             "unknown": {"running"}}
    assert all(standings[name] in known[state] for name, state in states.items()), (standings, states)
    assert not found.orphans and old.store.read_bytes() == before


def test_a_damaged_run_and_one_that_is_gone_are_told_in_a_line(tmp_path: Path) -> None:
    specs = sweep(tmp_path, "a")
    one, _ = did(tmp_path / "results", specs, "r-1")
    one.store.write_bytes(b"no store at all" * 100)
    with pytest.raises(StoreError, match="the store is damaged or is none") as told:
        new_run(specs, HOSTS, tmp_path / "results", name="r-2", earlier=[one])
    assert "\n" not in str(told.value) and not (tmp_path / "results" / "r-2").exists()
    with pytest.raises(UsageError, match="there is no run r-7"):
        runs_from(tmp_path / "results", ["r-7"])


def test_a_run_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    one, _ = did(tmp_path / "results", sweep(tmp_path, "a"), "r-1")
    assert [paths.name for paths in runs_from(one.root.parent, ["r-1", str(one.root), one.root])] == ["r-1"]


def test_jobs_of_a_run_are_shown_with_where_they_come_from(tmp_path: Path) -> None:
    one, _ = did(tmp_path / "results", sweep(tmp_path, "a"), "r-1")
    two, _ = did(tmp_path / "results", sweep(tmp_path, "a", "b"), "r-2", earlier=[one])
    from sshjobs.store.document import status

    with RunReader.open(two) as reader:
        jobs = status(reader)["jobs"]
    assert [job["attempts"][-1].get("from") for job in jobs] == ["r-1", None]


