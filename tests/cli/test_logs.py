"""``sshjobs logs``: every byte as it was written, and no terminal taken over."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from sshjobs.cli.follow import tail_start
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.store import ManagerIdentity, RunStore
from tests.cli.here import call_here
from tests.cli.runs import edit, make_run
from tests.cli.terminal import Terminal
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.store.helpers import finish, launch

BYTES = bytes(range(256)) * 300 + b"\xff no newline at the end"


def logs(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run ``sshjobs logs`` and keep its output as bytes."""
    return subprocess.run([sys.executable, "-m", "sshjobs", "logs", *arguments], cwd=cwd, capture_output=True,
                          env={**os.environ, **cli_environment()}, timeout=60, check=False)


def test_every_byte_comes_out_as_it_went_in(tmp_path: Path) -> None:
    with edit(tmp_path / "results", "r", ["x"]) as run:
        run.failed("x", stdout=BYTES, stderr=b"\0\x1b[31m")
    assert logs("x", cwd=tmp_path).stdout == BYTES
    assert logs("r", "x", "-f", cwd=tmp_path).stdout == BYTES
    told = logs("r", "x", "--stderr", cwd=tmp_path)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"\0\x1b[31m", b"")


def test_a_terminal_is_not_taken_over(tmp_path: Path, clean_home: Path) -> None:
    with edit(tmp_path / "results", "r", ["x"]) as run:
        run.done("x", stdout="a\tb \x1b]0;gotcha\x07 größe \x9b31m\n".encode() + b"\xff\x1b\n")
    with Terminal(sshjobs_argv(["logs", "x"]), tmp_path) as terminal:
        assert terminal.read_to_end() == "a\tb  größe \\x9b31m\r\n\\xff\\x1b\r\n"
    with Terminal(sshjobs_argv(["logs", "x", "--raw"]), tmp_path) as terminal:
        assert "\x1b]0;gotcha\x07" in terminal.read_to_end()


def test_a_terminal_shows_the_last_state_of_progress_and_colours(tmp_path: Path, clean_home: Path) -> None:
    with edit(tmp_path / "results", "r", ["x"]) as run:
        run.done("x", stdout=b"\r 10%\r 99%\r\x1b[Kready\n\x1b[31mred\nstill\x1b[0m plain\n")
    with Terminal(sshjobs_argv(["logs", "x"]), tmp_path) as terminal:
        assert terminal.read_to_end() == (
            "ready\r\n\x1b[31mred\x1b[0m\r\n\x1b[31mstill\x1b[0m plain\r\n")
    with Terminal(sshjobs_argv(["logs", "x"]), tmp_path, env={**os.environ, "NO_COLOR": "1"}) as terminal:
        assert terminal.read_to_end() == "ready\r\nred\r\nstill plain\r\n"
    assert logs("x", cwd=tmp_path).stdout.startswith(b"\r 10%\r 99%"), "into a pipe: its bytes"


def test_the_last_lines_of_each_with_names_before_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with edit(Path("results"), "r", ["fit-1", "fit-10", "other"]) as run:
        run.done("fit-1", stdout=b"one\ntwo\nthree\n")
        run.done("fit-10", stdout=b"a\nb")
    assert call_here("logs", "fit-1", "--tail", "2").stdout == "two\nthree\n"
    assert call_here("logs", "fit-1", "-n", "0").stdout == ""
    assert call_here("logs", "fit-10", "-n", "1").stdout == "b"
    assert call_here("logs", "fit-1", "--tail", "9").stdout == "one\ntwo\nthree\n"
    told = call_here("logs", "--tag", "--tail", "2", "r", "fit-*")
    assert told.stdout == "fit-1  | two\nfit-1  | three\nfit-10 | a\nfit-10 | b\n"
    assert call_here("logs", "--tag", "-f", "fit-*").stdout == (
        "fit-1  | one\nfit-1  | two\nfit-1  | three\nfit-10 | a\nfit-10 | b\n")


@pytest.mark.parametrize("lines", [1, 3, 100])
def test_the_last_lines_are_found_wherever_they_begin(lines: int, tmp_path: Path) -> None:
    random = Random(lines)
    for data in (b"", b"\n", b"x", b"x\n", b"\n\n\n\n", b"a" * 300_000 + b"\nb\n" + b"c" * 70_000,
                 b"".join(b"z" * random.randrange(3000) + b"\n" for _ in range(120))):
        path = tmp_path / "file"
        path.write_bytes(data)
        with open(path, "rb") as file:
            assert data[tail_start(file, lines):] == b"".join(data.splitlines(keepends=True)[-lines:])


