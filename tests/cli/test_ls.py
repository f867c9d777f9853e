"""``sshjobs ls``: how much of the disk runs take, and whether that is filling up."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.cli.here import call_here
from tests.cli.runs import edit


def test_the_size_counts_what_jobs_that_run_have_written_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", ["over", "runs", "away", "waits"]) as run:
        run.done("over", b"x" * 1000)
        run.jobs["over"].attempts[-1].out_size, run.jobs["over"].attempts[-1].err_size = 1000, 0
        run.busy("runs", b"x" * 200)
        run.busy("away", b"x" * 30, unknown=True)
    assert json.loads(call_here("ls", "--json").stdout)["size"] == 1230
    (tmp_path / "results" / "r" / "jobs" / "runs" / "stdout").unlink()
    assert json.loads(call_here("ls", "--json").stdout)["size"] == 1030


def test_a_disk_that_fills_up_is_told_beside_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", ["x"]) as run:
        run.done("x")
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=2 << 30, f_frsize=1, f_blocks=1 << 40))
    told = call_here("ls")
    assert told.stdout.startswith("RUN ") and told.returncode == 0
    assert told.stderr == "sshjobs: the disk of the results is filling up: 2.0 GiB left; below 1.0 GiB large outputs wait on their hosts; make room\n"
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=5 << 30, f_frsize=1, f_blocks=1 << 40))
    assert call_here("ls").stderr == ""
