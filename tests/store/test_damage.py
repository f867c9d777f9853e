"""Damaged stores: named, and never a reason not to show the others."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.errors import StoreError
from sshjobs.store import RunReader
from sshjobs.store.damage import Damage, damage_told
from sshjobs.store.rundir import RunPaths
from tests.cli.here import call_here
from tests.cli.runs import edit, make_run

#: What each query of the store is asked; whatever the file holds, only a StoreError comes out.
QUESTIONS: dict[str, Callable[[RunReader], object]] = {
    "summary": RunReader.summary,
    "jobs": lambda reader: list(reader.jobs()),
    "job": lambda reader: reader.job("sim-2"),
    "attempts": lambda reader: list(reader.jobs_with_attempts()),
    "hosts": lambda reader: reader.hosts(),
    "changed": lambda reader: reader.changed_since(0),
    "unfinished": RunReader.load_unfinished,
    "load": lambda reader: reader.load(["sim-1", "sim-3"]),
    "contradictions": lambda reader: list(reader.contradictions()),
}


def a_run(results: Path, name: str = "bad") -> RunPaths:
    """A run in which something has happened, all of it in one file."""
    with edit(results, name, ["sim-1", "sim-2", "sim-3", "sim-4"]) as run:
        run.done("sim-1")
        run.busy("sim-2")
        run.failed("sim-3")
        run.store.set_host("a", "up", facts={"boot": "b", "cores": 2})
    with sqlite3.connect(run.paths.store) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return run.paths


def spoil(paths: RunPaths, statement: str) -> None:
    """Change what is stored, past all checks of the schema."""
    connection = sqlite3.connect(paths.store)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(statement)
    connection.commit()
    connection.close()


def answers(paths: RunPaths) -> dict[str, StoreError | None]:
    """Ask all questions; return which could not be answered. Anything but a StoreError comes out."""
    found: dict[str, StoreError | None] = {}
    for name, question in QUESTIONS.items():
        found[name] = None
        try:
            with RunReader.open(paths) as reader:
                question(reader)
        except StoreError as error:
            found[name] = error
    return found


@pytest.mark.parametrize(("statement", "question"), [
    ("UPDATE run SET options = '{\"a\": '", "summary"),
    ("UPDATE run SET options = '[1]'", "summary"),
    ("UPDATE run SET name = x'00ff'", "summary"),
    ("UPDATE run SET created = 9e999", "summary"),
    ("UPDATE run SET created = 'yesterday'", "summary"),
    ("DELETE FROM run", "summary"),
    ("UPDATE managers SET pid = 'x'", "summary"),
    ("UPDATE managers SET until = 'x'", "summary"),
    ("UPDATE jobs SET state = 'asleep' WHERE number = 2", "unfinished"),
    ("UPDATE jobs SET name = x'41' WHERE number = 2", "jobs"),
    ("UPDATE jobs SET outcome = 'odd' WHERE number = 2", "unfinished"),
    ("UPDATE jobs SET exit_status = 'three'", "jobs"),
    ("UPDATE jobs SET spec = 99", "unfinished"),
    ("UPDATE specs SET spec = 'nonsense'", "unfinished"),
    ("UPDATE specs SET spec = '{\"cmds\": 3, \"argv\": 4}'", "unfinished"),
    ("UPDATE attempts SET state = 'asleep'", "attempts"),
    # What a host has told is its own, see tests/hostile/test_resume.py.
    ("UPDATE attempts SET started = 'noon'", "attempts"),
    ("UPDATE attempts SET token = x'41'", "attempts"),
    ("UPDATE hosts SET host = '{}'", "hosts"),
    ("UPDATE hosts SET host = '{\"nam'", "hosts"),
    ("UPDATE hosts SET facts = '7'", "hosts"),
])
def test_what_the_schema_does_not_allow_is_told_as_damage_and_other_runs_are_listed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, question: str) -> None:
    monkeypatch.chdir(tmp_path)
    paths = a_run(tmp_path / "results")
    make_run(tmp_path / "results", "good")
    assert set(answers(paths).values()) == {None}
    spoil(paths, statement)
    error = answers(paths)[question]
    assert error is not None and "the store of bad is damaged" in str(error), error
    listed = call_here("ls")
    assert listed.returncode == 0 and "good  " in listed.stdout and "bad " in listed.stdout, listed
    for words in (["status", "bad"], ["status", "bad", "--json"], ["logs", "bad", "sim-1"]):
        told = call_here(*words)
        assert told.returncode != 70 and "internal error" not in told.stderr, told


def test_flipped_bytes_anywhere_lead_to_answers_or_to_one_kind_of_error(tmp_path: Path) -> None:
    seed = 8
    paths, rng = a_run(tmp_path / "results"), random.Random(seed)
    whole, told = paths.store.read_bytes(), 0
    for round_ in range(150):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 3, 30))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        paths.store.write_bytes(data)
        for suffix in ("-wal", "-shm"):
            paths.store.with_name(paths.store.name + suffix).unlink(missing_ok=True)
        try:
            told += any(answers(paths).values())
        except Exception as error:
            raise AssertionError(f"seed {seed}, round {round_}") from error
    assert 10 < told < 150, told


@pytest.mark.parametrize(("error", "why"), [
    (Damage("x stands where it cannot"), "x stands where it cannot"), (KeyError("y"), "KeyError: 'y'"), (ValueError("z" * 300), "ValueError: " + "z" * 188)])
def test_what_is_wrong_with_a_damaged_store_is_told(tmp_path: Path, error: Exception, why: str) -> None:
    with pytest.raises(StoreError) as told, damage_told(tmp_path / "run-1" / "run.db"):
        raise error
    assert told.value.why == why and "the store of run-1 is damaged" in str(told.value)
