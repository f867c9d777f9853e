"""Hints of verify: what disagrees is brought about on a run, and agrees once it is done as is said."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.audit import files
from tests.cli.here import call_here
from tests.hints import tries
from tests.hints.acts import HELD, command_in, says, write_jobs
from tests.lab.waiting import wait_until
from tests.trouble.scene import LocalScene


@pytest.fixture
def done(here: Path) -> Path:
    """A run of one job that is over, with a copy of its directory beside the results; returns the directory."""
    write_jobs({"name": "x", "commands": "echo hello"})
    assert call_here("run", "jobs.yaml", "--name", "r").returncode == 0
    shutil.copytree("results/r", "copy")
    return Path("results/r")


@pytest.fixture
def cut_short(scene: Callable[..., LocalScene]) -> Iterator[LocalScene]:
    """A run whose manager died when the end of a job was in its store and before the host was told to forget it."""
    made = scene({"commands": ["echo hello"]}, {"commands": ["true"]})
    made.begin(hosts="h0", env={"SSHJOBS_FAILPOINTS": "before_release:kill"})
    assert made.ends() < 0
    shutil.copytree("results/r", "copy")
    yield made


def change(statement: str) -> None:
    """Change the store of the run."""
    with sqlite3.connect("results/r/run.db") as store:
        store.execute(statement)
    store.close()


def bring_store_back() -> None:
    for path in Path("results/r").glob("run.db*"):
        path.unlink()
    for path in Path("copy").glob("run.db*"):
        shutil.copy(path, "results/r")


def agrees() -> bool:
    return "all agree" in says("verify", "r")


@tries("bring it back from a copy; nothing else has it", "move it elsewhere", "see to its rights", "bring run.db back from a copy")
def test_what_is_not_as_the_store_says_is_put_right(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = done / "jobs" / "x" / "stdout"
    output.write_bytes(b"HELLO\n")
    assert "bring it back from a copy; nothing else has it" in says("verify", "r", "--no-hosts")
    shutil.copy("copy/jobs/x/stdout", output)
    (done / "jobs" / "alien").mkdir()
    assert "move it elsewhere" in says("verify", "r", "--no-hosts")
    (done / "jobs" / "alien").rename("elsewhere")

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as closed:
        closed.setattr(files.os, "scandir", refuse)  # type: ignore[attr-defined]
        assert "cannot be read: Permission denied; see to its rights" in says("verify", "r", "--no-hosts")
    change("UPDATE counts SET n = n + 1")
    assert "the store contradicts itself; bring run.db back from a copy" in says("verify", "r", "--no-hosts")
    bring_store_back()
    assert agrees()


@tries("remove it: sshjobs gc {}")
def test_what_stayed_on_a_host_is_removed(scene: Callable[..., LocalScene], here: Path, clean_home: Path) -> None:
    made = scene({})
    made.begin(hosts="h0")
    made.wait_for("started")
    shutil.copytree(clean_home / ".sshjobs", "left")
    (here / "go").touch()
    assert made.ends() == 0
    shutil.copytree("left", clean_home / ".sshjobs", dirs_exist_ok=True)
    assert call_here(*command_in(says("verify", "r"), "the run is over; remove it: ")).returncode == 0
    assert agrees()


@tries("its host has it still; fetch it: sshjobs resume {}")
def test_output_that_is_missing_here_is_fetched(cut_short: LocalScene) -> None:
    output = cut_short.paths.job("job-0") / "stdout"
    os.truncate(output, 1)
    assert call_here(*command_in(says("verify", "r"), "its host has it still; fetch it: ")).returncode == 0
    assert output.read_text() == "hello\n" and agrees()


@tries("to go on with the run: sshjobs resume {}")
def test_what_a_host_keeps_although_it_may_forget_it_is_seen_to(cut_short: LocalScene) -> None:
    change("UPDATE attempts SET released = 1 WHERE job = 1")
    assert call_here(*command_in(says("verify", "r"), "the store says that it was released; to go on with the run: ")).returncode == 0
    assert agrees()


@tries("believe the host, and bring run.db back from a copy")
def test_a_store_that_says_otherwise_than_its_host_is_brought_back(cut_short: LocalScene) -> None:
    change("UPDATE attempts SET exit_status = 3, outcome = 'failed', state = 'error' WHERE job = 1")
    told = says("verify", "r")
    assert "ended with status 0 there: the store says 3; believe the host, and bring run.db back from a copy" in told, told
    bring_store_back()
    assert call_here("resume", "r").returncode == 0 and agrees()


@tries("look again when the run is over: sshjobs verify {word}")
def test_what_cannot_be_told_of_a_run_at_work_is_told_after_it(scene: Callable[..., LocalScene], here: Path) -> None:
    made = scene({"commands": ["true"]}, {"commands": [HELD.format(here)]})
    made.begin(hosts="h0")
    made.wait_for("done")
    with sqlite3.connect("file:results/r/run.db?mode=ro", uri=True) as store:
        (token,) = store.execute("SELECT token FROM attempts WHERE job = 1").fetchone()
    store.close()
    orphan = subprocess.Popen(["sleep", "300"], env={"SSHJOBS_TOKEN": token}, start_new_session=True)
    try:
        wait_until(lambda: "still lives" in says("verify", "r"), 30, "the process to be seen")
        verify = command_in(says("verify", "r"), "look again when the run is over: ")
    finally:
        orphan.kill()
        orphan.wait()
    (here / "go").touch()
    assert made.ends() == 0
    assert call_here(*verify).returncode == 0 and agrees()
