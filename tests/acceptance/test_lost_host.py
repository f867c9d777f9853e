"""A host that never returns: waited for visibly, until a person or a limit decides."""

from __future__ import annotations

import json
import os
import subprocess

from tests.conftest import cli_environment, sshjobs_argv
from tests.lab.waiting import wait_until


def start(lab, tmp_path, *options: str) -> subprocess.Popen:
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: job, repeat: 4, commands: 'echo on $SSHJOBS_HOST; test $SSHJOBS_ATTEMPT = 2 || sleep 3'}]")
    return subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", ",".join(lab.names), "--slots", "2", "--ssh-config",
                      lab.ssh_config, *options]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def status(sshjobs_cli) -> dict:
    text = sshjobs_cli("status", "--json").stdout
    return json.loads(text) if text else {"counts": {"busy": 0, "unknown": 0, "done": 0}}


def test_jobs_of_a_host_declared_lost_run_elsewhere(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=2)
    run = start(lab, tmp_path)
    try:
        wait_until(lambda: status(sshjobs_cli)["counts"]["busy"] == 4, 30, "all jobs to run")
        refused = sshjobs_cli("hosts", "lost", lab.names[1])
        assert (refused.returncode, "answers" in refused.stderr) == (2, True), refused.stderr
        lab.hosts[1].power_off()
        wait_until(lambda: status(sshjobs_cli)["counts"]["unknown"] == 2, 60, "two jobs to be unknown")
        declared = sshjobs_cli("hosts", "lost", lab.names[1], "--json")
        assert declared.returncode == 0, declared.stderr
        told = json.loads(declared.stdout)
        assert (told["attended"], told["hosts"], len(told["jobs"])) == (True, [lab.names[1]], 2)
        assert run.wait(30) == 0
    finally:
        run.kill()
        run.wait()
    jobs = status(sshjobs_cli)["jobs"]
    assert {job["host"] for job in jobs} == {lab.names[0]}
    ends = sorted([attempt["outcome"] for attempt in job["attempts"]] for job in jobs)
    assert ends == [["lost", "succeeded"], ["lost", "succeeded"], ["succeeded"], ["succeeded"]]


def test_a_limit_ends_the_waiting_and_leaves_the_truth(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=2)
    run = start(lab, tmp_path, "--give-up-host", "2s")
    try:
        wait_until(lambda: status(sshjobs_cli)["counts"]["busy"] == 4, 30, "all jobs to run")
        lab.hosts[1].power_off()
        assert run.wait(90) == 1
    finally:
        run.kill()
        run.wait()
    told = status(sshjobs_cli)
    assert told["counts"] == {"free": 0, "busy": 0, "done": 2, "unknown": 2, "error": 0}
    assert told["state"] == "unattended"
    lab.hosts[1].power_on()
    resumed = sshjobs_cli("resume")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert status(sshjobs_cli)["counts"]["done"] == 4
