"""The fixtures that every test may ask for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv


def test_a_clean_home_hides_the_users_own(clean_home: Path) -> None:
    assert Path.home() == clean_home
    assert list(clean_home.iterdir()) == []
    assert not [name for name in os.environ if name.startswith(("XDG_", "SSHJOBS_")) and name != "SSHJOBS_SHARED"]


def test_the_command_comes_from_this_checkout_whatever_the_directory(tmp_path: Path) -> None:
    (tmp_path / "sshjobs.py").write_text("raise SystemExit('not this one')")
    done = subprocess.run(
        [sys.executable, "-c", "import sshjobs; print(sshjobs.__file__)"],
        cwd=tmp_path / "..", env={**os.environ, **cli_environment()},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(Path(__file__).parents[2] / "sshjobs")
    assert sshjobs_argv(["run", Path("jobs.yaml")])[-3:] == ["sshjobs", "run", "jobs.yaml"]


def test_the_command_gets_the_clean_home_and_its_exit_code_comes_back(sshjobs_cli: SshjobsCli) -> None:
    done = sshjobs_cli("--no-such-option", env={"NO_COLOR": "1"})
    assert done.returncode != 0
    assert done.stdout == ""
    assert done.stderr != ""
