"""What runs that were cut short leave on this machine, and what hosts may say of themselves."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.audit import litter
from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network import traces
from sshjobs.network.oneshot import told_by
from tests.cli.runs import edit, make_run
from tests.conftest import SshjobsCli

LONG_AGO = time.time() - 2 * litter.QUIET


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (LONG_AGO, LONG_AGO), follow_symlinks=False)


def half_made(results: Path, name: str) -> Path:
    path = results / name
    (path / "jobs").mkdir(parents=True)
    (path / ".sshjobs").write_text('{"layout": 1}')
    age(path / "jobs", path / ".sshjobs", path)
    return path


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for sockets and one for scratch that nobody else uses."""
    # The path of a socket has 108 bytes at most.
    with tempfile.TemporaryDirectory() as sockets, monkeypatch.context() as patch:
        patch.setattr(litter, "socket_directories", lambda: [Path(sockets)])
        patch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "scratch"))
        yield Path(sockets)


def dead_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
    age(path)
    return path


def test_only_what_nobody_needs_is_litter(tmp_path: Path, runtime: Path) -> None:
    results = tmp_path / "results"
    make_run(results, "whole")
    age(results / "whole")
    cut = half_made(results, "cut-1")
    removed = half_made(results, ".old.0123abcd")
    young = half_made(results, "young")
    (young / "run.db.new").write_text("")
    (results / "mine").mkdir()
    age(results / "mine")
    dead = dead_socket(runtime / f"run-{1:032x}.sock")
    dead_socket(runtime / "somebody-elses.sock")
    with socket.socket(socket.AF_UNIX) as alive:
        # Of a manager that stands still: it does not answer, and yet is there.
        alive.bind(str(runtime / f"run-{2:032x}.sock"))
        alive.listen(1)
        age(runtime / f"run-{2:032x}.sock")
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        words, others = scratch / "sshjobs-ssh-999999999-abc", scratch / f"sshjobs-ssh-{os.getpid()}-abc"
        for path in (words, others):
            path.touch()
        found = [path for path, _ in litter.litter(results)]
    assert sorted(found) == sorted([dead, removed, cut, words])
    assert [litter.remove(path) for path in sorted(found)] == [1, 1, 1, 1]
    assert not any(path.exists() for path in found)
    assert (results / "whole" / "run.db").exists() and young.exists()


@pytest.mark.parametrize("told", [
    [], {}, {"boot": 1, "clock": 1, "directories": [], "processes": []},
    {"boot": "b", "clock": "soon", "directories": [], "processes": []},
    {"boot": "b", "clock": 1, "directories": [{"run": None}], "processes": []},
    {"boot": "b", "clock": 1, "directories": [], "processes": [{"pid": "x"}]},
    {"boot": "b", "clock": 1, "processes": [], "directories": [
        {"run": "r", "host": "h", "base": "/", "agent": True, "boots": [], "changed": 0, "files": 1, "left": 1, "kept": [],
         "attempts": [{"id": "../1", "state": "ended"}]}]},
])
def test_what_a_host_must_not_say_is_its_trouble_and_not_ours(told: object) -> None:
    answer = told_by(Host("h"), (0, json.dumps(told).encode(), b""), traces._traces, "what is there")
    assert isinstance(answer, HostError)
    assert answer.kind == "nonsense"


def test_verify_needs_no_host_and_no_manager(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    with edit(tmp_path / "results", "r", ["x", "y"]) as store:
        store.done("x", b"out")
        store.busy("y")
    told = sshjobs_cli("verify", "--no-hosts")
    assert (told.returncode, told.stdout) == (
        0, "r: 2 jobs, 2 files, 0 hosts: all agree; in motion, and not compared: 1 job\n")
    (tmp_path / "results/r/jobs/x/stderr").unlink()
    told = sshjobs_cli("verify", "r", "--no-hosts", "--json")
    assert told.returncode == 1
    (one,) = json.loads(told.stdout)["disagreements"]
    assert one["where"].endswith("jobs/x/stderr") and set(one) == {"where", "what", "why", "hint"}
