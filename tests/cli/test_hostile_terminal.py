"""Whatever jobs, hosts and files are called and print: nothing that a terminal obeys gets out of any command of ours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sqlite3
import sys
from pathlib import Path
from random import Random

import pytest

from sshjobs.cli import main
from sshjobs.cli.app import commands
from sshjobs.errors import hidden_in
from sshjobs.model.states import Outcome
from tests.cli.runs import edit
from tests.cli.terminal import Terminal
from tests.conftest import sshjobs_argv
from tests.store.helpers import finish

COLOUR = re.compile("\x1b\\[[0-9;:]*m")
#: What the live view does to draw over what it has drawn.
OURS = re.compile("\x1b\\[\\?25[lh]|\r(?:\x1b\\[[0-9]+A)?\x1b\\[J")
#: What terminals obey, and what turns or hides text.
PARTS = ["\x1b[2J", "\x1b]0;t\x07", "\x1b]52;c;aGk=\x07", "\x1b[?1049h", "\x1bP$q\x1b\\", "\x9b31m", "\x1b[8m", "\x07", "\b", "\r", "\x1b", "\x00", "\x7f",
         "\x85", "\u2028", "\u202e", "\u2066", "\u200b", "\ufeff", "\U000e0041", "\x0e", "\x1b(0", "\x1bc", "\x1b[6n", "\x1b[5i", "name", " ", "=1+1", "é", "["]
#: What is carried out on the run; each is to end without a traceback, whatever its exit code is.
WORDS = [["status", "r", "--all"], ["status", "r", "--json"], ["logs", "r", "*"], ["logs", "--tag", "--stderr", "r", "*"], ["grep", "-E", ".", "r"], ["grep", "name", "r"],
         ["grep", "-l", "a", "r"], ["table", "r"], ["table", "r", "--format", "md"], ["table", "r", "--format", "csv"], ["table", "r", "--json"], ["ls"], ["ls", "--json"],
         ["why", "r"], ["why", "r", "--json"], ["verify", "r", "--no-hosts"], ["notices", "r"], ["plan", "jobs.yaml", "--against", "r", "--list"],
         ["wait", "r"], ["attach", "r"], ["attach", "-q", "r"], ["attach", "-v", "r"], ["attach", "--json", "r"], ["report", "r"], ["rm", "--dry-run", "r"], ["shell", "r", "zzz"], ["resume", "zzz"], ["config"], ["fetch", "r"]]


class _Screen(io.TextIOWrapper):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


def shown(*words: str) -> str:
    """Carry out a command as if on a terminal; return all that it printed."""
    buffer = io.BytesIO()
    out, err = _Screen(buffer, "utf-8", write_through=True), _Screen(buffer, "utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b""), "utf-8"))
        patch.setenv("TERM", "xterm-256color")
        main(words)
    return buffer.getvalue().decode("utf-8", "surrogateescape")


def check(text: str, *words: str) -> None:
    left = hidden_in(OURS.sub("", COLOUR.sub("", text)).replace("\n", "").replace("\t", ""))
    assert left is None, (words, left, text[max(0, left.start() - 60):left.end() + 60])
    assert "Traceback" not in text and "internal error" not in text, (words, text[-500:])


@pytest.fixture(scope="module")
def texts() -> list[str]:
    seed = int(os.environ.get("SEED", "1"))
    print("seed", seed)
    random = Random(seed)
    return ["".join(random.choice(PARTS) for _ in range(random.randrange(1, 6))) for _ in range(500)]


@pytest.fixture
def place(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str]) -> Path:
    """A run whose store and outputs somebody else has written: 500 names, reasons, results, hosts and outputs."""
    monkeypatch.chdir(tmp_path)
    names = [f"j-{number}" for number in range(500)]
    with edit(Path("results"), "r", names) as made:
        for name, text in zip(names, texts, strict=True):
            data = text.encode("utf-8", "surrogatepass")
            (made.failed if hash(name) % 2 else made.done)(name, data + b"\n" + data, data)
    with contextlib.closing(sqlite3.connect("results/r/run.db")) as store, store:
        for number, text in enumerate(texts, 1):
            if number % 3 == 0:
                taken = re.sub("[/\x00-\x1f\x7f]", "", text)[:60] + str(number)
                os.rename(f"results/r/jobs/j-{number - 1}", f"results/r/jobs/{taken}")
                store.execute("UPDATE jobs SET name = ? WHERE number = ?", (taken, number))
            store.execute("UPDATE jobs SET reason = ?, host = ? WHERE number = ?", (text, text, number))
            store.execute("UPDATE attempts SET reason = ?, host = ?, result = ? WHERE job = ?",
                          (text, text, json.dumps({"k": text, text or "x": 1}), number))
        store.execute("UPDATE hosts SET reason = ?, state = 'away', facts = ?", (texts[0], json.dumps({"cores": 1, "python": texts[1]})))
        about = json.dumps({"message": texts[2], "jobs": texts[:50]})
        recipient = json.dumps({"key": texts[3], "line": texts[4] + "x", "argv": [], "address": "", "text": texts[5]})
        store.execute("INSERT INTO notices VALUES ('a', 'done', ?, ?, 1.0, 2, NULL, ?)", (recipient, about, texts[6]))
    Path("jobs.yaml").write_text("jobs: [{name: j-1, commands: echo hello}]\n")
    return tmp_path


def test_no_command_lets_through_what_a_terminal_obeys(place: Path) -> None:
    for words in WORDS:
        check(shown(*words), *words)


class _Watched:
    """A run that a manager works on, as far as anybody can see: jobs and hosts of all spellings are under way."""

    def __init__(self, texts: list[str]):
        self.names, self._texts = [f"j-{number}" for number in range(60)], texts
        self._made = edit(Path("results"), "r", self.names, attended=True)
        for name, text in zip(self.names, texts, strict=False):
            self._made.busy(name, text.encode("utf-8", "surrogatepass"), unknown=hash(name) % 5 == 0)
        self._made.store.commit()
        with contextlib.closing(sqlite3.connect("results/r/run.db")) as store, store:
            for number, text in enumerate(texts[:len(self.names)], 1):
                store.execute("UPDATE jobs SET name = ?, host = ?, reason = ? WHERE number = ?", (f"{text}{number}", text, text, number))
                store.execute("UPDATE attempts SET host = ?, reason = ? WHERE job = ?", (text, text, number))
            store.execute("UPDATE hosts SET reason = ?, name = ? || name, state = 'closed'", (texts[0], texts[1].replace("\0", "")))

    def fail(self) -> None:
        """Let most of the jobs end."""
        for name, text in zip(self.names[:40], self._texts, strict=False):
            job = self._made.jobs[name]
            job.reason = job.attempts[-1].reason = text
            finish(self._made.store, job, Outcome.FAILED if hash(name) % 2 else Outcome.LOST)
            self._made.wrote(name, b"", f"{text}\n{text}".encode("utf-8", "surrogatepass"))
        self._made.store.commit()

    def end(self) -> None:
        self._made.store.close(1_700_000_100.0)


@pytest.mark.parametrize("words", [["attach", "-q"], ["attach", "--json"]])
def test_who_watches_a_run_in_lines_sees_nothing_that_a_terminal_obeys(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch,
                                                                       texts: list[str], words: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    run = _Watched(texts)
    steps = iter([run.fail, lambda: None, run.end])
    monkeypatch.setattr("sshjobs.cli.watching.time.sleep", lambda seconds: next(steps)())
    text = shown(*words, "r")
    check(text, *words)
    assert next(steps, None) is None, f"it was watched to its end: {text[-500:]}"


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_nor_does_who_watches_it_live(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str],
                                      size: tuple[int, int]) -> None:
    monkeypatch.chdir(tmp_path)
    run = _Watched(texts)
    with Terminal(sshjobs_argv(["attach", "r"]), tmp_path, columns=size[0], rows=size[1]) as terminal:
        terminal.read_until(lambda text: " of 60" in text)
        run.fail()
        terminal.read_until(lambda text: "40 error" in text)
        run.end()
        check(terminal.read_to_end().replace("\r\n", "\n"), "attach")


def test_words_files_and_settings_that_are_wrong_are_told_harmlessly(place: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name, _ in commands()]
    for number, text in enumerate(text for text in texts if "\x00" not in text):
        command = names[number % len(names)]
        if command.split()[0] in ("serve", "simulate", "demo", "gc", "run", "exec", "queue", "cluster", "completion", "init", "man"):
            command = "status"
        check(shown(*command.split(), f"x{text}"), command, text)
    for text in texts[:60]:
        Path("bad.yaml").write_text(f"jobs:\n- {{name: {json.dumps(text)}, commands: {json.dumps(text)}, {json.dumps(text)}: 1}}\n")
        check(shown("run", "bad.yaml", "--dry-run"), "run", text)
        Path("config.toml").write_bytes(f"x = {json.dumps(text)}\n[profiles.{json.dumps(text)}]\n{json.dumps(text)} = 1\n".encode("utf-8", "surrogatepass"))
        monkeypatch.setenv("SSHJOBS_CONFIG", str(place / "config.toml"))
        check(shown("config"), "config", text)
        check(shown("--profile", f"p{text}".replace("\x00", ""), "ls"), "profile", text)
        monkeypatch.setenv("SSHJOBS_CONFIG", os.devnull)
