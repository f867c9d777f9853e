"""The terminal is left as it was found: stopped and continued, made narrower and wider, sent to the background."""

from __future__ import annotations

import os
import re
import shlex
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cli.tmux import Tmux
from tests.conftest import sshjobs_argv

JOBFILE = """
jobs:
  - {name: bad, commands: ["echo 'ValueError: bad seed' >&2", exit 3]}
  - {name: "a-job-with-quite-a-long-name", repeat: 20, commands: ['until test -e @/go; do sleep 0.1; done']}
"""
RUN = shlex.join(sshjobs_argv(["run", "jobs.yaml", "--slots", "2"]))
BLOCK = re.compile(r"jobs-1( on this machine)?  \d+ of 21")


@pytest.fixture
def terminal(tmp_path: Path, clean_home: Path) -> Iterator[Tmux]:
    """A terminal of 100 columns with a shell, where jobs.yaml waits for a file called go."""
    place = tmp_path / "here"
    place.mkdir()
    (place / "jobs.yaml").write_text(JOBFILE.replace("@", str(place)))
    with Tmux(place, columns=100, rows=30) as made:
        yield made
        (place / "go").touch()


def begin(terminal: Tmux) -> None:
    """Start the run and wait until all that is to be seen of it can be seen."""
    terminal.type(RUN)
    terminal.wait_for(lambda screen: "ValueError" in screen and "-name-2 " in screen and "launched" in screen)


def titles(terminal: Tmux) -> int:
    """How many blocks stand on the screen."""
    return len(BLOCK.findall(terminal.screen()))


def has_bar(columns: int, screen: str) -> bool:
    """Tell whether there is a block of a certain width."""
    return "━" * columns in screen.splitlines()


def end(terminal: Tmux, place: Path) -> str:
    (place / "here" / "go").touch()
    over = "jobs-1 failed: 20 done, 1 error of 21 jobs"
    return terminal.wait_for(lambda screen: over in screen.replace("\n", ""))


def test_ctrl_z_gives_the_shell_its_terminal_back_and_fg_begins_below(terminal: Tmux, tmp_path: Path) -> None:
    begin(terminal)
    assert not terminal.shows_cursor()
    terminal.press("C-z")
    screen = terminal.wait_for(lambda screen: "Stopped" in screen)
    assert terminal.shows_cursor()
    assert "jobs-1 " not in screen, "the block is gone while we stand still"
    terminal.type("seq 3 | sed 's/^/between-/'")
    terminal.wait_for(lambda screen: "between-3" in screen)
    terminal.type("fg")
    screen = terminal.wait_for(lambda screen: BLOCK.search(screen))
    assert screen.index("between-1") < screen.index("between-3") < screen.index("jobs-1 ")
    screen = end(terminal, tmp_path)
    assert "between-1\nbetween-2\nbetween-3\n" in screen
    assert titles(terminal) == 0
    terminal.wait_for(lambda screen: screen.rstrip().endswith("$"))
    assert terminal.shows_cursor()


def test_in_the_background_nothing_is_drawn_over_the_shell(terminal: Tmux, tmp_path: Path) -> None:
    begin(terminal)
    terminal.press("C-z")
    terminal.wait_for(lambda screen: "Stopped" in screen)
    terminal.type("bg")
    terminal.type("sleep 2; echo the-shell-goes-on")
    screen = terminal.wait_for(lambda screen: screen.count("the-shell-goes-on") == 2)
    assert not BLOCK.search(screen)
    terminal.type("fg")
    terminal.wait_for(lambda screen: BLOCK.search(screen))
    assert "the-shell-goes-on\n" in end(terminal, tmp_path)


def test_after_a_stop_by_somebody_else_the_block_begins_below(terminal: Tmux, tmp_path: Path) -> None:
    begin(terminal)
    os.kill(terminal.child(), signal.SIGSTOP)
    terminal.wait_for(lambda screen: "Stopped" in screen)
    # Longer than the block ever stands without being drawn.
    terminal.type("sleep 2; echo between; fg")
    terminal.wait_for(lambda screen: -1 < screen.find("\nbetween\n") < screen.rfind("jobs-1 "))
    assert "\nbetween\n" in end(terminal, tmp_path)


@pytest.mark.parametrize("sizes", [[(60, 30)], [(40, 15)], [(160, 30)], [(50, 20), (120, 40)], [(100, 12), (100, 30)]],
                         ids=str)
def test_a_change_of_size_leaves_one_block(terminal: Tmux, tmp_path: Path, sizes: list[tuple[int, int]]) -> None:
    begin(terminal)
    for columns, rows in sizes:
        terminal.resize(columns, rows)
        terminal.wait_for(partial(has_bar, columns - 2))
    assert titles(terminal) == 1, terminal.screen()
    end(terminal, tmp_path)
    assert titles(terminal) == 0


def test_lines_above_the_block_follow_the_width(terminal: Tmux, tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("localhost slots=2\nnosuch.invalid\n")
    terminal.resize(50, 30)
    # What a shell exports is the size as it was.
    terminal.type("export COLUMNS LINES")
    terminal.type(f"{RUN} --hosts {tmp_path}/hosts.txt --ssh-config /dev/null")
    terminal.wait_for(lambda screen: "nosuch.invalid: the name cannot" in screen and "-name-2 " in screen)
    terminal.resize(150, 30)
    terminal.wait_for(lambda screen: "━" * 148 in screen)
    line = next(line for line in terminal.screen().splitlines() if re.match(r"\d\d:\d\d:\d\d ", line))
    assert len(line) > 60, "the terminal may wrap it anew, because nobody else has"
    end(terminal, tmp_path)


def test_the_count_of_an_exec_leaves_the_shell_alone_too(terminal: Tmux, tmp_path: Path) -> None:
    go = tmp_path / "here" / "go"
    command = f"until test -e {go}; do sleep 0.1; done; echo output-of-{{}}"
    terminal.type(f"clear; {shlex.join(sshjobs_argv(['exec', command, ':::', 'a', 'b']))}")
    terminal.wait_for(lambda screen: "of 2 jobs on this machine, " in screen)
    terminal.press("C-z")
    terminal.wait_for(lambda screen: "Stopped" in screen)
    assert terminal.shows_cursor()
    terminal.type("bg")
    terminal.type("sleep 2; echo the-shell-goes-on")
    screen = terminal.wait_for(lambda screen: screen.count("the-shell-goes-on") == 2)
    assert "of 2 jobs on this machine" not in screen.partition("the-shell-goes-on")[2]
    terminal.type("fg")
    terminal.wait_for(lambda screen: "of 2 jobs on this machine, " in screen.rpartition("the-shell-goes-on")[2])
    go.touch()
    terminal.wait_for(lambda screen: "output-of-a\n" in screen and "output-of-b\n" in screen)
    screen = terminal.wait_for(lambda screen: screen.rstrip().endswith("$"))
    assert "the-shell-goes-on\n" in screen


def test_the_address_of_the_pages_stands_above_the_block_and_stays(terminal: Tmux, tmp_path: Path) -> None:
    terminal.type(f"SSH_CONNECTION='192.0.2.1 1 192.0.2.2 22' {RUN} --web")
    address = re.compile(r"http://127\.0\.0\.1:\d+/#token=[0-9a-f]{64}")
    terminal.wait_for(lambda screen: "ssh -L" in screen and "-name-2 " in screen)
    over = end(terminal, tmp_path)
    assert len(address.findall(over.replace("\n", ""))) == 1 and over.replace("\n", "").count("then open the address") == 1
    assert titles(terminal) == 0
