"""Hosts that are nodes of an allocation: what its end means for their jobs, and that its beginning is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.errors import HostError
from sshjobs.network.contract import HostDown, News
from tests.running.test_runhosts import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.up("a")
    yield made
    made.store.close()


def test_the_end_of_an_allocation_proves_its_jobs_over_once(scene: Scene) -> None:
    job = scene.launch("job", "a")
    broken = HostError("link-lost", "a", "the connection broke")
    scene.hosts.take(News(hosts=[HostDown("a", broken)]))
    assert scene.hosts.proved_over() == []
    over = HostError("slurm-over", "a", "its allocation is over", why="Slurm says TIMEOUT", lasting=True)
    over.ends_jobs = True
    scene.hosts.take(News(hosts=[HostDown("a", over)]))
    assert scene.hosts.proved_over() == [(job, "its allocation is over: Slurm says TIMEOUT")]
    assert scene.hosts.proved_over() == []


def test_a_host_that_waits_for_its_allocation_is_waited_for(scene: Scene) -> None:
    waits = HostError("slurm-waits", "a", "its allocation cannot be used yet")
    waits.waits = True
    scene.hosts.watch.add("new")
    assert not any(scene.hosts.watch.down("new", waits, 0.0) for _ in range(10))
