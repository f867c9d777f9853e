"""What was left out of outputs with a limit: said wherever these are shown, and never as one of their bytes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sshjobs.model.attempt import LeftOut
from sshjobs.store.index import JobIndex
from sshjobs.store.reader import RunReader
from sshjobs.store.rundir import RunPaths
from sshjobs.tui.listing import LISTINGS, Asked
from tests.cli.here import call_here
from tests.cli.runs import edit
from tests.cli.terminal import Terminal
from tests.conftest import sshjobs_argv

#: As they are kept: 8 bytes from the beginning and 7 from the end.
STDOUT, STDERR = b"one\ntwo\x00\xff8\nnine\n", b"red\ngreen"
TOLD = "sshjobs: cut: 1,234 bytes of stdout left out behind the first 8 (output_limit)\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> Path:
    """A directory with a run in which one job has written too much to standard output, and others have not."""
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", ["cut", "none", "whole"]) as run:
        run.failed("cut", STDOUT, STDERR)
        run.jobs["cut"].attempts[-1].left_out = LeftOut(8, 1234, 0)
        run.failed("none")
        run.jobs["none"].attempts[-1].left_out = LeftOut(0, 0, 77)
        run.done("whole", b"all\n")
    return tmp_path


def test_logs_prints_what_was_kept_byte_for_byte_and_says_beside_it_what_was_not(here: Path) -> None:
    told = call_here("logs", "r", "cut", "--stderr")
    assert (told.stdout, told.stderr) == ("red\ngreen", "")
    # Into a pipe. Bytes that are no UTF-8 are in the acceptance test.
    told = call_here("logs", "r", "none", "--stderr")
    assert (told.stdout, told.stderr) == (
        "", "sshjobs: none: 77 bytes of stderr left out behind the first 0 (output_limit)\n")
    assert call_here("logs", "r", "whole").stderr == ""


def test_a_terminal_shows_it_on_a_line_between_the_bytes(here: Path) -> None:
    with Terminal(sshjobs_argv(["logs", "r", "cut"]), here) as terminal:
        shown = terminal.read_to_end()
    assert shown.replace("\r\n", "\n").startswith(f"one\ntwo\\x00\n{TOLD}")
    assert shown.endswith("8\r\nnine\r\n")


@pytest.mark.parametrize("words", [("logs", "r", "cut", "-f"), ("logs", "r", "cut", "--tail", "4"), ("logs", "--tag", "r", "*")])
def test_it_is_told_where_it_belongs_with_every_option(here: Path, words: tuple[str, ...]) -> None:
    with Terminal(sshjobs_argv(list(words)), here) as terminal:
        shown = terminal.read_to_end().replace("\r\n", "\n")
    assert re.search(rf"two.*\n{re.escape(TOLD)}.*8\n.*nine\n", shown)


def test_the_last_lines_alone_say_nothing_of_what_is_before_them(here: Path) -> None:
    told = call_here("logs", "r", "cut", "--tail", "1")
    assert (told.stdout, told.stderr) == ("nine\n", "")


def test_json_has_it_as_an_object_between_the_lines(here: Path) -> None:
    found = [json.loads(line) for line in call_here("logs", "r", "cut", "--json").stdout.splitlines()]
    assert found == [
        {"job": "cut", "stream": "stdout", "text": "one"}, {"job": "cut", "stream": "stdout", "text": "two\0"},
        {"job": "cut", "stream": "stdout", "left_out": {"at": 8, "bytes": 1234}},
        {"job": "cut", "stream": "stdout", "text": "\\xff8"}, {"job": "cut", "stream": "stdout", "text": "nine"}]
    told = call_here("logs", "r", "cut", "--json", "--tag")
    assert told.returncode == 2 and "leave --tag and --raw out" in told.stderr


def test_lines_are_in_pieces_where_they_are_long_and_make_up_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                      clean_home: Path) -> None:
    monkeypatch.chdir(tmp_path)
    text = "ä" * 200_001 + "\nshort\n\nlast"
    with edit(Path("results"), "r", ["x"]) as run:
        run.done("x", text.encode())
    found = [json.loads(line) for line in call_here("logs", "x", "--json").stdout.splitlines()]
    assert "".join(one["text"] + ("" if one.get("continues") else "\n") for one in found) == text + "\n"
    assert max(len(one["text"]) for one in found) <= 1 << 16


def test_status_and_why_say_it(here: Path) -> None:
    jobs = {job["name"]: job for job in json.loads(call_here("status", "r", "--json").stdout)["jobs"]}
    assert [jobs[name]["attempts"][0].get("left_out") for name in ("cut", "none", "whole")] == [
        {"at": 8, "out": 1234, "err": 0}, {"at": 0, "out": 0, "err": 77}, None]
    assert "1,234 bytes of stdout left out behind the first 8 (output_limit)" in call_here("why", "r", "cut").stdout
    told = json.loads(call_here("why", "r", "cut", "--json").stdout)
    assert told["jobs"][0]["attempts"][0]["left_out"] == {"at": 8, "out": 1234, "err": 0}


def test_no_line_is_found_that_goes_over_what_was_left_out(here: Path) -> None:
    told = call_here("grep", "-E", "two.*8", "r")
    assert (told.returncode, told.stdout) == (1, "")
    assert "of 2 jobs only the beginning and the end of the output are there to be searched (output_limit)" in told.stderr
    assert call_here("grep", "nine", "r").stdout == "cut: nine\n"


def test_the_report_lists_it(here: Path) -> None:
    assert call_here("report", "r", "-o", "r.html").returncode == 0
    page = Path("r.html").read_text()
    table = re.search(r'<table id="shortened">.*?</table>', page, re.DOTALL)
    assert table is not None
    assert re.findall(r"<td[^>]*>(.*?)</td>", table[0]) == ["cut", "1,234", "0", "8", "none", "0", "77", "0"]
    with edit(Path("results"), "other", ["x"]) as run:
        run.done("x")
    call_here("report", "other", "-o", "other.html")
    assert "shortened" not in Path("other.html").read_text()


def test_top_shows_it_between_the_lines(here: Path) -> None:
    with RunReader.open(RunPaths(here / "results", "r")) as reader:
        page = LISTINGS["logs"].page(reader.paths, reader, JobIndex(), Asked(of="cut"))
        lines = [row.cells[0] for row in page.rows]
    assert lines == ["one", "two\0", "-- 1,234 bytes of stdout left out behind the first 8 (output_limit) --", "\ufffd8", "nine"]


def test_a_store_that_says_nonsense_of_it_is_damaged(here: Path) -> None:
    import sqlite3

    with sqlite3.connect("results/r/run.db") as store:
        store.execute("UPDATE attempts SET left_out = '1 two 3'")
    for words in (("status", "r", "--json"), ("logs", "r", "cut"), ("grep", "x", "r"), ("report", "r")):
        told = call_here(*words)
        assert told.returncode in (1, 2) and "is damaged" in told.stderr and told.stderr.count("\n") == 1, (words, told)
