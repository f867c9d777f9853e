"""A user whom nobody knows: a number without an entry in passwd, and without HOME, as in many containers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import cli_environment

ACCOUNT = 54_321
JOBFILE = "jobs: [{name: a, files: [input], commands: [cat input]}, {name: b, commands: [id -u]}]\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be another number in a namespace of its own")
def test_a_number_without_a_name_and_a_home_runs_jobs_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBFILE)
    # Large enough for its digest to be kept, if there were a place for it.
    (tmp_path / "input").write_bytes(b"x" * (1 << 20))
    unknown = ["unshare", "--user", f"--map-user={ACCOUNT}", f"--map-group={ACCOUNT}"]
    environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(tmp_path), **cli_environment()}
    told = subprocess.run([*unknown, sys.executable, "-m", "sshjobs", "run", "jobs.yaml", "--name", "r"], cwd=tmp_path,
                          env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr) == (0, ""), told
    assert (tmp_path / "results" / "r" / "jobs" / "a" / "stdout").stat().st_size == 1 << 20
    assert (tmp_path / "results" / "r" / "jobs" / "b" / "stdout").read_text() == f"{ACCOUNT}\n"
