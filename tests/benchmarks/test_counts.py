"""What a job may cost, in things that can be counted: commits, frames, logins, processes, bytes. No time is measured."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.conftest import cli_environment

pytestmark = pytest.mark.lab

JOBS = 1000
HOSTS = 4


class Counted:
    """A run that is over, and what was counted while it went on.

    :ivar commits: transactions of its store, by the store's own number
    :ivar logins: of this run, at all hosts
    """

    def __init__(self, lab: Any, directory: Path, jobs: str, *options: str):
        jobfile, counts = directory / "counted.yaml", directory / "counts.json"
        jobfile.write_text(jobs)
        before = logins(lab)
        words = ["run", str(jobfile), "--ssh-config", str(lab.ssh_config), "--results", str(directory), "-q", *options]
        told = subprocess.run([sys.executable, "-m", "tests.benchmarks.counted", str(counts), *words],
                              env={**os.environ, **cli_environment()}, capture_output=True, text=True, timeout=100)
        assert told.returncode == 0, told.stdout + told.stderr
        self.counts: dict[str, int] = json.loads(counts.read_text())
        self.logins = logins(lab) - before
        with closing(sqlite3.connect(directory / "counted-1" / "run.db")) as store:
            (self.commits,) = store.execute("SELECT commits FROM run").fetchone()
        with RunReader.open(RunPaths(directory, "counted-1")) as reader:
            self.outcomes = dict(reader.summary().outcomes)


def logins(lab: Any) -> int:
    return sum(host.sshd_log.read_text().count("Accepted publickey") for host in lab.hosts)


@pytest.fixture(scope="module")
def many(lab: Any, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """1,000 jobs that do nothing, on four hosts with two slots each."""
    where = ",".join(lab.names[:HOSTS])
    run = Counted(lab, tmp_path_factory.mktemp("many"), f"jobs: [{{name: a, argv: [/bin/true], repeat: {JOBS}}}]\n",
                  "--hosts", where, "-j", "2")
    assert run.outcomes == {"succeeded": JOBS}
    return run


def test_every_host_is_logged_in_to_once_however_many_jobs_there_are(many: Counted) -> None:
    assert many.logins == HOSTS


def test_the_manager_starts_one_ssh_for_each_host_and_nothing_for_a_job(many: Counted) -> None:
    assert many.counts["processes"] == HOSTS


def test_many_launches_and_ends_share_a_commit(many: Counted) -> None:
    assert many.commits < JOBS / 2


def test_a_job_takes_one_frame_there_and_few_back(many: Counted) -> None:
    # Launches, and some releases and syncs that many jobs share; starts that are told apart from ends, and ends.
    assert many.counts["frames_out"] < 1.5 * JOBS
    assert many.counts["frames_in"] < 2.2 * JOBS


def test_no_job_waits_for_an_answer_so_many_launches_leave_in_one_piece(many: Counted) -> None:
    assert many.counts["writes"] < JOBS / 2


def test_a_job_without_output_takes_few_bytes_on_the_line(many: Counted) -> None:
    # The agent itself takes about 80 kB a host far away. To one near by it is sent compiled as well, and all of it is
    # compressed with less effort: about 470 kB.
    assert many.counts["bytes_out"] < HOSTS * 490_000 + 400 * JOBS
    assert many.counts["bytes_in"] < 400 * JOBS


def test_an_input_that_a_host_has_is_not_sent_again(lab: Any, tmp_path: Path) -> None:
    size = 4 << 20
    (tmp_path / "input").write_bytes(os.urandom(size))
    run = Counted(lab, tmp_path, "jobs: [{name: a, argv: [cmp, input, input], repeat: 20, files: [input]}]\n",
                  "--hosts", lab.names[0], "-j", "2")
    assert run.outcomes == {"succeeded": 20}
    assert size < run.counts["bytes_out"] < size * 1.05 + 300_000
