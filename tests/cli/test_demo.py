"""The tour is what it says, ends in time, and leaves nothing."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import cli_environment, sshjobs_argv


@pytest.mark.timeout(180)
def test_the_tour_is_played_in_time_and_leaves_nothing(tmp_path: Path, clean_home: Path) -> None:
    scratch, here = tmp_path / "scratch", tmp_path / "here"
    scratch.mkdir()
    here.mkdir()
    began = time.monotonic()
    told = subprocess.run(sshjobs_argv(["demo"]), cwd=here, capture_output=True, text=True, timeout=90, check=False,
                          env={**os.environ, **cli_environment(), "TMPDIR": str(scratch)})
    assert time.monotonic() - began <= 90
    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    text = told.stdout
    commands = re.findall(r"^\$ sshjobs (\w+)", text, re.MULTILINE)
    assert commands[:3] == ["run", "status", "resume"] and commands[-1] == "table", text
    assert "unattended" in text and "jobs-1 failed: 8 done, 1 error of 9 jobs" in text, text
    assert "ValueError, loss is nan" in text
    # The link that was cut: told, and made again.
    assert re.search(r"\b(away|up) +(alpha|beta)", text.partition("$ sshjobs resume")[2]), text
    assert re.search(r"train-1 +0\.1 +1 +succeeded +0\.17", text), text
    for place in (scratch, here, clean_home):
        assert not list(place.iterdir()), place
    alive = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and str(scratch) in _words(entry)]
    assert not alive


def _words(process: Path) -> str:
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:
        return ""
