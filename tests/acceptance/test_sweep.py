"""A sweep over real sshd: each combination runs once, with its values as they were written, whatever dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.house.source import ROOT
from tests.lab.waiting import wait_until

#: What a shell would obey.
TAG = 'it\'s "$(touch OWNED)"; `touch OWNED` * $HOME \\'
JOBFILE = """\
jobs:
  - name: train
    rows: tags.jsonl
    matrix:
      lr: [0.10, 1e-3]
      seed: 1..3
      exclude: [{lr: 0.001, seed: 2}]
      include: [{lr: 0.1, seed: 3, extra: "more"}]
    env: {BOTH: "${{ lr }}/${{ tag }}"}
    files: ["in-${{ seed }}.txt"]
    cwd: .
    commands:
      - echo ran >> ~/sweep-ledgers/$SSHJOBS_JOB
      - while test ! -e ~/sweep-ledgers/go; do sleep 0.05; done
      - printf '%s\\0' "${{ lr }} ${{ seed }}" ${{ tag }} '<${{ tag }}>' "$BOTH" "$SSHJOBS_PARAM_lr" "$SSHJOBS_PARAMS"
      - printf '%s\\0' "${SSHJOBS_PARAM_extra-none}"
      - cat in-*.txt
  - name: eval
    matrix: {lr: [0.1]}
    after: train
    argv: [printf, "%s", "${{ lr }}"]
"""


def test_a_sweep_runs_once_for_each_combination_though_its_manager_is_killed(lab, sshjobs_cli, tmp_path: Path) -> None:
    ledgers = [host.home / "sweep-ledgers" for host in lab.hosts[:2]]
    for ledger in ledgers:
        shutil.rmtree(ledger, ignore_errors=True)
        ledger.mkdir()
        ledger.chmod(0o777)
    for number in (1, 2, 3, 9):
        (tmp_path / f"in-{number}.txt").write_text(f"input {number}")
    (tmp_path / "tags.jsonl").write_text(json.dumps({"tag": TAG}) + "\n")
    (tmp_path / "jobs.yaml").write_text(JOBFILE)
    hosts = ",".join(host.name for host in lab.hosts[:2])
    manager = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", hosts, "--slots", "1", "--ssh-config", lab.ssh_config]),
        cwd=tmp_path, env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: sum(len(list(ledger.iterdir())) for ledger in ledgers) == 2, 60, "two jobs to run")
    finally:
        manager.send_signal(signal.SIGKILL)
        manager.wait()
    (tmp_path / "more.yaml").write_text(
        JOBFILE.replace("train", "more").replace("1..3", "[9]").replace(", seed: 2}", "}").replace("seed: 3", "seed: 9")
        .replace("name: eval", "name: last"))
    added = sshjobs_cli("add", "more.yaml")
    assert added.returncode == 0, added.stderr
    for ledger in ledgers:
        (ledger / "go").touch()
    done = sshjobs_cli("resume", timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = [("train-1", "0.10", "1", None), ("train-2", "0.10", "2", None), ("train-3", "0.10", "3", "more"),
                ("train-4", "1e-3", "1", None), ("train-5", "1e-3", "3", None), ("more-1", "0.10", "9", "more")]
    assert sorted((path.name, path.read_text()) for ledger in ledgers for path in ledger.iterdir()) == sorted([
        ("go", ""), ("go", ""), *((name, "ran\n") for name, *_ in expected)])
    directory = tmp_path / "results" / "jobs-1" / "jobs"
    for name, lr, seed, extra in expected:
        params = {"tag": TAG, "lr": lr, "seed": seed, **({"extra": extra} if extra else {})}
        told = (directory / name / "stdout").read_text().split("\0")
        assert told[:5] == [f"{lr} {seed}", TAG, f"<{TAG}>", f"{lr}/{TAG}", lr]
        assert json.loads(told[5]) == params and told[6:] == [extra or "none", f"input {seed}"]
    assert (directory / "eval-1" / "stdout").read_text() == "0.1"


def test_the_example_of_a_sweep_does_what_it_says(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    done = sshjobs_cli("run", ROOT / "jobfiles" / "sweep.yaml", "-q", "--slots", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {path.name: (path / "stdout").read_text() for path in (tmp_path / "results" / "sweep-1" / "jobs").iterdir()}
    lines = (ROOT / "jobfiles" / "words.txt").read_text().splitlines()
    words = [f"{line.split()[number]} {'' if number else 'first'}\n" for line in lines for number in range(3)]
    del words[11]
    assert told == {**{f"word-{n}": text for n, text in enumerate([*words, "end \n"], 1)}, "pair-a-x": "ax\n",
                    "pair-b-y": "by\n", "all": "all of them are done\n"}
