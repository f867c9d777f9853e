"""Runs to look at in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.runs import edit
from tests.web.serving import Served, browser, serving


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the token of servers out of the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results directory with one run: jobs that are done, failed, running and waiting."""
    where = tmp_path / "results"
    with edit(where, "sweep-1", [f"fit-{n}" for n in range(1, 21)]) as run:
        for n in range(1, 11):
            run.done(f"fit-{n}", f"out {n}\n".encode())
        run.failed("fit-11", b"half\n", b"no such thing\n")
        run.busy("fit-12", b"at work\n")
    return where


@pytest.fixture
def served(results: Path) -> Iterator[Served]:
    with serving(results) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    with browser() as started:
        yield started
