"""The documented completion, in real shells."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.cli.tmux import Tmux


@pytest.fixture
def place(tmp_path: Path, clean_home: Path) -> Path:
    """A directory with some files, beside one with the command ``sshjobs``."""
    program = tmp_path / "bin" / "sshjobs"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sshjobs "$@"\n')
    program.chmod(0o755)
    here = tmp_path / "here"
    (here / "inputs").mkdir(parents=True)
    (here / "sweep of seeds.yaml").touch()
    (here / "machines.txt").touch()
    return here


@pytest.mark.parametrize(("typed", "shown"), [
    ("sshjobs run sw", r"sshjobs run sweep\\ of\\ seeds\.yaml"),
    ("sshjobs run --hosts mach", r"sshjobs run --hosts machines\.txt"),
    ("sshjobs exec --send inp", r"sshjobs exec --send inputs/"),
    ("sshjobs add mach", r"sshjobs add machines\.txt"),
    ("sshjobs unp", r"sshjobs unpause"),
    ("sshjobs run --fail", r"sshjobs run --fail-fast"),
    ("sshjobs hosts ch", r"sshjobs hosts check"),
])
def test_bash_completes_our_words_and_file_names(place: Path, typed: str, shown: str) -> None:
    with Tmux(place, env={"PATH": f"{place.parent}/bin:/usr/bin:/bin"}) as terminal:
        terminal.type('eval "$(_SSHJOBS_COMPLETE=bash_source sshjobs)"; clear; echo ready')
        terminal.wait_for(lambda screen: screen.startswith("ready"))
        terminal.write(typed)
        terminal.press("Tab")
        terminal.wait_for(lambda screen: re.search(shown, screen))
