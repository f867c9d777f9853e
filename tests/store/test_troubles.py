"""Full disks, network disks, damaged files, other versions: a named error, and nothing lost."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import StoreError
from sshjobs.model.causes import Cause
from sshjobs.store import ManagerIdentity, RunReader, RunStore, StoreBlockedError, database, disk, queries
from sshjobs.store.rundir import RunPaths, create_run
from tests.lab import disks
from tests.store.helpers import (
    CREATED,
    UID,
    contradictions,
    finish,
    in_child,
    launch,
    make_jobs,
    make_store,
    no_file_may_grow,
)


def can_mount() -> bool:
    """Whether a small disk can be made here: it takes root, and in a container more than that."""
    with tempfile.TemporaryDirectory() as where:
        try:
            with disks.small_disk(Path(where), "1m"):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


# Everywhere: writes that fail. Where a disk can be made: one that is full.
TROUBLES = ["no file may grow", *(["no room on the disk"] if can_mount() else [])]


@pytest.fixture(params=TROUBLES)
def trouble(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, AbstractContextManager[None]]]:
    """A directory, and a context in which nothing can be written to it."""
    results = tmp_path / "results"
    results.mkdir()
    with ExitStack() as stack:
        if request.param == "no file may grow":
            yield results, no_file_may_grow(results)
        else:
            stack.enter_context(disks.small_disk(results, "1m"))
            yield results, disks.without_bytes(results)


@pytest.mark.parametrize("network_disk", [False, True], ids=["local disk", "network disk"])
def test_what_a_full_disk_refused_is_written_when_there_is_room_again(
        trouble: tuple[Path, AbstractContextManager[None]], network_disk: bool) -> None:
    results, full = trouble
    jobs = make_jobs(400)
    store = make_store(results, jobs, network_disk=network_disk)
    launch(store, jobs[0])
    store.commit()
    with full:
        for job in jobs[1:]:
            launch(store, job)
        for _ in range(3):
            with pytest.raises(StoreBlockedError):
                store.commit()
            assert store.dirty
        # Readers go on, and more may happen meanwhile.
        with RunReader.open(store.paths) as reader:
            assert reader.summary().counts["busy"] == 1
        for job in jobs[:100]:
            finish(store, job)
        with pytest.raises(StoreBlockedError):
            store.commit()
    store.commit()
    assert not store.dirty
    with RunReader.open(store.paths) as reader:
        assert reader.summary().counts == {"free": 0, "busy": 300, "done": 100, "unknown": 0, "error": 0}
        assert len(reader.load_unfinished()) == 300
    assert contradictions(store.paths) == []
    store.close(until=CREATED)


def test_a_run_that_cannot_be_stored_leaves_no_store(trouble: tuple[Path, AbstractContextManager[None]]) -> None:
    results, full = trouble
    paths = create_run(results)
    with full, pytest.raises(StoreBlockedError):
        RunStore.create(paths, uid=UID, name="r", jobs=make_jobs(500), hosts=[], options={}, created=CREATED)
    assert not list(paths.root.glob("run.db*"))
    store = RunStore.create(paths, uid=UID, name="r", jobs=make_jobs(5), hosts=[], options={}, created=CREATED)
    store.close()


def journal_mode(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        connection.close()


def test_on_a_network_disk_there_is_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "network_file_system", lambda path: "nfs")
    jobs = make_jobs(3)
    store = make_store(tmp_path, jobs)
    launch(store, jobs[0])
    store.commit()
    names = {path.name for path in store.paths.root.glob("run.db*")}
    assert names <= {"run.db", "run.db-journal"}
    with RunReader.open(store.paths) as reader:
        pieces = reader.jobs_with_attempts()
        next(pieces)
        # A reader that stopped half way holds no lock.
        finish(store, jobs[0])
        store.commit()
        assert reader.summary().counts["done"] == 1
    store.close()
    assert journal_mode(store.paths.store) in ("truncate", "delete")


def test_a_run_that_was_moved_to_another_kind_of_disk_changes_its_journal(tmp_path: Path) -> None:
    jobs = make_jobs(2)
    store = make_store(tmp_path, jobs)
    paths = store.paths
    for network_disk in (True, False, True):
        launch(store, jobs[0])
        store.commit()
        store.close(until=CREATED)
        store = RunStore.open(paths, network_disk=network_disk)
        store.take_over(ManagerIdentity.this_process())
        assert paths.store.with_name("run.db-wal").exists() is not network_disk
        # Moving on to the next attempt.
        finish(store, jobs[0])
        jobs[0].state, jobs[0].outcome = "free", None
        store.commit()
    store.close()
    assert contradictions(paths) == []


def test_the_kind_of_a_disk_is_read_as_the_system_tells_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = subprocess.run(["stat", "-f", "-c", "%t", str(tmp_path)], check=True, capture_output=True, text=True)
    assert disk.network_file_system(tmp_path) is None
    monkeypatch.setitem(disk.NETWORK_FILE_SYSTEMS, int(told.stdout, 16), "made-up")
    assert disk.network_file_system(tmp_path) == "made-up"
    with pytest.raises(StoreError, match="No such file"):
        disk.network_file_system(tmp_path / "missing")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a store of sshjobs"), (b"x" * 5000, "damaged"), (b"SQLite format 3\0" + b"\xff" * 4080, "damaged")],
    ids=["empty", "text", "garbage after the header"],
)
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    paths = create_run(tmp_path)
    paths.store.write_bytes(content)
    for opening in (RunReader.open, RunStore.open):
        with pytest.raises(StoreError, match=words) as caught:
            opening(paths)
        assert caught.value.hint
    assert paths.store.read_bytes() == content


def test_a_store_with_damaged_pages_is_named(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(2000))
    store.close(until=CREATED)
    with open(store.paths.store, "r+b") as file:
        file.seek(4096 * 8)
        file.write(os.urandom(4096 * 12))
    with pytest.raises(StoreError, match="damaged"), RunReader.open(store.paths) as reader:
        list(reader.jobs())
    with pytest.raises(StoreError, match="damaged"):
        contradictions(store.paths)


def test_somebody_elses_database_is_not_touched(tmp_path: Path) -> None:
    paths = create_run(tmp_path)
    connection = sqlite3.connect(paths.store)
    connection.execute("CREATE TABLE run (x)")
    connection.commit()
    connection.close()
    before = paths.store.read_bytes()
    with pytest.raises(StoreError, match="not a store of sshjobs"):
        RunStore.open(paths)
    assert paths.store.read_bytes() == before


def test_a_missing_store_is_named(tmp_path: Path) -> None:
    for opening in (RunReader.open, RunStore.open):
        with pytest.raises(StoreError, match="there is no store"):
            opening(RunPaths(tmp_path, "nothing"))


def test_a_store_of_a_newer_sshjobs_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(1))
    store._connection.execute("PRAGMA user_version = 99")
    store.close()
    for opening in (RunReader.open, RunStore.open):
        with pytest.raises(StoreError, match="a newer sshjobs made this store: its version is 99"):
            opening(store.paths)


NOW = queries.newest_version()
STEPS = {
    NOW + 1: "ALTER TABLE run ADD COLUMN note TEXT;\nUPDATE run SET note = 'a;b';\n",
    NOW + 2: "CREATE TRIGGER t AFTER UPDATE ON run BEGIN\n  SELECT 1;\nEND;\nUPDATE run SET note = note || '!';\n",
}


def test_an_older_store_is_read_without_a_change_and_migrated_by_its_next_manager(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path, make_jobs(3))
    store.close(until=CREATED)
    monkeypatch.setattr(queries, "migrations", lambda: STEPS)
    before = store.paths.store.read_bytes()
    with RunReader.open(store.paths) as reader:
        assert reader._connection.execute("SELECT note FROM run").fetchone() == ("a;b!",)
        assert len(reader.load_unfinished()) == 3
    assert store.paths.store.read_bytes() == before
    store = RunStore.open(store.paths)
    assert store._connection.execute("PRAGMA user_version").fetchone() == (NOW,)
    store.take_over(ManagerIdentity.this_process())
    assert store._connection.execute("PRAGMA user_version").fetchone() == (NOW + 2,)
    assert store._connection.execute("SELECT note FROM run").fetchone() == ("a;b!",)
    store.close()


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_store(tmp_path, make_jobs(1))
    store.close(until=CREATED)
    store = RunStore.open(store.paths)
    steps = {NOW + 1: STEPS[NOW + 1], NOW + 2: "SELECT nonsense;"}
    monkeypatch.setattr(queries, "migrations", lambda: steps)
    with pytest.raises(StoreError):
        store.take_over(ManagerIdentity.this_process())
    assert store._connection.execute("PRAGMA user_version").fetchone() == (NOW,)
    assert len(store._connection.execute("SELECT * FROM run").fetchone()) == 8
    store.close()


def shape(connection: sqlite3.Connection) -> set[str]:
    """What a schema says, however it says it: ``x IN ('a', 'b')`` and ``x = 'a' OR x = 'b'`` are the same."""
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql NOTNULL")
    texts = (" ".join(re.sub("--.*", "", row[0]).split()) for row in rows)
    plain = (text.replace("( ", "(").replace(" )", ")").replace(" ,", ",") for text in texts)
    return {re.sub(r"(\w+) = '\w+'(?: OR \1 = '\w+')+", _one_of, text) for text in plain}


def _one_of(match: re.Match[str]) -> str:
    words = ", ".join(re.findall("'\\w+'", match[0]))
    return f"{match[1]} IN ({words})"


def test_the_steps_lead_from_the_first_version_to_the_schema(tmp_path: Path) -> None:
    """version_1.sql is a store as the first release wrote it, and stays as it is for ever."""
    paths = create_run(tmp_path)
    connection = sqlite3.connect(paths.store)
    connection.executescript((Path(__file__).parent / "version_1.sql").read_text("utf-8"))
    connection.close()
    with RunReader.open(paths) as reader:
        assert reader.summary().counts == {"free": 1, "busy": 1, "done": 1, "unknown": 0, "error": 0}
        assert [job.name for job in reader.load_unfinished()] == ["sim-1", "sim-2"]
        assert reader.load_unfinished()[0].spec.cmds == ["echo hello"]
    store = RunStore.open(paths)
    store.take_over(ManagerIdentity.this_process())
    fresh = sqlite3.connect(":memory:")
    fresh.executescript(queries.schema())
    assert shape(store._connection) == shape(fresh)
    store.close()
    fresh.close()


#: What version_2.sql said in words, and what is known of it now: job, whether it is paused, cause and detail.
SAID = {
    "sim-1": (True, None, None), "sim-2": (True, None, None), "sim-3": (False, None, None),
    "sim-4": (None, Cause.TAKEN_BACK, None), "sim-5": (None, Cause.NO_ROOM, "no space left on device"),
    "sim-6": (None, Cause.HOSTS_FAULT, "exit 127"), "sim-7": (None, Cause.MAY_HAVE_RUN, None),
    "sim-8": (None, Cause.REBOOT, None), "sim-9": (None, Cause.HOSTS_FAULT, None),
}


def test_what_version_2_said_in_words_is_data_now_whoever_opens_it_first(tmp_path: Path) -> None:
    paths = create_run(tmp_path)
    connection = sqlite3.connect(paths.store)
    connection.executescript((Path(__file__).parent / "version_2.sql").read_text("utf-8"))
    connection.close()

    def known() -> dict[str, tuple[Any, ...]]:
        with RunReader.open(paths) as reader:
            assert list(reader.contradictions()) == []
            jobs = reader.load(SAID)
        return {job.name: (job.paused, job.attempts[-1].cause if job.attempts else None,
                           job.attempts[-1].reason if job.attempts else None) for job in jobs}

    assert known() == SAID
    store = RunStore.open(paths)
    store.take_over(ManagerIdentity.this_process())
    fresh = sqlite3.connect(":memory:")
    fresh.executescript(queries.schema())
    assert shape(store._connection) == shape(fresh)
    fresh.close()
    store.close()
    assert known() == SAID


def test_a_cause_that_only_a_newer_sshjobs_knows_is_passed_over(tmp_path: Path) -> None:
    paths = create_run(tmp_path)
    with sqlite3.connect(paths.store) as connection:
        connection.executescript((Path(__file__).parent / "version_2.sql").read_text("utf-8"))
    store = RunStore.open(paths)
    store.take_over(ManagerIdentity.this_process())
    store.close()
    with sqlite3.connect(paths.store) as connection:
        connection.execute("UPDATE attempts SET cause = 'slept'")
    with RunReader.open(paths) as reader:
        assert {job.attempts[-1].cause for job in reader.load(SAID) if job.attempts} == {None}


def test_a_run_in_a_directory_that_cannot_be_written_to_can_be_read() -> None:
    # Not below pytest's own directory, which only its owner may enter.
    results = Path(tempfile.mkdtemp())
    try:
        results.chmod(0o755)
        store = make_store(results, make_jobs(3))
        store.close(until=CREATED)
        store.paths.store.chmod(0o444)
        store.paths.root.chmod(0o555)

        def read() -> None:
            if os.geteuid() == 0:
                os.setuid(65534)
            with RunReader.open(store.paths) as reader:
                assert reader.summary().total == 3

        assert os.waitpid(in_child(read), 0)[1] == 0
    finally:
        store.paths.root.chmod(0o700)
        shutil.rmtree(results)


def test_names_with_odd_characters_in_the_path_are_no_trouble(tmp_path: Path) -> None:
    results = tmp_path / "100% of ?mode=memory#'\"\n\udcff"
    store = make_store(results, make_jobs(1))
    with RunReader.open(store.paths) as reader:
        assert reader.summary().total == 1
    assert store.paths.store.exists()
    store.close()
