"""``sshjobs wait --until``: a moment that nobody can miss, however slow the machine is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.cli.here import call_here
from tests.cli.runs import edit, make_run


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_started_counts_whatever_has_become_of_it() -> None:
    with edit(Path("results"), "r", ["over", "runs", "sent", "waits"], attended=True) as run:
        run.done("over")
        run.busy("runs")
        run.busy("sent")
        run.jobs["sent"].attempts[-1].started = None
    for words, code in ((["--until", "started"], 0), (["--until", "started=2"], 0), (["--until=started=3", "--timeout", "0.01"], 1)):
        told = call_here("wait", "r", *words)
        assert (told.returncode, told.stdout) == (code, ""), told.stderr
    assert told.stderr == "sshjobs: r has started 2 jobs so far; it goes on\n"


def test_a_run_that_is_over_before_is_waited_for_no_longer() -> None:
    with edit(Path("results"), "r", ["x"]) as run:
        run.failed("x")
    assert call_here("wait", "r", "--until", "started").returncode == 0
    told = call_here("wait", "r", "--until", "started=2")
    assert (told.returncode, told.stderr) == (1, ""), "the exit code of the run"


def test_a_run_that_is_named_may_still_have_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.cli.wait.PATIENCE", 0.0)
    told = call_here("wait", "later", "--until", "started", "--timeout", "0.01")
    assert told.returncode == 2 and "later" in told.stderr
    made = threading.Event()

    def complain(text: str) -> None:
        assert text == "waiting for a run called later"
        with edit(Path("results"), "later", ["x"]) as run:
            run.done("x")
        made.set()

    monkeypatch.setattr("sshjobs.cli.wait.complain", complain)
    assert call_here("wait", "later", "--until", "started").returncode == 0 and made.is_set()


@pytest.mark.parametrize("value", ["", "8", "started=", "started=0", "started=-1", "started=x", "ended", "started=9999999999999999999999", "started=\u0663"])
def test_nothing_else_can_be_waited_for(value: str) -> None:
    make_run(Path("results"), "r")
    told = call_here("wait", "r", "--until", value)
    assert told.returncode == 2 and told.stderr.count("\n") == 1 and "write --until started, or --until started=8" in told.stderr
