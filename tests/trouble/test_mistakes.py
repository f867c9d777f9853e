"""Mistakes of our own in the background: the run stops with a line for a bug report, and can be resumed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import cli_environment

JOBFILE = "jobs: [{name: x, repeat: 4, files: [input], commands: [cat input]}]\n"
#: What dies, by where: code that has it do so.
MISTAKES = {
    "the writer of a session": "from sshjobs.network.session.session import HostSession as c; c._word_launch = die",
    "the upload of a session": "from sshjobs.network.session.upload import Upload as c; c._look = die",
    "the reader of a session": "from sshjobs.network.session.dialog import Dialog as c; c.take = die",
    "the session itself": "from sshjobs.network.session.session import HostSession as c; c._connection = die",
    "the release": "from sshjobs.network.engine import Engine as c; c._sync = die",
    "a call of the loop": "from sshjobs.network.session.book import HostBook as c; c.launch = die",
    "the control socket": "from sshjobs.running.control import ControlServer as c; c._serve = die",
    "the manager": "from sshjobs.running.manager import Manager as c; c.turn = die",
}
PROGRAM = """
import sys
def die(*arguments, **named):
    raise ZeroDivisionError("a mistake")
{mistake}
from sshjobs.cli import main
sys.exit(main(["run", "jobs.yaml", "--name", "r", "--hosts", "h", "--transport", "local"]))
"""


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_in_the_background_ends_the_run_with_a_line_and_a_resume_works(what: str, tmp_path: Path, clean_home: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBFILE)
    (tmp_path / "input").write_text("in\n")
    environment = {**os.environ, **cli_environment(), "TMPDIR": str(tmp_path)}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60, check=False)
    told = call("-c", PROGRAM.format(mistake=MISTAKES[what]))
    assert told.returncode == 70, told
    assert re.fullmatch("sshjobs: internal error: ZeroDivisionError: a mistake; details in .*\n", told.stderr), told.stderr
    again = call("-m", "sshjobs", "resume", "r")
    assert again.returncode == 0, again
    assert "r done: 4 done of 4 jobs" in again.stdout, again.stdout
