"""A sweep in stages over four real hosts, with files between the stages and home: whatever dies on the way, by the jobs'
own ledgers each ran once, nothing ran before what it waits for, and every byte of every file is here.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.lab import BaseLab
from tests.lab.waiting import wait_until

#: Files in the directory that the first stage reads, and bytes of a model.
INPUTS, MODEL = 10_000, 300_000
JOBFILE = """\
jobs:
  - name: prep
    matrix: {part: 1..2}
    files: [{path: data, readonly: true}]
    outputs: [sum]
    commands:
      - echo "$SSHJOBS_JOB" >> ~/stages/ledger
      - cat data/*-${{ part }} | sha256sum | cut -d' ' -f1 > sum
  - name: train
    rows: parts.csv
    matrix:
      lr: [0.1, 0.01]
      seed: 1..3
      exclude: [{lr: 0.10, seed: 3}]
      include: [{lr: 5, seed: 9, part: 2, tag: extra}]
    after: prep
    priority: 1
    files: [{from: prep, path: sum, to: in/}]
    outputs: [model.bin, "logs/*.txt"]
    commands:
      - echo "$SSHJOBS_JOB" >> ~/stages/ledger
      - until test -e ~/stages/train; do sleep 0.05; done
      - mkdir logs && echo "${{ tag }}" > logs/tag.txt
      - head -c SIZE < <(cat in/sum; yes "${{ lr }} ${{ seed }} ${{ part }}") > model.bin
      - printf '{"loss":%s}' ${{ lr }} > result.json
  - name: long
    after: prep
    outputs:
      checkpoint/: {every: 1s, carry: true}
      done: {required: true}
    commands:
      - echo "$SSHJOBS_JOB-$SSHJOBS_ATTEMPT" >> ~/stages/ledger
      - mkdir -p checkpoint; epoch=$(cat checkpoint/epoch || echo 0); echo "begins at $epoch"
      - while test $epoch -lt 10; do
          if test $epoch = 6; then until test -e ~/stages/long; do sleep 0.05; done; fi;
          epoch=$((epoch + 1)); echo $epoch > checkpoint/new; mv checkpoint/new checkpoint/epoch; done
      - echo $epoch > done
  - name: collect
    after: [train, long]
    files: [{from: train, path: model.bin, to: models/}, {from: long, path: done}]
    outputs: [sums]
    commands:
      - echo "$SSHJOBS_JOB" >> ~/stages/ledger
      - cat done; cd models; sha256sum */model.bin > ../sums
