"""A scheduler of the user's own, told by three commands: jobs end in it as anywhere, and none runs twice."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.mixed import differences, mixed_jobs
from tests.acceptance.test_slurm import Background, held, ledger, leftovers, status, write
from tests.lab import scheduler
from tests.lab.waiting import wait_until


@pytest.fixture
def place(tmp_path: Path, clean_home: Path) -> Any:
    """Where the fake scheduler keeps its jobs; a test leaves none, and nothing in the home."""
    made = tmp_path / "scheduler"
    made.mkdir()
    program = f"{sys.executable} {scheduler.__file__} {made}"
    (tmp_path / "fake.toml").write_text(
        f"submit = '{program} submit \"$SSHJOBS_NAME\" \"$SSHJOBS_SCRIPT\"'\nask = '{program} ask'\nend = '{program} end $SSHJOBS_JOBS'\n")
    yield made
    wait_until(lambda: not any(map(scheduler.lives, made.glob("job-*"))), 20, "the end of all jobs")
    wait_until(lambda: leftovers(clean_home) == [], 20, lambda: str(leftovers(clean_home)))


def test_jobs_of_every_kind_end_as_on_hosts(place, sshjobs_cli, tmp_path):
    mixed = mixed_jobs(tmp_path, 40)
    done = sshjobs_cli("run", mixed.write(tmp_path / "mixed.yaml"), "--hosts", "batch:fake.toml slots=4")
    assert done.returncode == 1, done.stdout + done.stderr
    told = status(sshjobs_cli)
    assert differences(mixed, tmp_path / "results" / "mixed-1", told) == []
    assert {job["host"] for job in told["jobs"]} == {"batch1-1"}


def test_a_submission_whose_answer_is_lost_starts_no_job_twice(place, sshjobs_cli, tmp_path):
    (place / "lose").write_text("3")
    write(tmp_path, {"name": "job", "repeat": 4, "commands": f'echo "$SSHJOBS_JOB $SSHJOBS_ATTEMPT" >> {tmp_path}/ledger'})
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "batch:fake.toml slots=4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(map(tuple, ledger(tmp_path))) == [(f"job-{n}", "1") for n in range(1, 5)]
    # One tells whether the home is seen. Three were submitted twice, but for those that had ended before that was due.
    assert (place / "lose").read_text() == "0" and 1 + 4 <= len(list(place.glob("job-*"))) <= 1 + 4 + 3


def test_a_job_that_the_scheduler_loses_is_lost_and_runs_again(place, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 2))
    with Background(tmp_path, "--hosts", "batch:fake.toml slots=2") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 2, 60, lambda: run.told)
        # As where a node dies: all of it at once. None is to see that another has ended.
        victim = int((place / "job-2" / "pid").read_text())
        os.kill(victim, signal.SIGSTOP)
        node = [victim, *reversed(_below(victim))]
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in node:
                os.kill(pid, number)
        wait_until(lambda: len(ledger(tmp_path)) == 3, 60, lambda: run.told)
        (tmp_path / "go").touch()
        assert run.wait() == 0, run.told
    assert sorted([one["outcome"] for one in job["attempts"]] for job in status(sshjobs_cli)["jobs"]) == [
        ["lost", "succeeded"], ["succeeded"]]


def _below(pid: int) -> list[int]:
    found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [below for child in found for below in (*_below(child), child)]


def test_cancelled_jobs_are_ended_by_the_third_command(place, sshjobs_cli, tmp_path):
    write(tmp_path, held(tmp_path, 3))
    with Background(tmp_path, "--hosts", "batch:fake.toml slots=2") as run:
        wait_until(lambda: len(ledger(tmp_path)) == 2, 60, lambda: run.told)
        assert sshjobs_cli("cancel", "jobs-1", "--all").returncode == 0
        run.wait()
    assert {job["outcome"] for job in status(sshjobs_cli)["jobs"]} == {"cancelled"}
    assert len(ledger(tmp_path)) == 2


def test_a_scheduler_that_does_not_answer_is_asked_again(place, sshjobs_cli, tmp_path):
    write(tmp_path, {"name": "job", "repeat": 2, "commands": "echo here"})
    (place / "down").touch()
    with Background(tmp_path, "--hosts", "batch:fake.toml") as run:
        wait_until(lambda: "the fake scheduler is down" in run.told, 60, lambda: run.told)
        (place / "down").unlink()
        assert run.wait(90) == 0, run.told


@pytest.mark.parametrize("text, said", [
    ("submit = 1", "submit must be text"),
    ("submit = 'x $SSHJOBS_SCRIPT'\nask = 'x'", "end is missing: it takes submit, ask and end"),
    ("submit = 'x'\nask = 'x'\nend = 'x $SSHJOBS_JOBS'", "submit does not use $SSHJOBS_SCRIPT"),
    ("submit = 'x $SSHJOBS_SCRIPT'\nask = 'x'\nend = 'x'", "end does not use $SSHJOBS_JOBS"),
    ("submit = 'x $SSHJOBS_SCRIPT'\nask = 'x'\nend = 'x $SSHJOBS_JOBS'\nstate = 'x'", "'state' is nothing that it may say"),
    ("submit = 'x $SSHJOBS_SCRIPT'\nask = 'x'\nend = 'x $SSHJOBS_JOBS'\ntime = '1s'", "time= must be from a minute"),
    ("submit = ", "is no TOML"),
    (None, "cannot be read: No such file"),
])
def test_a_bad_file_is_told_in_one_line_and_nothing_is_started(sshjobs_cli, tmp_path, clean_home, text, said):
    write(tmp_path, {"name": "job", "commands": "echo here"})
    if text is not None:
        (tmp_path / "bad.toml").write_text(text)
    refused = sshjobs_cli("run", "jobs.yaml", "--hosts", "batch:bad.toml")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("hosts:1:")]
    assert said in line and not (tmp_path / "results").exists() and leftovers(clean_home) == []
