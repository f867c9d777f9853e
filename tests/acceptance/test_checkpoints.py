"""A job whose host is switched off for good goes on elsewhere from what was brought last."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.house.source import ROOT
from tests.lab.waiting import wait_until

JOB = """
epoch=$(cat checkpoint/epoch 2>/dev/null || echo 0)
echo "behind $epoch" >> ~/ledger
mkdir -p checkpoint
while [ "$epoch" -lt 9 ]; do
  epoch=$((epoch + 1))
  head -c 300000 /dev/urandom > checkpoint/new-weights
  sha256sum < checkpoint/new-weights > checkpoint/sum
  mv checkpoint/new-weights checkpoint/weights
  echo "$epoch" > checkpoint/new && mv checkpoint/new checkpoint/epoch
  [ "$epoch" != 5 ] || [ "$SSHJOBS_ATTEMPT" != 1 ] || sleep 300
done
"""


def test_the_next_attempt_begins_where_the_last_set_ends(fresh_lab: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    lab = fresh_lab(hosts=2)
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "train", "commands": JOB, "outputs": {"checkpoint/": {"every": 1, "carry": True}}}]}))
    run = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", ",".join(lab.names), "--slots", "1", "--ssh-config", lab.ssh_config]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    here = tmp_path / "results/jobs-1/jobs/train"
    try:
        wait_until(lambda: (here / "files/checkpoint/epoch").exists()
                   and (here / "files/checkpoint/epoch").read_text() == "5\n", 60, "the checkpoint to be here")
        (first,) = [host for host in lab.hosts if (host.home / "ledger").exists()]
        first.power_off()
        wait_until(lambda: sshjobs_cli("hosts", "lost", first.name).returncode == 0, 60, "the host to be away")
        assert run.wait(60) == 0
    finally:
        run.kill()
        run.wait()
    (second,) = [host for host in lab.hosts if host is not first]
    assert (first.home / "ledger").read_text() == "behind 0\n" and (second.home / "ledger").read_text() == "behind 5\n"
    assert (here / "files/checkpoint/epoch").read_text() == "9\n"
    verified = sshjobs_cli("verify", "--no-hosts")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_the_example_goes_on_behind_its_checkpoint(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    done = sshjobs_cli("run", ROOT / "jobfiles/checkpoints.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = tmp_path / "results/checkpoints-1/jobs"
    assert (jobs / "train/stdout").read_text() == "attempt 2 begins behind epoch 4\n"
    assert (jobs / "test/stdout").read_text() == "trained for 6 epochs\n"
