"""``sshjobs grep``: every line that has it, with the name of its job; nothing of it takes over a terminal, memory or time."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from random import Random

import pytest

from sshjobs.errors import UsageError
from sshjobs.views import found
from sshjobs.views.found import PIECE, Search
from tests.cli.here import call_here
from tests.cli.runs import edit
from tests.cli.terminal import Terminal
from tests.conftest import sshjobs_argv


@pytest.fixture
def here(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", ["fit-1", "fit-2", "prep", "never"]) as made:
        made.done("fit-1", b"loss 0.5\nloss 0.4\n", b"CUDA out of memory\n")
        made.failed("fit-2", b"10%\r20% Loss\rdone\n", b"cuda \x1b]0;x\x07error (a+b)")
        made.done("prep", b"")
    return tmp_path


def test_lines_are_found_with_the_names_of_their_jobs(here: Path) -> None:
    told = call_here("grep", "loss")
    assert (told.returncode, told.stdout, told.stderr) == (0, "fit-1: loss 0.5\nfit-1: loss 0.4\n", "")
    assert call_here("grep", "-i", "loss", "r", "fit-2").stdout == "fit-2: 20% Loss\n"
    assert call_here("grep", "-i", "cuda", "--jobs-only").stdout == "fit-1\nfit-2\n"
    assert call_here("grep", "CUDA").stdout == "fit-1 (stderr): CUDA out of memory\n"
    assert call_here("grep", "-E", r"0\.[45]$", "fit-*").stdout == "fit-1: loss 0.5\nfit-1: loss 0.4\n"
    assert "(a+b)" in call_here("grep", "(a+b)").stdout, "a text is a text"
    assert json.loads(call_here("grep", "--json", "out of").stdout) == {
        "job": "fit-1", "stream": "stderr", "text": "CUDA out of memory"}


def test_nothing_found_is_told_by_the_exit_code_alone(here: Path) -> None:
    told = call_here("grep", "zzz")
    assert (told.returncode, told.stdout, told.stderr) == (1, "", "")


@pytest.mark.parametrize(("words", "line"), [
    (["-E", "a("], "'a(' is no regular expression: missing ), unterminated subpattern at position 1; without -E it is "
                   "looked for as it is"),
    ([""], "a pattern has 1 to 1,000 characters: this one has 0"), (["x" * 1001], "a pattern has 1 to 1,000 characters: this one has 1,001"),
    (["x", "nosuch"], "results: there is no run nosuch; the newest are r"),
])
def test_what_cannot_be_looked_for_is_one_line(here: Path, words: list[str], line: str) -> None:
    told = call_here("grep", *words)
    assert (told.returncode, told.stdout, told.stderr) == (2, "", f"sshjobs: {line}\n")


def test_what_was_found_takes_no_terminal_over(here: Path) -> None:
    with Terminal(sshjobs_argv(["grep", "error"]), here) as terminal:
        assert terminal.read_to_end() == "fit-2 (stderr): cuda error (a+b)\r\n"


def test_an_expression_that_never_ends_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "PATIENCE", 0.05)
    (tmp_path / "x").write_bytes(b"a" * 500 + b"!\n")
    with pytest.raises(UsageError, match="takes too long on some line"):
        list(Search("(a|aa)+$", regex=True).lines(tmp_path / "x"))
    assert list(Search("a!", regex=True).lines(tmp_path / "x")) == [b"a" * 500 + b"!"]


def test_a_line_of_1_gib_is_searched_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with open(path, "wb") as file:
        # A hole: it takes no disk.
        file.write(b"needle")
        file.seek((1 << 30) - 3)
        file.write(b"needle end")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = []
    for line in Search("needle").lines(path):
        assert len(line) <= 2 * PIECE
        lines.append(line)
    assert [line.strip(b"\0")[:6] for line in lines] == [b"needle", b"needle"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown < 64 * 1024


def test_pieces_of_long_lines_hide_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED", "1"))
    print("seed", seed)
    random, path = Random(seed), tmp_path / "x"
    for _ in range(60):
        place = random.choice([PIECE, 2 * PIECE]) + random.randrange(-8, 8)
        data = bytearray(random.choice([b"-", b"\n", b"ab\n"]) * (3 * PIECE))[:3 * PIECE]
        data[place:place + 6] = b"needle"
        path.write_bytes(data)
        for search in (Search("needle"), Search("need(le)+", regex=True), Search("NEEDLE", ignore_case=True)):
            assert any(b"needle" in line for line in search.lines(path)), place
