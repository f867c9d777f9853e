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
    """A results directory with one run: jobs that are done, failed, running and waiting; with parameters, and with a
    result and a picture where they are done."""
    where = tmp_path / "results"
    params = {f"fit-{n}": {"lr": f"{n % 4 / 10}", "seed": str(n)} for n in range(1, 21)}
    with edit(where, "sweep-1", list(params), params=params) as run:
        for n in range(1, 11):
            run.done(f"fit-{n}", f"out {n}\n".encode(), result=f'{{"loss": {1 / n:.3f}, "best": {{"epoch": {n}}}}}')
        run.paths.files("fit-1").mkdir(parents=True)
        (run.paths.files("fit-1") / "loss.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="90" height="60"/>')
        run.failed("fit-11", b"half\n", b"no such thing\n")
        run.busy("fit-12", b"at work\n")
    return where


@pytest.fixture
def served(results: Path) -> Iterator[Served]:
    with serving(results) as server:
        yield server


# Not for longer: while there is one, an event loop runs in this thread, and tests elsewhere want to run theirs.
@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    with browser() as started:
        yield started
