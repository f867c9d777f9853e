"""``sshjobs simulate``: how long a run would take, from what is said or from what an earlier run did."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from sshjobs.cli import main
from sshjobs.cli import simulate as simulate_command
from tests.cli.runs import edit
from tests.conftest import SshjobsCli

TOLD = re.compile(r"(\d+) jobs on (\d+) hosts: p50 ([\d.]+) s, p90 ([\d.]+) s\n")


def simulate(sshjobs_cli: SshjobsCli, directory: Path, *words: str, jobs: int = 40) -> tuple[float, float]:
    """Return when half of the plays ended, and when nine of ten did."""
    (directory / "jobs.yaml").write_text(f"jobs: [{{name: a, argv: ['true'], repeat: {jobs}}}]\n")
    told = sshjobs_cli("simulate", "jobs.yaml", "--hosts", "n[1-5]", "--slots", "2", *words)
    assert (told.returncode, told.stderr) == (0, "")
    found = TOLD.fullmatch(told.stdout)
    assert found is not None and found[1] == str(jobs) and found[2] == "5", told.stdout
    return float(found[3]), float(found[4])


def finished_run(results: Path, *seconds: float) -> None:
    """Make a run whose jobs have taken so long."""
    names = [f"j-{number}" for number in range(len(seconds))]
    with edit(results, "earlier", names) as run:
        for name, taken in zip(names, seconds, strict=True):
            run.done(name)
            attempt = run.jobs[name].attempts[-1]
            attempt.started, attempt.ended = 1_700_000_000.0, 1_700_000_000.0 + taken
            run.store.touch_attempt(run.jobs[name], attempt)


def test_jobs_of_the_same_length_fill_the_slots_one_after_the_other(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    half, most = simulate(sshjobs_cli, tmp_path, "--seconds", "10")
    # Forty jobs on ten slots, and a moment to get there.
    assert 40.0 <= half <= most < 44.0


def test_durations_come_from_an_earlier_run(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    finished_run(tmp_path / "results", 100.0, 100.0, 100.0)
    half, most = simulate(sshjobs_cli, tmp_path, "--like", "earlier")
    assert 400.0 <= half <= most < 404.0


def test_durations_that_differ_make_plays_that_differ(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    finished_run(tmp_path / "results", 1.0, 1.0, 1.0, 60.0)
    half, most = simulate(sshjobs_cli, tmp_path, "--like", "earlier")
    # A quarter of the jobs take a minute: about ten of them, on ten slots.
    assert 60.0 <= half <= 240.0 and half <= most
    assert simulate(sshjobs_cli, tmp_path, "--like", "earlier") == (half, most)


def test_a_play_does_not_hang_on_how_a_process_hashes_text(sshjobs_cli: SshjobsCli, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(tmp_path / "results", 1.0, 1.0, 1.0, 60.0)
    told = set()
    for seed in (101, 102, 105):
        monkeypatch.setenv("PYTHONHASHSEED", str(seed))
        told.add(simulate(sshjobs_cli, tmp_path, "--like", "earlier"))
    assert len(told) == 1


def test_a_run_that_tells_no_duration_is_no_model(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    with edit(tmp_path / "results", "fresh", ["a"]):
        pass
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: a, argv: ['true']}]\n")
    told = sshjobs_cli("simulate", "jobs.yaml", "--hosts", "n1", "--like", "fresh")
    assert told.returncode == 2 and "fresh" in told.stderr and told.stderr.count("\n") == 1
    told = sshjobs_cli("simulate", "jobs.yaml", "--hosts", "n1", "--like", "missing")
    assert told.returncode == 2 and "missing" in told.stderr


def test_it_must_be_said_how_long_jobs_take_and_said_once(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: a, argv: ['true']}]\n")
    for words in ((), ("--seconds", "1", "--like", "x"), ("--seconds", "soon"), ("--seconds", "-1")):
        told = sshjobs_cli("simulate", "jobs.yaml", "--hosts", "n1", *words)
        assert told.returncode == 2 and told.stderr.count("\n") == 1, words


def test_long_plays_run_side_by_side_and_give_the_same() -> None:
    here, seeds = os.getpid(), ["1.5", "2.5", "3.5", "4.5"]
    players: list[float] = simulate_command._plays(lambda seed: float(os.getpid() != here), seeds, 10**6)
    several = sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1
    assert players == [0.0, *[float(several)] * 3]
    assert simulate_command._plays(float, seeds, 10**6) == simulate_command._plays(float, seeds, 1) == [1.5, 2.5, 3.5, 4.5]


def test_the_more_jobs_the_fewer_plays(tmp_path: Path, mocker: MockerFixture) -> None:
    play = mocker.patch.object(simulate_command, "_play", return_value=1.0)
    for jobs, times in ((1, 20), (15_000, 20), (60_000, 5), (200_000, 3)):
        play.reset_mock()
        mocker.patch.object(simulate_command, "WORTH_IT", 10**9)
        (tmp_path / "jobs.yaml").write_text(f"jobs: [{{name: a, argv: ['true'], repeat: {jobs}}}]\n")
        assert main(["simulate", str(tmp_path / "jobs.yaml"), "--hosts", "h", "--seconds", "1"]) == 0
        assert play.call_count == times
