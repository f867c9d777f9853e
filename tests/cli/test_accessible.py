"""With ACCESSIBLE set everything is lines that stay: nothing is drawn over, and a line says now and then that a run goes on."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import pytest

from sshjobs.cli.screen import STILL_S, accessible
from sshjobs.views.base import Output
from sshjobs.views.lines import Lines
from tests.cli import story
from tests.cli.runs import edit
from tests.cli.terminal import Terminal
from tests.conftest import sshjobs_argv

#: What draws over something: a return to the beginning of a line that goes on, and whatever moves the cursor.
MOVES = re.compile("\r(?!\n)|\x1b\\[[0-9;?]*[A-HJKSTfhlsu]")
JOBFILE = "jobs: [{name: fine, argv: [sleep, '0.3']}, {name: bad, commands: [\"echo $'\\\\e[31mred' >&2\", exit 3]}]\n"


def test_a_line_says_every_30_seconds_that_a_run_goes_on_whatever_else_is_told() -> None:
    clock = [1000.0]
    screen = io.StringIO()
    view = Lines(Output(screen, pytest.fail), handle=lambda paths: paths.name, still=STILL_S, monotonic=lambda: clock[0])
    view(story.run(20, ["a"]))
    view(story.launch("one"))
    for second in range(1, 100):
        clock[0] = 1000.0 + second
        view({"event": "wait"} if second % 7 else story.launch(f"more-{second}"))
    told = [line[9:] for line in screen.getvalue().splitlines() if line[9:].startswith("still")]
    assert told == [f"still  running: {n} busy, {20 - n} free; waiting for one on a and {n - 1} more" for n in (5, 9, 13)]
    silent = io.StringIO()
    quiet = Lines(Output(silent, pytest.fail), handle=str, quiet=True, monotonic=lambda: clock[0])
    quiet(story.run(1, ["a"]))
    clock[0] += 1000
    quiet({"event": "wait"})
    assert silent.getvalue() == ""


@pytest.mark.parametrize("words", [["run", "jobs.yaml"], ["run", "jobs.yaml", "--output", "line"],
                                   ["exec", "echo {}; sleep 0.2", ":::", "a", "b"], ["logs", "-f", "old", "x"], ["status", "old"]])
def test_nothing_is_drawn_over(words: list[str], tmp_path: Path, clean_home: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBFILE)
    with edit(tmp_path / "results", "old", ["x"]) as made:
        made.done("x", b"\r10%\r20%\nred \x1b[31mtext\x1b[0m\n")
    with Terminal(sshjobs_argv(words), tmp_path, env={**os.environ, "ACCESSIBLE": "1"}) as terminal:
        text = terminal.read_to_end()
    assert text and not MOVES.search(text), text
    if words == ["run", "jobs.yaml"]:
        assert "done   fine" in text and "error  bad" in text, "each end is told in words"


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("yes", True), ("0", False), ("", False), ("false", False)])
def test_it_is_on_or_off(value: str, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESSIBLE", value)
    assert accessible() is wanted
