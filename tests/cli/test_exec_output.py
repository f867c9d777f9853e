"""Outputs are printed byte for byte, whole or by lines, and slow readers hold up nobody but themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sshjobs.cli.printing import OUTPUTS
from sshjobs.store.rundir import RunPaths
from sshjobs.views.base import Event, View
from sshjobs.views.output import WAYS, OutputsView
from tests.cli.runs import edit
from tests.lab.waiting import wait_until

NAMES = ("one", "two", "three")


class Bytes:
    """A sink that keeps what it is given."""

    terminal = False

    def __init__(self) -> None:
        self.data = b""
        self.gate = threading.Event()
        self.gate.set()
        self.gone = False

    def write(self, data: bytes, *, final: bool = False) -> None:
        self.gate.wait(30)
        if self.gone:
            raise BrokenPipeError
        self.data += data


class Messages(View):
    """Keeps the events that it is given."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.closed = 0

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed += 1


class Stage:
    """A view of a run whose jobs write and end as the test says."""

    def __init__(self, results: Path, way: str, tag: Callable[[str], str] | None):
        with edit(results, "r", NAMES) as made:
            self.paths: RunPaths = made.paths
        self.out, self.err, self.messages, self.complaints = Bytes(), Bytes(), Messages(), list[str]()
        self.view = OutputsView((self.out, self.err), self.messages, self.complaints.append, way=way, tag=tag)
        self.tell("run", run="r", directory=str(self.paths.root), jobs=3, hosts=["a"])

    def tell(self, event: str, **more: object) -> None:
        self.view({"event": event, **more})

    def write(self, name: str, out: bytes = b"", err: bytes = b"") -> None:
        directory = self.paths.job(name)
        directory.mkdir(exist_ok=True)
        for stream, data in (("stdout", out), ("stderr", err)):
            with open(directory / stream, "ab") as file:
                file.write(data)

    def launch(self, name: str, attempt: int = 1) -> None:
        if attempt > 1:
            aside = self.paths.attempt(name, attempt - 1)
            aside.mkdir()
            for stream in ("stdout", "stderr"):
                (self.paths.job(name) / stream).rename(aside / stream)
        self.write(name)
        self.tell("launch", job=name, host="a", attempt=attempt)

    def end(self, name: str, out: bytes = b"", err: bytes = b"") -> None:
        self.write(name, out, err)
        self.tell("done", job=name)

    def close(self) -> None:
        self.tell("end", exit_code=0)
        self.view.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Make a stage: ``stage("line", tag=None)``."""
    made: list[Stage] = []

    def make(way: str, tag: Callable[[str], str] | None = None) -> Stage:
        made.append(Stage(tmp_path / str(len(made)), way, tag))
        return made[-1]

    yield make
    for one in made:
        one.out.gate.set()
        one.view.close()


def test_the_ways_of_the_option_are_those_of_the_view() -> None:
    assert OUTPUTS == ("none", *WAYS)


def test_grouped_outputs_come_whole_in_the_order_of_the_ends(stage: Callable[..., Stage]) -> None:
    on = stage("grouped")
    binary = bytes(range(256)) * 1000
    on.end("two", binary, b"warning")
    on.end("one", b"no newline")
    on.end("three")
    on.close()
    assert (on.out.data, on.err.data) == (binary + b"no newline", b"warning")


def test_ordered_outputs_wait_for_those_before_them(stage: Callable[..., Stage]) -> None:
    on = stage("ordered")
    on.end("three", b"3")
    on.end("two", b"2")
    wait_until(lambda: len(on.messages.events) == 3, 10, "the events to be taken")
    assert on.out.data == b""
    on.tell("error", job="one", reason="never launched")
    on.close()
    assert on.out.data == b"23"


def test_what_was_held_back_comes_at_the_end_of_a_run_that_was_cut_short(stage: Callable[..., Stage]) -> None:
    on = stage("ordered")
    on.end("three", b"3")
    on.end("two", b"2")
    on.close()
    assert on.out.data == b"23"


def test_lines_come_while_jobs_run_and_only_whole_ones(stage: Callable[..., Stage]) -> None:
    on = stage("line", tag=lambda name: f"<{name}>")
    on.launch("one")
    on.launch("two")
    on.write("one", b"first\nsec")
    wait_until(lambda: on.out.data == b"<one>\tfirst\n", 10, "the first line")
    on.write("two", b"other\n", b"error\n")
    wait_until(lambda: on.out.data.endswith(b"other\n") and on.err.data, 10, "the other job's lines")
    on.end("one", b"ond\nlast")
    on.end("two")
    on.close()
    assert on.out.data == b"<one>\tfirst\n<two>\tother\n<one>\tsecond\n<one>\tlast"
    assert on.err.data == b"<two>\terror\n"


def test_lines_of_every_attempt_come_once(stage: Callable[..., Stage]) -> None:
    on = stage("line")
    on.launch("one")
    on.write("one", b"seen\n")
    wait_until(lambda: on.out.data == b"seen\n", 10, "the first line")
    on.write("one", b"rest of 1\n")
    # The file is moved before the event is taken, after it, or in between.
    on.out.gate.clear()
    on.tell("retry", job="one", attempts=1)
    on.launch("one", 2)
    on.write("one", b"all of 2\n")
    on.out.gate.set()
    on.tell("retry", job="one", attempts=2)
    on.launch("one", 3)
    on.end("one", b"3")
    on.close()
    assert on.out.data == b"seen\nrest of 1\nall of 2\n3"


def test_the_next_attempt_is_told_of_before_the_output_of_the_last_is_aside(stage: Callable[..., Stage]) -> None:
    on = stage("line")
    on.launch("one")
    on.write("one", b"of 1\n")
    on.tell("retry", job="one", attempts=1)
    on.tell("launch", job="one", host="a", attempt=2)
    # Lines of another job show that a look was taken meanwhile.
    on.launch("two")
    on.write("two", b"look\n")
    wait_until(lambda: on.out.data == b"of 1\nlook\n", 10, "a look")
    aside = on.paths.attempt("one", 1)
    aside.mkdir()
    for stream in ("stdout", "stderr"):
        (on.paths.job("one") / stream).rename(aside / stream)
    on.end("one", b"of 2\n")
    on.close()
    assert on.out.data == b"of 1\nlook\nof 2\n"


def test_a_line_without_end_is_printed_in_pieces(stage: Callable[..., Stage]) -> None:
    on = stage("line", tag=lambda name: "x")
    on.launch("one")
    on.write("one", b"a" * 100_000)
    wait_until(lambda: len(on.out.data) > 60_000, 10, "its beginning")
    on.end("one", b"\n\nb\n")
    on.close()
    assert on.out.data == b"x\t" + b"a" * 100_000 + b"\nx\t\nx\tb\n"


def test_grouped_outputs_are_of_the_last_attempt_only(stage: Callable[..., Stage]) -> None:
    on = stage("grouped")
    on.launch("one")
    on.write("one", b"first try\n")
    on.tell("retry", job="one", attempts=1)
    on.launch("one", 2)
    on.end("one", b"second try\n")
    on.close()
    assert on.out.data == b"second try\n"


def test_tags_are_one_harmless_line(stage: Callable[..., Stage]) -> None:
    on = stage("grouped", tag=lambda name: "new\nline \x1b \udcff Grüße")
    on.end("one", b"a\n")
    on.close()
    assert on.out.data == "new\\nline \\x1b \\udcff Grüße\ta\n".encode()


def test_a_slow_reader_does_not_hold_up_events(stage: Callable[..., Stage]) -> None:
    on = stage("grouped")
    on.out.gate.clear()
    on.end("one", b"1")
    for _ in range(1000):
        on.tell("wait")
    on.end("two", b"2")
    assert on.out.data == b""
    on.out.gate.set()
    on.close()
    assert on.out.data == b"12"


def test_a_reader_that_has_gone_is_given_no_more_and_the_other_stream_goes_on(stage: Callable[..., Stage]) -> None:
    on = stage("grouped")
    on.out.gone = True
    on.end("one", b"1", b"e1")
    wait_until(lambda: on.err.data == b"e1", 10, "the first output")
    on.out.gone = False
    on.end("two", b"2", b"e2")
    on.close()
    assert (on.out.data, on.err.data, on.complaints) == (b"", b"e1e2", [])


def test_an_output_that_cannot_be_read_is_told_and_the_others_come(stage: Callable[..., Stage]) -> None:
    on = stage("grouped")
    on.paths.job("one").mkdir()
    on.paths.stdout("one").mkdir()
    on.tell("done", job="one")
    on.end("two", b"2")
    on.close()
    assert on.out.data == b"2"
    where = on.paths.stdout("one")
    assert on.complaints == [f"{where}: an output cannot be printed: Is a directory; see: sshjobs logs {on.paths.root} JOB"]


def test_a_run_that_went_well_ends_without_a_word(stage: Callable[..., Stage]) -> None:
    on = stage("grouped")
    on.tell("end", exit_code=0)
    on.view.close()
    on.view.close()
    assert [event["event"] for event in on.messages.events] == ["run"]
    bad = stage("grouped")
    bad.tell("end", exit_code=1)
    bad.view.close()
    assert [event["event"] for event in bad.messages.events] == ["run", "end"]
