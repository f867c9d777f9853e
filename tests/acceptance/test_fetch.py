"""Files of a run that is over are fetched from real hosts: while one is off, after it is back, from a directory that is
gone, by a fetch that is killed and by the next, by the names and parameters of jobs.
"""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from sshjobs.network.session.arrivals import ArrivingFiles
from sshjobs.running.fetching import fetch_files
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli
from tests.lab import LabHost

SIZE = 5_000_000
JOBFILE = """\
jobs:
  - name: train
    matrix: {lr: [0.1, 0.01], host: [HOSTS]}
    hosts: ["${{ host }}"]
    cwd: ~/kept
    outputs: ["model-${{ lr }}-${{ host }}"]
    commands:
      - head -c SIZE /dev/urandom > model-${{ lr }}-${{ host }}
      - exit 3
"""


def sums(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.rglob("model-*"))}


def test_files_are_fetched_from_hosts_whatever_happens(fresh_lab: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    lab = fresh_lab(hosts=2)
    for host in lab.hosts:
        (host.home / "kept").mkdir()
        (host.home / "kept").chmod(0o777)
    (tmp_path / "sweep.yaml").write_text(JOBFILE.replace("SIZE", str(SIZE)).replace("HOSTS", ", ".join(lab.names)))
    ran = sshjobs_cli("run", "-q", "sweep.yaml", "--hosts", ",".join(lab.names), "--slots", "2", "--ssh-config", lab.ssh_config)
    assert ran.returncode == 1, ran.stderr
    jobs = {job["name"]: job for job in json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]}
    where = {name: job["host"] for name, job in jobs.items()}
    here = tmp_path / "results/sweep-1/jobs"
    assert sums(here) == {} and len(where) == 4
    made = {name: digest for host in lab.hosts for name, digest in sums(host.home / "kept").items()}
    first: LabHost = lab.hosts[0]
    (off,) = [host for host in lab.hosts if host is not first]

    # One is off: of its jobs a line each, of the others all files. Killed in the middle, it is simply called again.
    off.power_off()
    killed = sshjobs_cli("fetch", env={"SSHJOBS_FAILPOINTS": "file:kill@3"})
    assert killed.returncode == -signal.SIGKILL
    told = sshjobs_cli("fetch")
    assert told.returncode == 1, told.stderr
    away = [name for name, host in where.items() if host == off.name]
    lines = told.stderr.splitlines()
    assert len(lines) == len(away) == 2 and all(f"{name}: {off.name}: " in told.stderr for name in away)
    assert set(sums(here).values()) == {made[path.name] for path in (first.home / "kept").iterdir()}

    # It is back; the directory of one job is not.
    off.power_on()
    (off.home / "kept").rename(off.home / "moved")
    told = sshjobs_cli("fetch", "train[lr=0.1]", "train-[34]")
    assert told.returncode == 1
    assert told.stderr.splitlines() == [f"sshjobs: {name}: the directory that it ran in is gone from {off.name}" for name in away]
    (off.home / "moved").rename(off.home / "kept")
    told = sshjobs_cli("fetch", "sweep-1", "train*", "--json")
    assert told.returncode == 0, told.stderr
    assert sorted(json.loads(line)["job"] for line in told.stdout.splitlines()) == sorted(where)
    assert sums(here) == made
    elsewhere = sshjobs_cli("fetch", f"train[host={off.name}]", "--to", "mine")
    assert elsewhere.returncode == 0 and sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["train-2", "train-4"]
    assert sums(tmp_path / "mine") == {name: digest for name, digest in made.items() if name.endswith(off.name)}
    verified = sshjobs_cli("verify")
    assert verified.returncode == 0, verified.stdout


def test_a_link_that_is_cut_by_the_host_is_made_again_and_every_byte_comes_once(fresh_lab: Any, sshjobs_cli: SshjobsCli, tmp_path: Path,
                                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    lab = fresh_lab(hosts=1)
    [host] = lab.hosts
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "a", "commands": [f"head -c {SIZE} /dev/urandom > model-a; exit 1"], "outputs": ["model-a"],
        "keep_directory": "on_failure"}]}))
    ran = sshjobs_cli("run", "-q", "jobs.yaml", "--hosts", host.name, "--ssh-config", lab.ssh_config)
    assert ran.returncode == 1, ran.stderr
    pieces: list[int] = []
    write = ArrivingFiles.write

    def cutting(self: ArrivingFiles, directory: str, path: str, offset: int, data: bytes, anew: bool) -> None:
        write(self, directory, path, offset, data, anew)
        pieces.append(offset)
        if len(pieces) in (3, 9):
            host.restart_sshd(drop_sessions=True)

    monkeypatch.setattr(ArrivingFiles, "write", cutting)
    [told] = fetch_files(RunPaths(tmp_path / "results", "jobs-1"))
    assert told.trouble is None and pieces == sorted(set(pieces)) and len(pieces) == -(-SIZE // (1 << 18))
    [kept] = host.home.glob(".sshjobs/*/*/w/*/model-a")
    assert (tmp_path / "results/jobs-1/jobs/a/files/model-a").read_bytes() == kept.read_bytes()
    assert sshjobs_cli("verify").returncode == 0
    assert sshjobs_cli("gc", "jobs-1").returncode == 0 and not kept.exists()
