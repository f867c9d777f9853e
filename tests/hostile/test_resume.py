"""Stores of runs in which an earlier sshjobs has written down what a hostile host said."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.here import call_here
from tests.hostile.far_side import WELCOME

#: Facts as a host may have told them to a manager that did not look, in JSON as Python writes it.
FACTS = {
    "cores": ["-3", "0", str(10**9), "1e308"], "memory": ["1" + "0" * 400, "Infinity", "-1"], "disk": ["NaN", "1e400"],
    "clock": ["-Infinity", "1e300"], "boot": ["null", "7", '"' + "x" * 100_000 + '"'], "gpus": ["null", '["\\u001b[2J"]', "[1]"],
    "python": ['"\\u001b[31m"', "3", '"' + "y" * 100_000 + '"'], "hostname": ['"\\ud800"'],
}
ATTEMPT: dict[str, list[Any]] = {"started": [9e999, -9e999, 1e300, -1e300], "ended": [9e999, 1e300], "pid": [2**62, -5], "rss": [2**62, -1],
           "cpu": [9e999, -1.0], "out_size": [2**62, -1], "reason": ["x" * 1_000_000, "\x1b[2J"]}


@pytest.fixture
def interrupted(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A run of two jobs that has ended with one of them, its store open to changes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: a, commands: echo a}, {name: b, commands: test -e there}]")
    assert call_here("run", "jobs.yaml", "--hosts", "h1", "--transport", "local", "-q").returncode == 1
    yield tmp_path / "results/jobs-1/run.db"


def goes_on() -> None:
    """Look at the run in every way that there is, and carry it to its end."""
    for words in (("ls",), ("status",), ("status", "--json"), ("attach", "--json"), ("verify", "--no-hosts"),
                  ("logs", "a"), ("retry", "b"), ("resume", "-q"), ("resume", "--json"), ("status",), ("attach", "-q")):
        done = call_here(*words)
        assert done.returncode in (0, 1), (words, done.stdout[-500:], done.stderr[-500:])
        assert "\x1b[2J" not in done.stdout + done.stderr
        assert len(done.stdout) < 20_000 and "Traceback" not in done.stderr and "internal error" not in done.stderr
        whole = [done.stdout] if words == ("status", "--json") else done.stdout.splitlines()
        for text in whole if "--json" in words else ():
            json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))


@pytest.mark.parametrize("key", FACTS)
def test_facts_that_cannot_be_are_no_hindrance_to_a_resume(key, interrupted):
    for word in FACTS[key]:
        facts = json.dumps({**WELCOME, key: "@here@"}).replace('"@here@"', word)
        with sqlite3.connect(interrupted) as store:
            store.execute("UPDATE hosts SET facts = ?", (facts,))
        goes_on()


@pytest.mark.parametrize("column", ATTEMPT)
def test_what_is_known_of_an_attempt_that_cannot_be_is_no_hindrance_to_a_resume(column, interrupted):
    for value in ATTEMPT[column]:
        with sqlite3.connect(interrupted) as store:
            store.execute(f"UPDATE attempts SET {column} = ?", (value,))
            if column == "reason":
                store.execute("UPDATE jobs SET reason = ?", (value,))
        goes_on()
