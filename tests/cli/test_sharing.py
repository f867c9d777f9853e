"""``hosts who`` and ``hosts usage``, and what a bad share is told."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from tests.conftest import SshjobsCli, cli_environment


def test_who_shows_what_a_job_holds_while_it_runs(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    environ = " ".join(f"{name}={shlex.quote(value)}" for name, value in cli_environment().items())
    ask = f"SSHJOBS_SHARED={os.environ['SSHJOBS_SHARED']} {environ} {sys.executable} -m sshjobs hosts who"
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "asks", "cpus": 2, "memory": "1M", "commands": [f"{ask} --json", ask]}]}))
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "localhost", "--slots", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    said = (tmp_path / "results/jobs-1/jobs/asks/stdout").read_text().splitlines()
    told = json.loads(said[0])
    (held,) = told["holders"]
    assert told["why"] is None and told["waits"] == []
    assert (held["uid"], held["user"], held["run"], held["jobs"], held["slots"], held["memory"], held["units"]) == (
        os.getuid(), getpass.getuser(), "jobs-1", 1, 2, 1 << 20, [])
    assert said[1].split() == ["HOST", "PERSON", "RUN", "JOBS", "SLOTS", "MEMORY", "GPUS", "SINCE"]
    assert said[2].split()[:7] == ["localhost", getpass.getuser(), "jobs-1", "1", "2", "1M", "-"]
    after = sshjobs_cli("hosts", "who")
    assert after.stdout.splitlines()[1].split(maxsplit=2) == ["localhost", "-", "nobody holds anything"]


def test_usage_sums_up_what_runs_have_used(sshjobs_cli: SshjobsCli) -> None:
    assert sshjobs_cli("exec", "--slots", "2", "--", "sleep", "{}", ":::", "1.2", "1.1").returncode == 0
    done = sshjobs_cli("hosts", "usage", "--since", "1h", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (used,) = (one for one in told["used"] if one["run"] == "exec-1")
    assert used["user"] == getpass.getuser() and used["jobs"] == 2 and 2.3 <= used["slots"] < 60, told
    assert sshjobs_cli("hosts", "usage").stdout.splitlines()[0].split() == [
        "HOST", "PERSON", "RUN", "JOBS", "SLOT", "HOURS", "GIB", "HOURS", "GPU", "HOURS"]


def test_a_host_that_cannot_be_asked_is_named(sshjobs_cli: SshjobsCli) -> None:
    done = sshjobs_cli("hosts", "who", "--hosts", "localhost,nowhere.invalid")
    assert done.returncode == 1 and "localhost" in done.stdout
    assert done.stderr.startswith("nowhere.invalid") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("bad", ["0", "2", "-1", "half", "0.0", "1.5", "nan", "1e-3", "٠.٥"])
def test_a_bad_share_is_one_line_with_its_place(sshjobs_cli: SshjobsCli, bad: str) -> None:
    done = sshjobs_cli("exec", "--hosts", f"localhost share={bad}", "true")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "share must be above 0 and at most 1" in done.stderr and "write share=0.5" in done.stderr, done.stderr


@pytest.mark.parametrize(("key", "said"), [
    ("lease: 1m", "slow: a scheduler that carries out each job by itself knows no lease, and no other host matches; leave lease out, or name another host"),
    ("gpus: 1", "slow: no host has what it needs (gpus: 1): slurm1-1, the nearest, has no GPU; lower its needs, or name a host that has more")])
def test_what_an_array_can_only_refuse_is_refused_before_anything_starts(sshjobs_cli: SshjobsCli, tmp_path: Path, key: str, said: str) -> None:
    (tmp_path / "jobs.yaml").write_text(f"jobs: [{{name: slow, argv: ['true'], {key}}}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "slurm:mode=array")
    assert done.returncode == 2 and done.stderr == f"sshjobs: {said}\n"
    assert not (tmp_path / "results").exists()
