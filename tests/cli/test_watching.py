"""What is told of a run that another process manages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sshjobs.cli.watching import Watcher
from sshjobs.model.host import Host
from sshjobs.store.reader import RunReader
from sshjobs.views.progress import Progress
from tests.cli.runs import edit


@pytest.mark.parametrize(("options", "slots"), [({}, {"a": 16, "b": 2}), ({"slots": 3}, {"a": 3, "b": 2})], ids=str)
def test_hosts_are_told_with_their_slots_not_their_cores(
        tmp_path: Path, options: dict[str, int], slots: dict[str, int]) -> None:
    with edit(tmp_path, "r", ["x"]) as made:
        made.store.set_options(**options)
        made.store.add_hosts([Host("b", slots=2)])
        for host in ("a", "b"):
            made.store.set_host(host, "up", facts={"cores": 16}, since=1_700_000_001.0)
        made.done("x")
    progress = Progress()
    with RunReader.open(made.paths) as reader:
        Watcher(reader, progress.take).follow()
    assert {host.name: host.slots for host in progress.hosts.values()} == slots


def test_a_host_that_does_not_answer_is_silent_to_those_who_watch_until_its_state_changes(tmp_path: Path) -> None:
    with edit(tmp_path, "r", ["x"]) as made:
        for host in ("a", "b"):
            made.store.set_host(host, "up", facts={"cores": 16}, since=1_700_000_001.0)
            made.store.set_silence(host, time.time() - 7.0)
        made.store.commit()
        made.store.set_host("b", "away", "b: the connection broke", since=1_700_000_009.0)
        made.done("x")
    progress, told = Progress(), list[dict[str, Any]]()
    with RunReader.open(made.paths) as reader:
        Watcher(reader, told.append).follow()
    for event in told:
        progress.take(event)
    assert [(event["host"], round(event["seconds"])) for event in told if event["event"] == "silent"] == [("a", 7)]
    assert progress.hosts["a"].silent_since is not None and progress.hosts["a"].state == "up"
    assert progress.hosts["b"].silent_since is None and progress.hosts["b"].state == "away"


def test_what_another_process_asks_of_the_run_is_told_to_those_who_watch(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.cli.watching.SLOW_INTERVAL", 0.0)
    told = list[tuple[str, Any]]()
    with edit(tmp_path, "r", ["x"], attended=True) as made:
        made.busy("x")

        def tell(event: dict[str, Any]) -> None:
            match event["event"]:
                case "started":
                    made.store.set_options(paused=True)
                case "pause" if event["paused"]:
                    made.store.set_options(paused=False)
                case "pause":
                    made.store.add_hosts([Host("b", drained=True)])
                case "hosts" if event["change"] == "drained":
                    made.store.add_hosts([Host("b")])
                case "hosts":
                    made.store.set_run_state("failed")
                case _:
                    return
            told.append((event.get("change", "pause"), event.get("hosts", event.get("paused"))))
            made.store.commit()

        made.store.commit()
        with RunReader.open(made.paths) as reader:
            Watcher(reader, tell).follow()
    assert told == [("pause", None), ("pause", True), ("pause", False), ("drained", ["b"]), ("undrained", ["b"])]
