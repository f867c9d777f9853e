"""What ends of jobs mean for their runs, in real runs on this machine: delays before retries, and rules that end a run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs import Builder, Run, UsageError
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, EXIT_USAGE
from sshjobs.running.unattended import change
from sshjobs.store import RunReader
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab.waiting import wait_until


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return lambda jobs, **options: Run.start(jobs, ["localhost slots=2"], **{"name": "r", **options})


def outcomes(run: Run) -> dict[str, str | None]:
    return {job.name: job.outcome and str(job.outcome) for job in run.jobs}


# -- delays ------------------------------------------------------------------------------------------------------------

def test_a_job_is_tried_again_when_its_delay_is_over_and_not_before(start: Callable[..., Run]) -> None:
    run = start(Builder().AddJob("test $SSHJOBS_ATTEMPT = 3", name="late", retries=2, retry_delay=0.2))
    assert run.wait(60) == EXIT_OK
    first, second, third = run.jobs[0].attempts
    assert (second.started or 0) - (first.ended or 0) >= 0.2
    assert (third.started or 0) - (second.ended or 0) >= 0.4


def test_a_resumed_run_keeps_to_a_delay_and_a_person_need_not(start: Callable[..., Run], sshjobs_cli: SshjobsCli) -> None:
    run = start(Builder().AddJob("test $SSHJOBS_ATTEMPT = 2", name="late", retries=1, retry_delay="2h"))
    wait_until(lambda: run.jobs[0].not_before is not None and run.jobs[0].state == "free")
    due = run.jobs[0].not_before or 0.0
    assert 7100 < due - time.time() <= 7200 * 1.25
    run.request({"do": "leave"})
    run.wait(60)
    told = sshjobs_cli("status", "r").stdout
    assert re.search(r"late +free .* is tried again at \d.*; attempt 1 ended failed", told), told
    assert json.loads(sshjobs_cli("status", "r", "--json").stdout)["jobs"][0]["not_before"] == due
    again = Run.go_on(run.paths)
    job, soonest = again.jobs[0], again.manager.schedule.delays.soonest()
    assert job.not_before == due and soonest is not None
    assert soonest - time.monotonic() == pytest.approx(due - time.time(), abs=5)
    # Paused and let go, it waits as before; cancelled and tried again by a person, it need not.
    for verb in ("pause", "unpause"):
        again.request({"do": verb, "jobs": ["late"]})
    wait_until(lambda: again.manager.schedule.delays.soonest() is not None)
    assert job.not_before == due and len(job.attempts) == 1
    again.cancel(["late"])
    again.wait(60)
    change(run.paths, {"do": "retry", "jobs": ["late"]})
    assert Run.resume(run.paths).process() == EXIT_OK


def test_a_clock_that_was_set_back_makes_no_delay_longer_than_it_can_be(start: Callable[..., Run]) -> None:
    run = start(Builder().AddJob("false", name="late", retries=1, retry_delay="2m"))
    wait_until(lambda: run.jobs[0].state == "free" and bool(run.jobs[0].attempts))
    job, manager = run.jobs[0], run.manager
    for later in (3600, 1e9):
        job.not_before = time.time() + later
        at = manager._time_of(job)
        assert at is not None and at - time.monotonic() <= 120 * 1.25
    run.cancel()
    run.wait(60)


# -- rules that end a run ----------------------------------------------------------------------------------------------

def test_a_run_ends_when_more_jobs_have_failed_than_may(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(Builder().AddJob(f"until test -e {tmp_path}/go; do sleep 0.05; done", name="long", priority=1)
                .AddJob("exit 1", name="bad", repeat=3).AddJob("false", name="again", retries=5, retry_delay=60)
                .AddJob("true", name="late", priority=-1, repeat=40), max_failures=2)
    wait_until(lambda: outcomes(run)["late-40"] == "cancelled")
    assert outcomes(run)["long"] is None, "what runs goes on to its end"
    (tmp_path / "go").touch()
    assert run.wait(60) == EXIT_JOBS_FAILED
    found = outcomes(run)
    assert (found["long"], found["again"]) == ("succeeded", "cancelled")
    with RunReader.open(run.paths) as reader:
        summary = reader.summary()
    assert summary.options["ended_by"] == {"rule": "max_failures", "limit": "2", "failed": 3}
    assert summary.state == "failed"


LIMITED = """
max_failures: 20%
jobs:
- {name: bad, repeat: 2, commands: test -e mended}
- {name: fine, repeat: 7, commands: 'true', after: {bad: {when: ended}}}
"""


def test_a_jobfile_or_an_option_says_how_many_may_fail_and_the_last_line_which_rule_it_was(
        start: Callable[..., Run], sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(LIMITED.replace("mended", str(tmp_path / "mended")))
    told = sshjobs_cli("run", "jobs.yaml", "--name", "r")
    assert told.returncode == EXIT_JOBS_FAILED
    why = "; ended by max_failures: 2 jobs failed, more than 20%"
    assert re.fullmatch(f"r failed: 9 error of 9 jobs in .* m?s{why}", told.stdout.splitlines()[-1])
    assert sshjobs_cli("status", "r").stdout.splitlines()[0] == f"r failed: 9 error of 9 jobs{why}"
    (tmp_path / "mended").touch()
    told = sshjobs_cli("retry", "r", "--failed")
    assert told.returncode == EXIT_OK, told.stdout + told.stderr
    assert "ended by" not in sshjobs_cli("status", "r").stdout
    (tmp_path / "mended").unlink()
    told = sshjobs_cli("run", "jobs.yaml", "--max-failures", "2")
    assert "2 error" in told.stdout.splitlines()[-1] and "ended by" not in told.stdout
    told = sshjobs_cli("run", "jobs.yaml", "--fail-fast", "--json")
    assert json.loads(told.stdout.splitlines()[-1])["rule"]["rule"] == "fail_fast"


def test_what_no_limit_can_be_is_told(start: Callable[..., Run], sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs: [argv: ['true']]\nmax_failures: lots\n")
    told = sshjobs_cli("run", "jobs.yaml")
    assert (told.returncode, told.stderr) == (
        EXIT_USAGE, "jobs.yaml:2:15: max_failures cannot be 'lots'; write a number of jobs (10) or a part of all (10%)\n")
    told = sshjobs_cli("run", "jobs.yaml", "--max-failures", "-1")
    assert (told.returncode, told.stderr) == (
        EXIT_USAGE, "sshjobs: --max-failures cannot be '-1'; write a number of jobs (10) or a part of all (10%)\n")
    with pytest.raises(UsageError, match="max_failures cannot be"):
        start("jobs.yaml", max_failures="all")


@tries("take it out of the jobfile")
def test_what_is_about_a_whole_run_cannot_be_added_to_one(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(Builder(), stays_open=True)
    (tmp_path / "more.yaml").write_text("jobs: [argv: ['true']]\nmax_failures: 1\n")
    with pytest.raises(UsageError, match="max_failures is about a whole run"):
        run.add("more.yaml")
    (tmp_path / "more.yaml").write_text("jobs: [argv: ['true']]\n")
    run.add("more.yaml")
    run.finish()
    assert run.wait(60) == EXIT_OK


def test_an_open_run_ends_by_its_rule_and_takes_no_more_jobs(start: Callable[..., Run]) -> None:
    run = start(Builder().AddJob("false", name="bad"), stays_open=True, max_failures=0)
    assert run.wait(60) == EXIT_JOBS_FAILED
