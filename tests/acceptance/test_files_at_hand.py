"""What a job left on a host is not sent back there: the jobs that are given it run on that host where it is free, and
nothing waits for that. On real hosts, by the bytes that are sent.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshjobs import JobSpec, Run
from sshjobs.errors import EXIT_OK
from sshjobs.network.session import upload
from sshjobs.network.staging import inputs
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.lab import BaseLab
from tests.lab.waiting import wait_until

SIZE = 3 << 20
MAKE = [f"head -c {SIZE} /dev/urandom > model"]
SUM = ["sha256sum < model | cut -d' ' -f1"]

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180)]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that were sent to hosts."""
    found: list[int] = []

    def noted(blob: Any) -> Any:
        found.append(blob.size)
        return inputs.pieces(blob)
    monkeypatch.setattr(upload, "pieces", noted)
    return found


@pytest.fixture
def start(lab: BaseLab, clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return lambda specs, hosts=None, **more: Run.start(
        specs, lab.names if hosts is None else hosts, ssh_config=str(lab.ssh_config), **more)


def check_sums(run: Run, pairs: dict[str, str]) -> None:
    for follower, source in pairs.items():
        data = (run.paths.files(source) / "model").read_bytes()
        assert run.paths.stdout(follower).read_text().strip() == hashlib.sha256(data).hexdigest(), follower


def given(source: str, name: str, script: list[str] = SUM, **keys: Any) -> JobSpec:
    return JobSpec(script, name=name, after=[source], files=[{"from": source, "path": "model"}], **keys)


@pytest.fixture
def let(lab: BaseLab) -> Iterator[Callable[[], None]]:
    """Let jobs go on that wait for ``~/at-hand``."""
    marks = [host.home / "at-hand" for host in lab.hosts]

    def touch() -> None:
        for mark in marks:
            mark.touch()
    yield touch
    for mark in marks:
        mark.unlink(missing_ok=True)


WAIT = "until test -e ~/at-hand; do sleep 0.05; done"


def test_each_follower_runs_where_its_file_is_and_nothing_is_sent(start: Callable[..., Run], sent: list[int],
                                                                  let: Callable[[], None]) -> None:
    run = start([*(JobSpec([*MAKE, WAIT], name=f"prep{n}", outputs=["model"]) for n in range(8)),
                 *(given(f"prep{n}", f"fit{n}") for n in range(8))], slots=2)
    wait_until(lambda: sum(job.attempt is not None and job.attempt.started is not None for job in run.jobs) == 8, 60,
               "all slots to be taken")
    let()
    assert run.wait(120) == EXIT_OK
    host_of = {job.name: job.host for job in run.jobs}
    assert [host_of[f"fit{n}"] for n in range(8)] == [host_of[f"prep{n}"] for n in range(8)]
    assert sent == []
    check_sums(run, {f"fit{n}": f"prep{n}" for n in range(8)})


def test_followers_that_find_the_host_taken_run_elsewhere_at_once(start: Callable[..., Run], sent: list[int], lab: BaseLab) -> None:
    here, there = lab.names[:2]
    both = [f"touch ~/at-$SSHJOBS_JOB; {SUM[0]}; sleep 1.5"]
    run = start([JobSpec(MAKE, name="prep", outputs=["model"], hosts=[here]), given("prep", "one", both), given("prep", "two", both)],
                [here, there], slots=1)
    assert run.wait(120) == EXIT_OK
    attempts = {job.name: job.attempts[-1] for job in run.jobs}
    assert {attempts["one"].host, attempts["two"].host} == {here, there} and sent == [SIZE]
    assert max(one.started or 0 for one in attempts.values()) < min(attempts[name].ended or 0 for name in ("one", "two"))
    check_sums(run, {"one": "prep", "two": "prep"})


def test_a_later_manager_knows_where_files_are(lab: BaseLab, sshjobs_cli: SshjobsCli, tmp_path: Path, let: Callable[[], None]) -> None:
    (tmp_path / "jobs.yaml").write_text(f"""
jobs:
  - {{name: prep, commands: "{MAKE[0]}", outputs: [model], matrix: {{n: 1..4}}, hosts: ["node0${{{{ n }}}}"]}}
  - {{name: gate, commands: "{WAIT}", hosts: [{lab.names[0]}]}}
  - {{name: fit, commands: "{SUM[0]}", after: [prep, gate], files: [{{from: prep, path: model}}], matrix: {{n: 1..4}}}}
""")
    words = ["run", "jobs.yaml", "--hosts", ",".join(lab.names), "--slots", "2", "--ssh-config", str(lab.ssh_config), "--quiet"]
    manager = subprocess.Popen(sshjobs_argv(words), cwd=tmp_path, env={**os.environ, **cli_environment()})
    try:
        wait_until(lambda: sshjobs_cli("status", "jobs-1").stdout.count("done") >= 4
                   or len(list((tmp_path / "results/jobs-1/jobs").glob("prep-*/files/model"))) == 4, 60, "the first stage to be home")
        manager.kill()
        manager.wait()
        manager = subprocess.Popen(sshjobs_argv(["resume", "jobs-1", "--json"]), cwd=tmp_path, stdout=subprocess.PIPE,
                                   env={**os.environ, **cli_environment()})
        assert manager.stdout is not None
        up = set[str]()
        while len(up) < len(lab.names):
            event = json.loads(manager.stdout.readline())
            up |= {event["host"]} if event["event"] == "host" and event["state"] == "up" else set()
        let()
        manager.stdout.read()
        assert manager.wait(60) == 0
    finally:
        manager.kill()
        manager.wait()
    with RunReader.open(RunPaths(tmp_path / "results", "jobs-1")) as reader:
        host_of = {job.name: job.host for job, _ in reader.jobs_with_attempts()}
    assert [host_of[f"fit-{n}"] for n in range(1, 5)] == [host_of[f"prep-{n}"] for n in range(1, 5)]
