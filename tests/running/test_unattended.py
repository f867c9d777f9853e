"""Requests to a run that nobody manages: whole or not at all, whenever whoever carries them out dies."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.running.unattended import change
from sshjobs.store import RunReader, RunStore
from sshjobs.store.identity import ManagerIdentity
from tests.cli.runs import edit


class Died(BaseException):
    """The process is gone."""


SPEC = JobSpec(["true"], name="more").as_dict()
HOST: dict[str, Any] = {"name": "c", "user": None, "port": None, "slots": None, "python": None, "tags": [], "local": False,
                        "via": None, "drained": False, "removed": False}
REQUESTS: dict[str, dict[str, Any]] = {
    "add": {"do": "add", "specs": [SPEC, SPEC]},
    "retry": {"do": "retry", "jobs": None},
    "pause": {"do": "pause", "jobs": None},
    "pause of jobs": {"do": "pause", "jobs": ["waits", "waits-too"]},
    "unpause": {"do": "unpause", "jobs": ["paused"]},
    "cancel": {"do": "cancel", "jobs": None},
    "cancel of jobs": {"do": "cancel", "jobs": ["waits", "paused"]},
    "withdraw": {"do": "withdraw", "jobs": ["waits", "waits-too", "paused"]},
    "finish": {"do": "finish"},
    "hosts-add": {"do": "hosts-add", "hosts": [HOST]},
    "hosts-drain": {"do": "hosts-drain", "hosts": ["a", "b"]},
    "hosts-undrain": {"do": "hosts-undrain", "hosts": ["gone", "b"]},
    "hosts-remove": {"do": "hosts-remove", "hosts": ["a"]},
    "hosts-slots": {"do": "hosts-slots", "hosts": ["a", "b"], "slots": 3},
}
#: Requests for a run that is over, and what of it they leave.
OVER = ("add", "retry", "pause", "finish", "hosts-add", "hosts-drain", "hosts-remove", "hosts-slots")


def state_of(results: Path) -> tuple[Any, ...]:
    """Return all that a request may change."""
    paths = edit_paths(results)
    with RunReader.open(paths) as reader:
        summary = reader.summary()
        jobs = [(job.name, job.state, job.paused) for job in reader.jobs()]
        hosts = [(row.host.name, row.host.slots, row.host.drained, row.host.removed) for row in reader.hosts()]
        assert list(reader.contradictions()) == []
        return summary.state, summary.options, jobs, hosts


def edit_paths(results: Path) -> Any:
    from sshjobs.store.rundir import RunPaths
    return RunPaths(results, "r")


def finished_run(results: Path) -> None:
    """A run that is over: one job is done and one failed."""
    with edit(results, "r", ["good", "bad"]) as run:
        run.done("good")
        run.failed("bad")
        run.store.set_run_state("failed")


def waiting_run(results: Path) -> None:
    """A run whose manager left: one job is done, three wait, one of them paused; a host has left."""
    with edit(results, "r", ["good", "waits", "waits-too", "paused"]) as run:
        run.done("good")
        run.jobs["paused"].paused = True
        run.store.touch(run.jobs["paused"])
        run.store.add_hosts([Host("gone", drained=True, removed=True)])
        run.store.set_run_state("interrupted")


@pytest.mark.parametrize(("make", "what"), [*((finished_run, what) for what in OVER),
                                            *((waiting_run, what) for what in REQUESTS if what != "retry")],
                         ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_a_request_is_carried_out_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      make: Callable[[Path], None], what: str) -> None:
    request = REQUESTS[what]
    make(tmp_path / "whole")
    before = state_of(tmp_path / "whole")
    change(edit_paths(tmp_path / "whole"), request)
    after = state_of(tmp_path / "whole")
    assert after != before
    seen = []
    for number in range(1, 9):
        make(tmp_path / str(number))
        with monkeypatch.context() as patch:
            died = die_at_commit(patch, number)
            try:
                change(edit_paths(tmp_path / str(number)), request)
            except Died:
                pass
        seen.append(state_of(tmp_path / str(number)))
        assert seen[-1] in (before, after), f"half of it was done when it died at commit {number}"
        if not died():
            break
    assert before in seen and seen[-1] == after


def die_at_commit(patch: pytest.MonkeyPatch, number: int) -> Callable[[], bool]:
    """Have this process die at its n-th commit to a store; return what tells whether it did."""
    real, left = RunStore._execute, number

    def execute(store: RunStore, name: str, parameters: Any = None) -> sqlite3.Cursor:
        nonlocal left
        if name == "commit":
            left -= 1
        if left <= 0:
            raise Died
        return real(store, name, parameters)

    # Its successor finds it gone.
    patch.setattr(RunStore, "_execute", execute)
    patch.setattr(ManagerIdentity, "is_alive", lambda self: False)
    return lambda: left <= 0
