"""The results directory or the store cannot be used in mid-run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.store import RunReader
from tests.hints import tries
from tests.lab import disks
from tests.lab.waiting import wait_until
from tests.trouble.scene import LocalScene

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
#: Runs until the test lets it end.
HELD = "until test -e {}/go; do sleep 0.05; done"


@pytest.fixture
def scene(tmp_path: Path, clean_home: Path) -> Iterator[Callable[..., LocalScene]]:
    """Make a run of jobs that wait for the file ``go``: ``scene({"repeat": 4})``."""
    made: list[LocalScene] = []

    def make(*entries: dict, commands: str = HELD) -> LocalScene:
        directory = tmp_path / f"scene-{len(made)}"
        directory.mkdir()
        (directory / "input").write_text("an input\n")
        made.append(LocalScene(directory, [{"name": f"job-{n}", "commands": [commands.format(directory)], **entry}
                                           for n, entry in enumerate(entries)]))
        return made[-1]

    yield make
    for one in made:
        (one.directory / "go").touch()
        one.kill()


def go(scene: LocalScene) -> None:
    (scene.directory / "go").touch()


@tries("put it back, then: sshjobs resume {}")
@pytest.mark.parametrize("entry", [{}, {"repeat": 8}], ids=["one job", "several jobs"])
def test_a_results_directory_that_is_moved_away_ends_the_run_with_one_line_and_is_gone_on_with_when_it_is_back(scene, entry):
    made = scene(entry)
    made.begin()
    made.wait_for("launch", min(2, entry.get("repeat", 1)))
    made.results.rename(made.directory / "old")
    go(made)
    assert made.ends() == 1
    (line,) = made.said()
    assert re.fullmatch(r"sshjobs: results/r: the run's directory is gone: it was moved or removed while the run was at work; "
                        "put it back, then: sshjobs resume r", line)
    assert not made.results.exists(), "nothing is made in its place"
    (made.directory / "old").rename(made.results)
    made.resume()
    assert made.ends() == 0
    made.is_all_done(entry.get("repeat", 1))
    assert made.blamed() == []


def test_nothing_more_is_launched_for_a_run_whose_directory_was_removed(scene):
    made = scene({"repeat": 40}, commands="sleep 0.1")
    made.begin()
    made.wait_for("done", 2)
    shutil.rmtree(made.paths.root, ignore_errors=True)
    assert made.ends() == 1
    assert "the run's directory is gone" in made.said()[-1]
    assert sum(made.starts().values()) < 40
    assert made.blamed() == []


def test_a_job_with_files_whose_directory_is_a_file_waits_until_that_is_gone(scene):
    made = scene({}, {"files": ["input"], "commands": ["cat input"]}, {"files": ["input"]})
    made.begin(hosts="h0")
    made.wait_for("launch")
    in_the_way = made.paths.job("job-1")
    in_the_way.write_text("in the way")
    go(made)
    made.wait_for_warning("this machine: results/r/jobs/job-1: output cannot be written on this machine: File exists; waiting")
    in_the_way.unlink()
    assert made.ends() == 0
    made.is_all_done(3)
    assert (in_the_way / "stdout").read_text() == "an input\n"
    assert made.blamed() == []


def test_jobs_whose_directories_cannot_be_made_wait_and_their_hosts_stay(scene):
    made = scene({"repeat": 12})
    in_the_way = [made.paths.job(f"job-0-{n}") for n in range(6, 13)]
    made.begin()
    made.wait_for("launch", 2)
    for path in in_the_way:
        path.write_text("in the way")
    go(made)
    made.wait_for_warning("output cannot be written on this machine: File exists; waiting")
    assert made.process.poll() is None
    for path in in_the_way:
        path.unlink()
    assert made.ends() == 0
    made.is_all_done(12)
    assert made.blamed() == []


@contextlib.contextmanager
def full_disk(scene: LocalScene) -> Iterator[Callable[[], None]]:
    """Let the disk of a run, two of whose jobs run, become full before they end; yields what makes room."""
    scene.results.mkdir()
    with disks.small_disk(scene.results, "4m"):
        scene.begin()
        scene.wait_for("launch", 2)
        disks.fill(scene.results / "filler")
        go(scene)
        scene.wait_for_warning("run.db: the store cannot be used at present: database or disk is full; waiting; make room")
        yield (scene.results / "filler").unlink


@needs_root
@pytest.mark.parametrize("words", [["retry", "r", "--failed"], ["add", "r", "jobs.yaml"], ["hosts", "drain", "r", "h0"]], ids=" ".join)
def test_a_request_that_has_time_is_refused_while_the_disk_is_full_and_nothing_of_it_is_done(scene, words):
    made = scene({"repeat": 9})
    with full_disk(made) as make_room:
        told = made.ask(*words)
        assert told.returncode == 1
        assert re.fullmatch("sshjobs: r: the manager waits and can note nothing: .*: the store cannot be used at present: "
                            "database or disk is full; make room; nothing was done; ask again when that is over\n",
                            told.stderr), told
        make_room()
        assert made.ends() == 0
        made.is_all_done(9)
        assert made.blamed() == []


FULL = "the store cannot be used at present: database or disk is full; make room"


@tries("then see: sshjobs status {}")
@needs_root
@pytest.mark.parametrize("words", [["cancel", "r", "--all"], ["cancel", "r", *[f"job-0-{n}" for n in range(1, 10)]]],
                         ids=["all", "by name"])
@pytest.mark.parametrize("known", [False, True], ids=["unknown to the manager", "for which the manager waits"])
def test_a_cancel_ends_jobs_at_once_while_the_disk_is_full_and_is_noted_when_there_is_room(scene, words, known):
    made = scene({"repeat": 9, "leftovers": "kill"}, commands="echo $$ >> {}/pids; exec sleep 600")
    pids = made.directory / "pids"
    made.results.mkdir()
    with disks.small_disk(made.results, "4m"):
        made.begin()
        wait_until(lambda: pids.exists() and len(pids.read_text().splitlines()) == 2, 60, "two jobs at work")
        made.wait_for("started", 2)
        disks.fill(made.results / "filler")
        if known:
            # Something to note.
            os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)
            made.wait_for_warning(f"{FULL.replace('; make', '; waiting; make')}")
        told = made.ask(*words)
        assert told.returncode == 1
        assert re.fullmatch(f"sshjobs: r: they are being ended, but that cannot be written down yet: .*: {FULL}; then see: "
                            "sshjobs status r\n", told.stderr), told
        processes = [Path("/proc", pid) for pid in pids.read_text().split()]
        wait_until(lambda: not any(process.exists() for process in processes), 20, "the end of the jobs")
        assert made.ask("status", "r").returncode == 0
        (made.results / "filler").unlink()
        assert made.ends() == 1
        (end,) = made.of("end")
        assert end["outcomes"] == ({"cancelled": 8, "signalled": 1} if known else {"cancelled": 9})
        assert "9 error of 9 jobs" in made.ask("status", "r").stdout
        # Its end made room for another one, whose intent waits for the disk: it never leaves.
        assert len(made.starts()) == 2, "nothing was launched after it"


@needs_root
def test_a_pause_counts_at_once_while_the_disk_is_full_and_is_noted_when_there_is_room(scene):
    made = scene({"repeat": 9})
    with full_disk(made) as make_room:
        told = made.ask("pause", "r")
        assert told.returncode == 0
        assert re.fullmatch(f"sshjobs: r: this cannot be written down yet, and is forgotten if the manager ends before: .*: {FULL}\n",
                            told.stderr), told
        make_room()
        wait_until(lambda: len(made.of("done")) == 2, 60, lambda: str(made.tail()))
        with RunReader.open(made.paths) as reader:
            wait_until(lambda: reader.summary().options.get("paused") is True, 60, "the pause in the store")
        assert made.ask("unpause", "r").returncode == 0
        assert made.ends() == 0
        made.is_all_done(9)


@needs_root
@tries("; should the manager end before, what was stopped stands until: sshjobs unpause {} JOB")
def test_a_job_that_was_stopped_while_the_disk_was_full_goes_on_by_the_command_that_was_told(scene):
    made = scene({}, commands="echo $$ > {0}/pid; until test -e {0}/go; do sleep 0.05; done")
    made.results.mkdir()
    with disks.small_disk(made.results, "4m"):
        made.begin()
        made.wait_for("started")
        disks.fill(made.results / "filler")
        told = made.ask("pause", "r", "job-0")
        assert told.returncode == 0
        assert re.fullmatch("sshjobs: r: this cannot be written down yet; should the manager end before, what was stopped stands until: "
                            f"sshjobs unpause r JOB: .*: {FULL}\n", told.stderr), told
        stat = Path("/proc", (made.directory / "pid").read_text().strip(), "stat")
        wait_until(lambda: stat.read_text().rpartition(") ")[2].startswith("T"), 60, "the job to stand")
        made.kill()
        (made.results / "filler").unlink()
        go(made)
        made.resume()
        made.wait_for("host", 2)
        assert made.ask("unpause", "r", "job-0").returncode == 0
        assert made.ends() == 0
        made.is_all_done(1)


@needs_root
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_manager_whose_disk_is_full_can_be_left_and_its_successor_finds_everything(scene, number):
    made = scene({"repeat": 5})
    with full_disk(made) as make_room:
        for nth in range(1, 4 if number == signal.SIGINT else 2):
            made.signal(number)
            made.wait_for("interrupt", nth)
        assert made.ends() == 130
        make_room()
        made.resume()
        made.ends()
        # The second Ctrl-C cancelled what ran, if that had not ended by then.
        assert set(made.starts().values()) == {1}
        assert made.blamed() == []
        made.is_all_done(5)


def test_a_person_is_heard_while_another_process_holds_the_store(scene):
    made = scene({"repeat": 4})
    made.begin()
    made.wait_for("launch", 2)
    held = sqlite3.connect(made.paths.store, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")
    go(made)
    made.wait_for_warning("run.db: the store is in use by another process: database is locked; waiting")
    told = made.ask("hosts", "drain", "r", "h0")
    assert told.returncode == 1
    assert "the store is in use by another process: database is locked; nothing was done" in told.stderr, told
    assert made.ask("pause", "r").returncode == 0
    assert made.ask("unpause", "r").returncode == 0
    held.execute("ROLLBACK")
    held.close()
    assert made.ends() == 0
    made.is_all_done(4)
    assert made.blamed() == []
