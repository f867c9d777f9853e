"""kill -9 of the manager, then resume: the jobs' own ledgers tell whether any was lost or started twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import Counter

from tests.conftest import cli_environment, sshjobs_argv
from tests.lab.waiting import wait_until

LEDGER = "ledger"


def ledger_jobfile(path, count: int, seconds: float) -> None:
    """Jobs that each write a line of their own into a file on their host which sshjobs never touches."""
    commands = (f'echo "$SSHJOBS_JOB $SSHJOBS_ATTEMPT" >> ~/{LEDGER}', f"sleep {seconds}",
                'echo "out of $SSHJOBS_JOB"', 'echo "err of $SSHJOBS_JOB" >&2')
    path.write_text(json.dumps({"jobs": [{"name": "job", "repeat": count, "commands": commands}]}))


def read_ledger(lab) -> Counter[str]:
    lines: Counter[str] = Counter()
    for host in lab.hosts:
        if (host.home / LEDGER).exists():
            lines.update((host.home / LEDGER).read_text().splitlines())
    return lines


def clear_ledger(lab) -> None:
    for host in lab.hosts:
        (host.home / LEDGER).unlink(missing_ok=True)


def test_after_kill_9_of_the_manager_a_resume_loses_nothing_and_starts_nothing_twice(lab, sshjobs_cli, tmp_path):
    clear_ledger(lab)
    ledger_jobfile(tmp_path / "jobs.yaml", 60, 0.3)
    hosts = ",".join(host.name for host in lab.hosts)
    manager = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", hosts, "--ssh-config", lab.ssh_config, "--slots", "2"]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: read_ledger(lab).total() >= 20, 30, "twenty jobs to have started")
        manager.send_signal(signal.SIGKILL)
    finally:
        manager.kill()
        manager.communicate()
    status = json.loads(sshjobs_cli("status", "--json").stdout)
    assert status["state"] in ("unattended", "interrupted")
    assert status["counts"]["done"] < 60

    done = sshjobs_cli("resume")
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = re.findall(r"adopted (\d+), collected (\d+), to run (\d+), re-run (\d+), lost (\d+)(?:, not known yet (\d+))?",
                         done.stdout)
    adopted, collected, to_run, again, lost, unheard = (int(count or 0) for count in told)
    assert (again, lost) == (0, 0)
    assert adopted + collected + unheard + to_run + status["counts"]["done"] == 60
    assert read_ledger(lab) == Counter({f"job-{n} 1": 1 for n in range(1, 61)})
    status = json.loads(sshjobs_cli("status", "--json").stdout)
    assert status["state"] == "done"
    assert status["counts"] == {"free": 0, "busy": 0, "done": 60, "unknown": 0, "error": 0}
    for n in range(1, 61):
        directory = tmp_path / "results" / "jobs-1" / "jobs" / f"job-{n}"
        assert (directory / "stdout").read_text() == f"out of job-{n}\n"
        assert (directory / "stderr").read_text() == f"err of job-{n}\n"


def test_a_run_with_a_living_manager_is_not_resumed(lab, sshjobs_cli, tmp_path):
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: long, commands: sleep 60}]")
    manager = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", lab.hosts[0].name, "--ssh-config", lab.ssh_config]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "1 busy" in sshjobs_cli("status", "--summary").stdout, 30, "the job to be busy")
        refused = sshjobs_cli("resume")
        assert refused.returncode == 2
        assert str(manager.pid) in refused.stderr
        cancelled = sshjobs_cli("cancel", "--all")
        assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
        assert manager.wait(30) == 1
    finally:
        manager.kill()
        manager.wait()
    assert json.loads(sshjobs_cli("status", "--json").stdout)["jobs"][0]["outcome"] == "cancelled"


def test_cancelling_a_run_without_a_manager_ends_what_runs(lab, sshjobs_cli, tmp_path):
    host = lab.hosts[0]
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: long, commands: [sleep 3141 & sleep 3141]}, {name: never, commands: touch ~/never-run}]")
    manager = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", f"{host.name}", "--slots", "1", "--ssh-config", lab.ssh_config]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sleeps = lambda: host.run(["pgrep", "-cf", "sleep 3141"]).stdout.strip()  # noqa: E731
    try:
        wait_until(lambda: int(sleeps()) >= 2, 30, "the job to run")
    finally:
        manager.kill()
        manager.wait()
    cancelled = sshjobs_cli("cancel", "--all")
    assert cancelled.returncode == 0, cancelled.stdout + cancelled.stderr
    assert host.run(["pgrep", "-f", "sleep 3141"]).returncode == 1
    assert not (host.home / "never-run").exists()
    outcomes = {job["name"]: job["outcome"] for job in json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]}
    assert outcomes == {"long": "cancelled", "never": "cancelled"}