"""


class Scene:
    """A run of four hosts, its managers one after the other, and what the jobs wrote down."""

    def __init__(self, lab: BaseLab, cli: SshjobsCli, directory: Path):
        self.lab, self.cli, self.directory = lab, cli, directory
        self.root = directory / "results" / "stages-1"
        for host in lab.hosts:
            (host.home / "stages").mkdir()
            (host.home / "stages").chmod(0o777)

    def manage(self, *words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(sshjobs_argv([*words, *(["--ssh-config", str(self.lab.ssh_config)] if words[0] == "run" else [])]),
                                cwd=self.directory, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL)

    def let(self, name: str) -> None:
        for host in self.lab.hosts:
            (host.home / "stages" / name).touch()

    def jobs(self) -> dict[str, dict[str, Any]]:
        told = self.cli("status", "stages-1", "--json")
        return {job["name"]: job for job in json.loads(told.stdout)["jobs"]} if told.returncode == 0 else {}

    def ledger(self) -> list[str]:
        return sorted(line for host in self.lab.hosts if (host.home / "stages" / "ledger").exists()
                      for line in (host.home / "stages" / "ledger").read_text().splitlines())


@pytest.fixture
def scene(fresh_lab: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(fresh_lab(hosts=4), sshjobs_cli, tmp_path)
    (tmp_path / "data").mkdir()
    for number in range(INPUTS):
        (tmp_path / "data" / f"{number:05}-{number % 2 + 1}").write_text(f"input {number}\n")
    (tmp_path / "parts.csv").write_text("part,tag\n1,\"one, first\"\n2,two\n")
    (tmp_path / "stages.yaml").write_text(JOBFILE.replace("SIZE", str(MODEL)))
    yield made


def kill(manager: subprocess.Popen[bytes]) -> None:
    manager.send_signal(signal.SIGKILL)
    manager.wait()


def models(directory: Path) -> dict[str, str]:
    """Return what each model of the sweep is to be: its sha256, by the name of its job."""
    sums = {}
    for part in "12":
        data = b"".join(path.read_bytes() for path in sorted((directory / "data").iterdir()) if path.name.endswith(f"-{part}"))
        sums[part] = hashlib.sha256(data).hexdigest()
    rows = [(lr, seed, part) for part in "12" for lr in ("0.1", "0.01") for seed in "123" if (lr, seed) != ("0.1", "3")]
    found = {}
    for number, (lr, seed, part) in enumerate([*rows, ("5", "9", "2")], 1):
        text = f"{sums[part]}\n" + f"{lr} {seed} {part}\n" * MODEL
        found[f"train-{number}"] = hashlib.sha256(text.encode()[:MODEL]).hexdigest()
    return found


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_stages_of_a_sweep_bring_every_byte_home_though_managers_and_a_host_die(scene: Scene) -> None:
    names, expected = scene.lab.names, models(scene.directory)
    manager = scene.manage("run", "stages.yaml", "--hosts", ",".join(names), "--slots", "3", "--quiet")
    try:
        wait_until(lambda: sum(line.startswith("train") for line in scene.ledger()) >= 2, 120, "the second stage to begin")
        kill(manager)
        manager = scene.manage("resume", "stages-1", "--quiet")
        kept = scene.root / "jobs" / "long" / "files" / "checkpoint" / "epoch"
        wait_until(lambda: kept.exists() and kept.read_text() == "6\n", 60, "a checkpoint to come home")
        host = scene.jobs()["long"]["host"]
        scene.lab.host(host).power_off()
        wait_until(lambda: scene.jobs()["long"]["state"] == "unknown", 60, "the loss of the host to be seen")
        kill(manager)
        manager = scene.manage("resume", "stages-1", "--quiet")
        wait_until(lambda: scene.cli("hosts", "lost", "stages-1", host).returncode == 0, 60, "it to be declared lost")
        scene.let("train")
        scene.let("long")
        assert manager.wait(180) == 0
    finally:
        kill(manager)
    jobs = scene.jobs()
    assert {job["state"] for job in jobs.values()} == {"done"}
    # Each ran once, and once more what a lost host had: its end nobody knows.
    tries = [name if name != "long" else f"long-{attempt['n']}" for name, job in jobs.items() for attempt in job["attempts"]
             if attempt["outcome"] != "never_started"]
    assert all(attempt["outcome"] in ("succeeded", "never_started") or attempt["host"] == host
               for job in jobs.values() for attempt in job["attempts"])
    assert scene.ledger() == sorted(tries) and {*jobs} == {"prep-1", "prep-2", *expected, "long", "collect"}
    ended = {name: job["attempts"][-1]["ended"] for name, job in jobs.items()}
    assert all(job["attempts"][-1]["started"] >= ended[before] - 0.5 for name, job in jobs.items() for before in (
        ["prep-1", "prep-2"] if name == "long" else [*expected, "long"] if name == "collect" else []))
    # Every byte, at home and where the last stage read it.
    home = scene.root / "jobs"
    assert {name: hashlib.sha256((home / name / "files" / "model.bin").read_bytes()).hexdigest() for name in expected} == expected
    sums = (home / "collect" / "files" / "sums").read_text().splitlines()
    assert sorted(sums) == sorted(f"{digest}  {name}/model.bin" for name, digest in expected.items())
    assert (home / "train-1" / "files" / "logs" / "tag.txt").read_text() == "one, first\n"
    # The second attempt of the long job went on from what the first had brought last.
    assert (home / "long" / "stdout").read_text().startswith("begins at 6\n") and len(jobs["long"]["attempts"]) == 2
    table = scene.cli("table", "stages-1", "--where", "lr=5", "--columns", "job,part,loss", "--format", "csv")
    assert table.stdout.splitlines() == ["job,part,loss", "train-11,2,5"]
    lines = scene.cli("verify", "stages-1").stdout.splitlines()
    assert all(line.startswith(host) for line in lines[:-1]) and "files" in lines[-1], lines
