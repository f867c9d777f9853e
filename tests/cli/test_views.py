"""The views, one event at a time: what they say, what they keep to themselves, and what they count."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.states import Outcome
from sshjobs.store.rundir import RunPaths
from sshjobs.views import wording
from sshjobs.views.base import Output
from sshjobs.views.closing import closing
from sshjobs.views.jsonlines import JsonLines
from sshjobs.views.lines import SILENCE, Lines
from sshjobs.views.progress import Progress
from tests.cli import story
from tests.cli.runs import edit


class Screen(io.StringIO):
    """What a view has written, without the times of day."""

    def lines(self) -> list[str]:
        return [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in self.getvalue().splitlines()]


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make_lines(screen: Screen, **more: Any) -> Lines:
    return Lines(Output(screen, pytest.fail), handle=lambda paths: paths.name, **more)


def tell(view: Callable[[story.Event], None], *events: story.Event) -> None:
    for event in events:
        view(event)


def test_a_line_has_time_word_and_what_happened() -> None:
    screen = Screen()
    tell(make_lines(screen), story.run(2, ["a"]), story.up("a", memory=64 << 30, gpus=["A100"]), story.launch("sim-3"),
         story.done("sim-3"), story.launch("x", "a", 2), story.failed("x", attempts=2),
         story.change("error", "y", None, outcome="cancelled", attempts=0, reason="cancelled before it was launched"),
         story.change("error", "z", outcome="signalled", number=9, seconds=75.0),
         story.change("unknown", "u"), story.change("error", "t", outcome="timed_out", seconds=7300.0))
    assert re.match(r"\d\d:\d\d:\d\d run ", screen.getvalue())
    assert screen.lines() == [
        "run    r: 2 jobs on 1 host, in results/r",
        "up     a: 8 cores, 64.0 GiB, 1 GPU, Python 3.9.2",
        "launch sim-3 on a",
        "done   sim-3 on a exit 0 in 1.2 s",
        "launch x on a, attempt 2",
        "error  x on a exit 3 in 1.2 s (attempt 2)",
        "error  y cancelled before it was launched",
        "error  z on a killed by SIGKILL in 1 min 15 s",
        "away   u on a: its host cannot be asked; it may still run",
        "error  t on a timed out in 2 h 1 min",
    ]


def test_host_trouble_is_told_once_for_each_reason_with_its_fix() -> None:
    screen = Screen()
    warning = {"event": "warning", "host": "a", "reason": "its home is full"}
    tell(make_lines(screen), story.down("a"), story.down("a"), story.down("a", "blocked", "auth", "no login"),
         story.up("a"), story.down("a"), story.up("a"), warning, warning)
    assert screen.lines() == [
        "away   a: the connection was refused; do this", "blocked a: no login; do this", "up     a: is back",
        "up     a: is back", "warn   a: its home is full"]


def test_what_a_warning_says_of_the_end_of_a_job_is_not_told_again_with_that() -> None:
    screen, why = Screen(), "no file was brought for '*.png'"
    tell(make_lines(screen), {"event": "warning", "host": "a", "reason": f"x: {why}"}, {**story.done("x"), "reason": why},
         {**story.done("y"), "reason": why})
    assert screen.lines() == [f"warn   a: x: {why}", "done   x on a exit 0 in 1.2 s", f"done   y on a exit 0 in 1.2 s: {why}"]


def test_nothing_from_a_host_or_a_jobfile_reaches_the_terminal_as_a_command() -> None:
    screen = Screen()
    evil = "\x1b[2J\x07\n\u202e"
    tell(make_lines(screen), story.run(1, [evil], directory=f"results/{evil}"), story.launch(evil, evil),
         story.failed(evil, evil, reason=evil), story.down(evil, why=evil),
         {"event": "interrupt", "reason": evil})
    text = screen.getvalue()
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    assert text.count("\n") == 5


def test_quiet_keeps_what_went_well_to_itself() -> None:
    screen = Screen()
    tell(make_lines(screen, quiet=True), story.run(2, ["a"]), story.up("a"), story.launch("x"), story.done("x"),
         story.down("a"), story.failed("y"), {"event": "interrupt", "reason": "stopping"})
    assert [line.split()[0] for line in screen.lines()] == ["away", "error", "stop"]


def test_verbose_also_tells_when_jobs_begin() -> None:
    screen = Screen()
    tell(make_lines(screen, verbose=True), story.change("started", "x"))
    assert screen.lines() == ["start  x on a"]


def test_a_long_silence_is_explained() -> None:
    screen, clock = Screen(), Clock()
    view = make_lines(screen, monotonic=clock)
    tell(view, story.run(3, ["a", "b"]), {"event": "wait"})
    clock.now += SILENCE
    tell(view, {"event": "wait"}, {"event": "wait"}, story.launch("x"))
    clock.now += SILENCE
    tell(view, {"event": "wait"})
    assert screen.lines()[1:] == ["wait   3 free; waiting for host a and 1 more", "launch x on a",
                                  "wait   1 busy, 2 free; waiting for x on a"]


def end_of(**counts: int) -> story.Event:
    outcomes = {key: number for key, number in counts.items() if key in ("failed", "cancelled")}
    states = {"error": sum(outcomes.values()), **{key: number for key, number in counts.items() if key not in outcomes}}
    return {"event": "end", "run": "r", "directory": "results/r", "state": "failed", "exit_code": 1,
            "counts": {**story.COUNTS, **states}, "outcomes": outcomes}


def test_the_summary_tells_failures_of_one_kind_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", [f"sim-{n}" for n in range(61)]) as made:
        for n, name in enumerate(made.jobs):
            last = b"No module named 'torch'\n" if n < 50 else f"bad seed {n}, see 0x{n:x}\n".encode()
            made.failed(name, stderr=b"Traceback\n" + last if n < 60 else b"other\n")
    screen = Screen()
    tell(make_lines(screen), end_of(failed=61))
    assert screen.lines() == [
        "  50 jobs, sim-0, sim-1, sim-2 and 47 more: exit 3", "      No module named 'torch'",
        "      results/r/jobs/sim-0/stderr",
        "  10 jobs, sim-50, sim-51, sim-52 and 7 more: exit 3", "      bad seed 50, see 0x32",
        "      results/r/jobs/sim-50/stderr",
        "  sim-60 on b: exit 3", "      other", "      results/r/jobs/sim-60/stderr",
        "outputs: results/r/jobs/<job>/stdout and stderr", "r failed: 61 error of 61 jobs"]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50), (40, 15), (20, 6)])
def test_the_summary_fits_the_screen_and_ends_with_the_headline(
        columns: int, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = [chr(103 + n % 20) * (n + 3) for n in range(40)]
    with edit(Path("results"), "r", [f"sim-{n}" for n in range(40)]) as made:
        for name, word in zip(made.jobs, words, strict=True):
            made.failed(name, stderr=f"{word}\n".encode())
    lines = list(closing(end_of(failed=40, cancelled=0, free=3), 1.5, "r", screen=(columns, rows)))
    assert lines[-1] == "r failed: 40 error, 3 free of 43 jobs in 1.5 s"
    assert "3 jobs not over; go on with: sshjobs resume r" in lines
    shown = sum(line.startswith("  sim-") for line in lines)
    assert f"  and {40 - shown} more: sshjobs status r --all" in lines
    assert shown >= 1
    if rows > 10:
        assert sum(-(-len(line) // columns) for line in lines) < rows


def test_cancelled_jobs_are_no_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", ["a", "b"]) as made:
        made.failed("b", stderr=b"why\n")
        made.jobs["a"].state, made.jobs["a"].outcome = "error", Outcome.CANCELLED
        made.store.touch(made.jobs["a"])
    lines = list(closing(end_of(failed=1, cancelled=1), None, "r"))
    assert lines == ["  b on b: exit 3", "      why", "      results/r/jobs/b/stderr",
                     "1 job was cancelled; to run what did not succeed, too: sshjobs retry r --failed",
                     "outputs: results/r/jobs/<job>/stdout and stderr", "r failed: 2 error of 2 jobs"]


def test_json_adds_the_time_and_stays_ascii() -> None:
    screen = Screen()
    tell(JsonLines(Output(screen, pytest.fail), now=lambda: 1_700_000_000.12345), story.launch("größe\x1b\x7f\u202e"))
    assert screen.getvalue().isascii()
    assert "\x7f" not in screen.getvalue()
    assert json.loads(screen.getvalue()) == {"time": 1_700_000_000.123, "event": "launch",
                                             "job": "größe\x1b\x7f\u202e", "host": "a", "attempt": 1}


class Broken(io.StringIO):
    def __init__(self, error: OSError):
        super().__init__()
        self.error = error

    def flush(self) -> None:
        raise self.error


def test_a_stream_that_breaks_is_given_up_and_told_once() -> None:
    said: list[str] = []
    for error, expected in ((BrokenPipeError(32, "Broken pipe"), 0), (OSError(28, "No space left on device"), 1)):
        said.clear()
        output = Output(Broken(error), said.append)
        tell(Lines(output, handle=lambda paths: paths.name), story.launch("x"), story.launch("y"))
        assert len(said) == expected
        assert not output.alive
    assert said == ["nothing more is shown: No space left on device; the run goes on"]


def test_progress_counts_what_the_events_say() -> None:
    progress = Progress()
    tell(progress.take, story.run(6, ["a", "b"]), story.up("a"), story.launch("1"), story.launch("2"),
         story.launch("3"), story.change("started", "1"), story.change("unknown", "2"), story.done("1"),
         story.failed("3"), story.change("error", "4", None, outcome="cancelled", attempts=0))
    assert progress.counts == {"free": 2, "busy": 0, "done": 1, "unknown": 1, "error": 2}
    assert list(progress.live) == ["2"]
    host = progress.hosts["a"]
    assert (host.running, host.launched, host.slots, progress.hosts["b"].state) == (0, 1, 8, "connecting")
    assert [event["job"] for event in progress.failures] == ["3", "4"]
    tell(progress.take, story.change("started", "2"), story.change("retry", "2", reason="lost"), story.launch("2", "b"))
    assert progress.counts == {"free": 2, "busy": 1, "done": 1, "unknown": 0, "error": 2}
    assert (host.running, host.launched, progress.hosts["b"].launched) == (0, 0, 1)
    progress.take(story.change("started", "2", "b"))
    assert (progress.hosts["b"].running, progress.hosts["b"].launched) == (1, 0)


def test_progress_of_a_resumed_run_counts_the_adopted_jobs_once() -> None:
    progress = Progress()
    tell(progress.take, story.run(10, ["a"], busy=2, unknown=1, done=4), story.change("started", "x"),
         story.done("y"), story.change("unknown", "x"), story.launch("new"), story.done("z"), story.done("x"))
    assert progress.counts == {"free": 2, "busy": 1, "done": 7, "unknown": 0, "error": 0}


def test_progress_follows_jobs_that_are_added_and_failures_that_are_tried_again() -> None:
    progress = Progress()
    tell(progress.take, story.run(1, ["a"]), story.launch("1"), story.launch("added"), story.failed("1"),
         story.change("retry", "1"), story.done("added"), story.launch("1", "new-host", 2))
    assert progress.counts == {"free": 0, "busy": 1, "done": 1, "unknown": 0, "error": 0}


def test_progress_stays_small_however_many_jobs_fail() -> None:
    progress = Progress()
    progress.take(story.run(10_000, ["a"]))
    for n in range(10_000):
        tell(progress.take, story.launch(str(n)), story.failed(str(n)))
    assert progress.counts["error"] == 10_000
    assert (len(progress.live), len(progress.failures)) == (0, 50)


@pytest.mark.parametrize(("seconds", "text"), [
    (0.0, "0 ms"), (0.0124, "12 ms"), (0.0999, "0.1 s"), (1.24, "1.2 s"), (9.96, "10 s"), (59.4, "59 s"),
    (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min"), (90_000, "1 d 1 h"),
    (-3, "0 ms"),
])
def test_lengths_of_time_are_short(seconds: float, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (100 << 10, "100 KiB"),
                                             (1536 << 20, "1.5 GiB"), (1 << 60, "1024 PiB")])
def test_sizes_are_short(count: int, text: str) -> None:
    assert wording.size(count) == text


def test_the_last_line_is_what_was_there_to_be_read(tmp_path: Path) -> None:
    file = tmp_path / "stderr"
    assert wording.last_line(file) is None
    file.write_bytes(b"first\nlast one \n \n\n")
    assert wording.last_line(file) == "last one"
    file.write_bytes(b"x" * 10_000)
    line = wording.last_line(file)
    assert line is not None and len(line) == 200
    assert wording.told(tmp_path / "none", file)[1] == file
    paths = RunPaths(tmp_path, "r")
    assert wording.told(paths.stdout("x"), paths.stderr("x")) == (None, paths.stdout("x"))


def test_signals_have_names_where_they_have_one() -> None:
    assert wording.ending("signalled", None, 15, None) == "killed by SIGTERM"
    assert wording.ending("signalled", None, 63, "why") == "killed by signal 63: why"
