"""What is told of a run that another process manages."""

from __future__ import annotations

from pathlib import Path

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
