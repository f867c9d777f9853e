"""``sshjobs top`` in a real terminal, on a run that is at work: what it does to the run, and the terminal afterwards."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.cli.tmux import Tmux
from tests.conftest import sshjobs_argv
from tests.lab.waiting import wait_until

pytest.importorskip("textual")

JOBFILE = """
jobs:
  - {name: "[red]bad", commands: ["echo 'no [b]such thing' >&2", exit 3]}
  - {name: "long", repeat: 6, commands: ['echo at work; until test -e @/go || test ! -d @; do sleep 0.1; done']}
"""


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[None]:
    """Let the jobs end, whatever becomes of the test."""
    try:
        yield
    finally:
        (tmp_path / "go").touch()


@pytest.mark.usefixtures("ends")
def test_top_in_a_terminal(tmp_path: Path, clean_home: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBFILE.replace("@", str(tmp_path)))
    # A shell exports its terminal's size where it was given one, as by a Python that has loaded readline.
    with Tmux(tmp_path, columns=100, rows=30, env={"COLUMNS": "100", "LINES": "30"}) as terminal:
        terminal.type("stty -g > before; clear; echo above")
        terminal.type(shlex.join(sshjobs_argv(["run", "jobs.yaml", "--slots", "2", "--detach"])))
        terminal.wait_for(lambda screen: "goes on by itself" in screen)
        terminal.type(shlex.join(sshjobs_argv(["top"])))
        terminal.wait_for(lambda screen: "[red]bad" in screen and "exit 3" in screen and "long-1    busy" in screen)
        terminal.press("3")
        terminal.wait_for(lambda screen: "no [b]such thing" in screen)
        terminal.press("1")
        terminal.wait_for(lambda screen: "long-6" in screen)
        terminal.press("End", "c")
        terminal.wait_for(lambda screen: "cancel long-6? y: yes" in screen)
        terminal.press("y")
        terminal.wait_for(lambda screen: "cancelled: long-6" in screen and "2 error" in screen)
        terminal.write(":")
        terminal.type("drain localhost")
        terminal.wait_for(lambda screen: "done: drain localhost" in screen)
        terminal.resize(60, 20)
        # What is left of the larger screen lacks its beginning or its end.
        terminal.wait_for(lambda screen: screen.startswith("jobs-1 ") and screen.split("\n")[19].strip())
        terminal.press("C-z")
        terminal.wait_for(lambda screen: "Stopped" in screen)
        terminal.type("clear; jobs; echo o''ff")
        terminal.wait_for(lambda screen: "\noff" in screen and terminal.shows_cursor())
        terminal.type("fg")
        terminal.wait_for(lambda screen: screen.startswith("jobs-1 ") and "long-6" in screen)
        terminal.write(":")
        terminal.type("undrain localhost")
        terminal.wait_for(lambda screen: "done: undrain localhost" in screen)
        terminal.press("q")
        screen = terminal.wait_for(lambda screen: screen.rstrip().endswith("$") and "sshjobs top" in screen)
        assert "busy" not in screen and terminal.shows_cursor()
        terminal.type("stty -g > after; echo o''ver")
        terminal.wait_for(lambda screen: "\nover" in screen)
    (tmp_path / "go").touch()
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()

    def state() -> str:
        with RunReader.open(RunPaths(tmp_path / "results", "jobs-1")) as reader:
            return reader.summary().state

    wait_until(lambda: state() == "failed", 60)
    with RunReader.open(RunPaths(tmp_path / "results", "jobs-1")) as reader:
        assert reader.summary().outcomes == {"succeeded": 5, "failed": 1, "cancelled": 1}
