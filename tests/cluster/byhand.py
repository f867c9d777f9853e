"""Brokers and workers started by hand, as users do in terminals, and what they answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import cli_environment, sshjobs_argv
from tests.lab import wait_until


class Terminal:
    """One command in the foreground of a terminal of its own; what it says lands in a file."""

    def __init__(self, where: Path, *words: str | Path):
        self.words = words
        where.mkdir(parents=True, exist_ok=True)
        self.log = where / f"{len(list(where.iterdir()))}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                sshjobs_argv(["cluster", *words]), env={**os.environ, **cli_environment()}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=where, start_new_session=True)

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, words: str, seconds: float = 30) -> None:
        """Wait until it has said something."""
        wait_until(lambda: words in self.said or self.process.poll() is not None, seconds, f"{self.words}: {words}\n{self.said}")
        assert words in self.said, self.said

    def ends(self, seconds: float = 30) -> int:
        """Wait for its end and return its exit status."""
        return self.process.wait(seconds)

    def interrupt(self) -> int:
        """Type Ctrl-C, and return the exit status."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGINT)
        return self.ends()


@contextmanager
def terminals(where: Path) -> Iterator[Any]:
    """Open terminals: the value is called with the words after ``sshjobs cluster``. All are closed at the end."""
    opened: list[Terminal] = []

    def open_one(*words: str | Path) -> Terminal:
        opened.append(Terminal(where / "terminals", *words))
        return opened[-1]

    try:
        yield open_one
    finally:
        for one in reversed(opened):
            if one.process.poll() is None:
                one.process.terminate()
        for one in reversed(opened):
            try:
                one.process.wait(20)
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()
                raise


def pinged(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What a ``PingWorkers --json`` has found."""
    return list(json.loads(result.stdout))
