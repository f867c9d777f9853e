"""keep_directory: the directory that was made for a job stays on its host until gc, and nothing else does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs import JobSpec, Run, UsageError
from sshjobs.audit import garbage
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.model.outputs import keeps_directory
from sshjobs.model.states import Outcome
from sshjobs.running.fetching import fetch_files
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab.waiting import wait_until


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return lambda *specs, **options: Run.start(specs, ["localhost slots=4"], **options)


def kept(home: Path) -> dict[str, list[str]]:
    """Attempts whose directories are on the host, with what is in them."""
    return {path.name: sorted(os.listdir(path)) for path in sorted(home.glob(".sshjobs/*/*/w/*"))}


def all_files(home: Path) -> list[str]:
    """Everything of ours on the host but what is in the directories of attempts."""
    return sorted(path.name for path in home.glob(".sshjobs/*/*/*"))


@tries("kept there of ended jobs: {}; to remove that: sshjobs gc {}")
def test_what_stays_is_what_the_job_says(start: Callable[..., Run], clean_home: Path, sshjobs_cli: SshjobsCli) -> None:
    said: list[dict[str, Any]] = []
    specs = [JobSpec([f"echo {how} > mark; exit {status}"], name=f"{how}-{status}", keep_directory=how, outputs=["mark"])
             for how in ("never", "on_failure", "always") for status in (0, 1)]
    run = start(*specs, listener=said.append)
    assert run.wait(60) == EXIT_JOBS_FAILED
    uids = {job.name: job.attempts[-1].uid for job in run.jobs}
    assert set(kept(clean_home)) == {uids[name] for name in ("on_failure-1", "always-0", "always-1")}
    assert all(names == ["mark"] for names in kept(clean_home).values()) and all_files(clean_home) == ["j", "w"]
    lines = [json.dumps(event) for event in said]
    assert any("kept there of ended jobs: 3 directories; to remove that: sshjobs gc run-1" in line for line in lines), lines
    verified = sshjobs_cli("verify", "run-1")
    assert verified.returncode == 0 and "kept on hosts: 3 directories of jobs" in verified.stdout, verified.stdout
    told = {one.job: one for one in fetch_files(run.paths)}
    assert {name: one.files for name, one in told.items()} == {"never-1": 0, "on_failure-1": 1, "always-1": 1}
    assert "keep_directory: on_failure would keep it" in (told["never-1"].trouble or "")
    assert sshjobs_cli("gc", "run-1").returncode == EXIT_OK and kept(clean_home) == {}


@tries("{}: {}; to remove that now: sshjobs gc {}")
def test_gc_leaves_them_for_an_hour_unless_the_run_is_named(start: Callable[..., Run], clean_home: Path,
                                                            sshjobs_cli: SshjobsCli) -> None:
    run = start(JobSpec(["touch x; exit 1"], name="a", keep_directory="on_failure"))
    assert run.wait(60) == EXIT_JOBS_FAILED
    told = sshjobs_cli("gc")
    assert told.returncode == EXIT_OK and "1 directory of jobs with keep_directory, for an hour" in told.stdout, told.stdout
    assert "sshjobs gc run-1" in told.stdout and kept(clean_home) == {"1.1": ["x"]}
    shown = sshjobs_cli("gc", "--dry-run", "run-1")
    assert "would remove 1 directory" in shown.stdout and kept(clean_home) == {"1.1": ["x"]}
    told = sshjobs_cli("gc", "run-1")
    assert told.returncode == EXIT_OK and kept(clean_home) == {} and not (clean_home / ".sshjobs").exists()
    verified = sshjobs_cli("verify")
    assert verified.returncode == EXIT_OK and "kept" not in verified.stdout


@pytest.mark.parametrize("known", [True, False])
def test_after_an_hour_gc_removes_them(start: Callable[..., Run], clean_home: Path, monkeypatch: pytest.MonkeyPatch, known: bool) -> None:
    run = start(JobSpec(["touch x; exit 1"], name="a", keep_directory="on_failure"))
    assert run.wait(60) == EXIT_JOBS_FAILED
    runs = [garbage.known_run(run.paths)]
    places = [(host, runs[0].way) for host in runs[0].hosts]
    runs = runs if known else []
    [plan] = garbage.look(places, runs, only=False, force=False)
    assert plan.broom.directories == () and len(plan.kept) == 1
    monkeypatch.setattr(garbage, "QUIET", 0.0)
    plans = garbage.look(places, runs, only=False, force=False)
    assert [gone for _, gone, _, _ in garbage.clean(plans, runs)] == [1]
    assert kept(clean_home) == {}


@pytest.mark.parametrize("failpoint", ["exit_seen:kill@1", "before_release:kill@1"])
def test_a_manager_that_is_killed_has_them_kept_by_the_next(sshjobs_cli: SshjobsCli, tmp_path: Path, clean_home: Path, failpoint: str) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"defaults": {"keep_directory": "on_failure"}, "jobs": [
        {"name": "bad", "commands": ["echo x >> ~/ledger; touch bad; exit 1"]}, {"name": "good", "commands": ["touch good"]}]}))
    killed = sshjobs_cli("run", "jobs.yaml", "--hosts", "localhost", env={"SSHJOBS_FAILPOINTS": failpoint})
    assert killed.returncode == -signal.SIGKILL
    assert Run.resume(RunPaths(tmp_path / "results", "jobs-1")).process() == EXIT_JOBS_FAILED
    assert kept(clean_home) == {"1.1": ["bad"]} and (clean_home / "ledger").read_text() == "x\n"
    assert sshjobs_cli("verify").returncode == EXIT_OK


def test_a_job_that_is_tried_again_later_starts_in_a_directory_of_its_own(start: Callable[..., Run], clean_home: Path,
                                                                         sshjobs_cli: SshjobsCli) -> None:
    run = start(JobSpec(['test ! -e mark; echo "$SSHJOBS_ATTEMPT" > mark; exit 1'], name="a", keep_directory="always"))
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert sshjobs_cli("retry", "run-1", "a").returncode == EXIT_JOBS_FAILED
    marks = {path.parent.name: path.read_text() for path in clean_home.glob(".sshjobs/*/*/w/*/mark")}
    assert marks == {"1.1": "1\n", "1.2": "2\n"}
    verified = sshjobs_cli("verify")
    assert verified.returncode == EXIT_OK and "kept on hosts: 2 directories" in verified.stdout, verified.stdout


def test_an_agent_that_dies_forgets_none(start: Callable[..., Run], clean_home: Path, tmp_path: Path) -> None:
    run = start(JobSpec(["touch x; exit 1"], name="bad", keep_directory="on_failure"),
                JobSpec([f"until [ -e {tmp_path}/go ]; do sleep 0.02; done"], name="slow"))
    jobs = {job.name: job for job in run.jobs}
    wait_until(lambda: jobs["bad"].attempts and jobs["bad"].attempts[-1].released, 30, "the first to be over")
    [record] = clean_home.glob(".sshjobs/*/*/agent")
    pid = json.loads(record.read_text().partition(" ")[2])["pid"]
    os.kill(pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    assert run.wait(90) == EXIT_JOBS_FAILED
    assert kept(clean_home) == {"1.1": ["x"]}


def test_a_job_that_never_ran_leaves_nothing(start: Callable[..., Run], clean_home: Path) -> None:
    run = start(JobSpec(["true"], name="a", keep_directory="always", cwd="/no/such/place"))
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert kept(clean_home) == {}


def test_which_ends_keep_a_directory() -> None:
    ends = [*Outcome, None]
    assert [end for end in ends if keeps_directory("always", end)] == [end for end in Outcome if end is not Outcome.NEVER_STARTED]
    assert Outcome.SUCCEEDED not in [end for end in ends if keeps_directory("on_failure", end)]
    assert not any(keeps_directory("never", end) for end in ends)
    with pytest.raises(UsageError, match="keep_directory"):
        JobSpec(["true"], keep_directory="sometimes")
