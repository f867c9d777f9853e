"""The whole of the seed in one story: two clusters, thirty jobs, a dying host, a killed and a resumed manager."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import cli_environment
from tests.lab.waiting import wait_until
from tests.network.meeting import kinds, meet

LINE = re.compile(r"(LAUNCH|DONE|FAILED) (\S+) w/name (\S+) as job #(\d+)|WAIT \.+")
PROGRAM = Path(__file__).with_name("row_manager.py")


class Story:
    """Two clusters of two workers each, and the manager of their jobs."""

    def __init__(self, lab, directory: Path):
        self.lab, self.directory = lab, directory
        first, second, *workers = lab.hosts
        self.managers, self.workers = (first, second), workers
        self.clusters = {first.name: [w.name for w in workers[:2]], second.name: [w.name for w in workers[2:]]}
        for n, worker in enumerate(workers):
            worker.restart_sshd(AllowUsers=f"{worker.user}@{self.managers[n // 2].address}", Banner="/etc/ssh/banner")
            (worker.base / "ssh" / "banner").write_text("Authorized use only. error done busy\n")
            (worker.home / ".bashrc").write_text("echo 'Welcome! 0 jobs running, 1 error'\necho 'warning' >&2\n")

    def log(self, name: str) -> list[str]:
        path = self.directory / name
        return path.read_text().splitlines() if path.exists() else []

    def begin(self, do: str, log: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), do, str(self.directory / "results"), str(self.lab.ssh_config),
             str(self.directory / log), json.dumps(self.clusters)],
            cwd=self.directory, env={**os.environ, **cli_environment()})

    def ended(self, log: str) -> Counter[str]:
        """How often each job has ended, as the log has it."""
        found = (LINE.fullmatch(line) for line in self.log(log))
        return Counter(match[3] for match in found if match and match[1] in ("DONE", "FAILED"))

    def ledger(self) -> Counter[str]:
        """What started, as the workers have it, in files that sshjobs never touches."""
        return Counter(line for worker in self.workers for line in self.started_on(worker))

    @staticmethod
    def started_on(worker) -> list[str]:
        file = worker.home / "ledger"
        return file.read_text().splitlines() if file.exists() else []

    def status(self, sshjobs_cli) -> dict:
        return json.loads(sshjobs_cli("status", "run-1", "--json", cwd=self.directory).stdout)


@pytest.fixture
def story(fresh_lab, tmp_path) -> Story:
    return Story(fresh_lab(hosts=6), tmp_path)


def test_thirty_jobs_on_two_clusters_end_right_though_a_host_dies_and_the_manager_is_killed(story, sshjobs_cli):
    names = [worker.name for worker in story.workers]
    direct = meet(story.clusters, direct=True, ssh_config=str(story.lab.ssh_config))
    assert kinds(direct) == dict.fromkeys(names, "auth"), "workers must be reachable only through their manager"

    dying = story.workers[1]
    manager = story.begin("start", "first.log")
    try:
        wait_until(lambda: len(story.ended("first.log")) >= 6, 40, "six jobs")
        lines = story.started_on(dying)
        wait_until(lambda: len(story.started_on(dying)) > len(lines), 40, "a job that has just started there")
        dying.power_off()
        manager.send_signal(signal.SIGKILL)
    finally:
        manager.kill()
        manager.wait()
    before = story.ended("first.log")
    assert "silent" in before and "warns" in before
    died = {line.split()[0] for line in story.started_on(dying)} - set(before)
    assert died, "the host died with nothing to do"

    manager = story.begin("resume", "second.log")
    try:
        def states() -> Counter[str]:
            assert manager.poll() is None, "the manager is gone"
            return Counter(job["state"] for job in story.status(sshjobs_cli)["jobs"])

        wait_until(lambda: not {"free", "busy"} & states().keys(), 40, lambda: f"the others to do the rest: {states()}")
        # Launched there and not heard of: they wait, and are not called failed.
        lost = {job["name"] for job in story.status(sshjobs_cli)["jobs"] if job["state"] == "unknown"}
        assert died <= lost and len(lost) < 10
        dying.power_on()
        assert manager.wait(60) == 1  # one job has failed, the silent one
    finally:
        manager.kill()
        manager.wait()
    check_end(story, story.status(sshjobs_cli), lost)


def check_end(story: Story, status: dict, lost: set[str]) -> None:
    assert status["counts"] == {"free": 0, "busy": 0, "done": 29, "unknown": 0, "error": 1}
    jobs = {job["name"]: job for job in status["jobs"]}
    assert len(jobs) == 30 and {job["host"] for job in jobs.values()} == {w.name for w in story.workers}
    silent, warns = jobs.pop("silent"), jobs.pop("warns")
    assert (silent["state"], silent["outcome"], silent["exit_status"]) == ("error", "failed", 3)
    assert (warns["state"], warns["outcome"], warns["exit_status"]) == ("done", "succeeded", 0)
    outputs = story.directory / "results" / "run-1" / "jobs"
    assert (outputs / "warns" / "stderr").read_text() == "warning: all is well\n"
    for name, job in jobs.items():
        assert (job["state"], job["outcome"]) == ("done", "succeeded")
        assert (outputs / name / "stdout").read_text() == f"out of {name}\n"
        assert (outputs / name / "stderr").read_text() == ""
        assert len(job["attempts"]) == (2 if name in lost else 1)
        if name in lost:
            assert job["attempts"][0]["outcome"] in ("lost", "never_started")
    # No attempt was started twice, and the ones that count were started.
    assert set(story.ledger().values()) == {1}
    assert story.ledger().keys() >= {f"{name} {len(job['attempts'])}" for name, job in jobs.items()}
    for log in ("first.log", "second.log"):
        lines = story.log(log)
        # The last line of a manager that was killed may be cut.
        assert all(LINE.fullmatch(line) for line in (lines[:-1] if log == "first.log" else lines)), lines
    found = (LINE.fullmatch(line) for line in story.log("first.log"))
    numbers = {match[3]: int(match[4]) for match in found if match and match[3]}
    assert all(numbers.get(f"work-{n}", n + 1) == n + 1 for n in range(1, 29)) and numbers["silent"] == 0