def test_a_line_that_grows_is_drawn_over_itself_while_a_terminal_follows(tmp_path: Path, clean_home: Path) -> None:
    with edit(tmp_path / "results", "r", ["x"], attended=True) as run:
        run.busy("x", stdout=b"begun\n\r 10%")
    with Terminal(sshjobs_argv(["logs", "-f", "x"]), tmp_path) as terminal:
        terminal.read_until(lambda text: "10%" in text)
        _append(run.paths.job("x") / "stdout", b"\r 20%" + b"-" * 200)
        terminal.read_until(lambda text: "20%-" in text)
        assert terminal.text.endswith("\r\x1b[K 20%" + "-" * 75), "no wider than the terminal"
        _append(run.paths.job("x") / "stdout", b"\r\x1b[K 30%\nnext\n")
        terminal.read_until(lambda text: "next" in text)
        assert terminal.text.endswith("\r\x1b[K 30%\r\nnext\r\n")


def test_a_job_that_was_not_launched_has_nothing_to_show(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    make_run(tmp_path / "results", "r", ["x"])
    told = sshjobs_cli("logs", "x")
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "sshjobs: x was not launched yet\n")


def test_a_wrong_job_is_bad_usage(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    make_run(tmp_path / "results", "r", ["sim-1"])
    told = sshjobs_cli("logs", "sim-l")
    assert told.returncode == 2
    assert told.stderr == "sshjobs: r: no job is called 'sim-l'; did you mean sim-1?\n"


def test_following_goes_on_until_the_job_is_over_across_attempts(tmp_path: Path, clean_home: Path) -> None:
    made = edit(tmp_path / "results", "r", ["x"], attended=True)
    job, store = made.jobs["x"], made.store
    directory = made.paths.job("x")
    with made:
        made.busy("x", stdout=b"one\n")
    with _Follower(tmp_path) as follower:
        follower.expect(b"one\n")
        _append(directory / "stdout", b"two\n")
        follower.expect(b"one\ntwo\n")
        _append(directory / "stdout", b"last of the first")
        # Two attempts at once, as quick failures make them: none of their output may be missed.
        _put_aside(directory, 1)
        (directory / "stdout").write_bytes(b"|second|")
        _put_aside(directory, 2)
        (directory / "stdout").write_bytes(b"third\n")
        follower.expect(b"one\ntwo\nlast of the first|second|third\n")
        _append(directory / "stdout", b"end")
        store = RunStore.open(made.paths)
        store.take_over(ManagerIdentity.this_process(), force=True)
        _over(store, job)
        assert follower.end() == (0, b"one\ntwo\nlast of the first|second|third\nend", b"")


def test_following_says_when_nobody_attends_the_run(tmp_path: Path, clean_home: Path) -> None:
    with edit(tmp_path / "results", "r", ["x"]) as run:
        run.busy("x", stdout=b"one\n")
    with _Follower(tmp_path) as follower:
        follower.expect_error(b"sshjobs: nobody attends the run; to go on: sshjobs resume r\n")
        store = RunStore.open(run.paths)
        store.take_over(ManagerIdentity.this_process())
        _over(store, run.jobs["x"])
        assert follower.end()[:2] == (0, b"one\n")


def _append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def _put_aside(directory: Path, n: int) -> None:
    (directory / f"attempt-{n}").mkdir()
    os.rename(directory / "stdout", directory / f"attempt-{n}" / "stdout")


def _over(store: RunStore, job: Job) -> None:
    launch(store, job)
    finish(store, job, Outcome.SUCCEEDED)
    store.commit()
    store.close(None)


class _Follower:
    """``sshjobs logs -f x`` in a process of its own."""

    def __init__(self, cwd: Path):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sshjobs", "logs", "-f", "x"], cwd=cwd, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, **cli_environment()})
        self.out, self.err = b"", b""
        self._news = threading.Condition()
        self._threads = [threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> _Follower:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def expect(self, output: bytes) -> None:
        """Wait until exactly that was printed."""
        self._until(lambda: self.out == output)

    def expect_error(self, output: bytes) -> None:
        """Wait until exactly that was said on standard error."""
        self._until(lambda: self.err == output)

    def end(self) -> tuple[int, bytes, bytes]:
        """Wait for the end; return exit code and outputs."""
        code = self._process.wait(30)
        for thread in self._threads:
            thread.join(30)
        return code, self.out, self.err

    def _until(self, condition: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(condition, 30), (self.out, self.err)

    def _read(self, name: str) -> None:
        stream = self._process.stdout if name == "out" else self._process.stderr
        assert stream is not None
        while data := os.read(stream.fileno(), 65536):
            with self._news:
                setattr(self, name, getattr(self, name) + data)
                self._news.notify_all()
