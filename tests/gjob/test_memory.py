"""A job that the kernel kills for want of memory is told as that, and not as one that somebody killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gjob.client import FarHost, eventually

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMIT = 96 << 20
GREEDY = "x = bytearray(400 << 20)\nfor at in range(0, len(x), 4096): x[at] = 1\n"


def _parent() -> Path | None:
    """Where a group with a limit of its own can be made."""
    if (V1 / "memory.limit_in_bytes").exists() and os.access(V1, os.W_OK):
        return V1
    control = V2 / "cgroup.subtree_control"
    return V2 if control.exists() and "memory" in control.read_text().split() and os.access(V2, os.W_OK) else None


@pytest.fixture
def small_memory() -> Iterator[Path]:
    parent = _parent()
    assert parent is not None
    group = parent / f"sshjobs-test-{os.getpid()}"
    group.mkdir()
    (group / ("memory.limit_in_bytes" if parent == V1 else "memory.max")).write_text(str(LIMIT))
    yield group
    for pid in (group / "cgroup.procs").read_text().split():
        (parent / "cgroup.procs").write_text(pid)
    eventually(lambda: _removed(group), "the group's end")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.skipif(_parent() is None, reason="no control group with a limit of memory can be made here")
def test_a_job_that_the_kernel_kills_for_want_of_memory_is_told_as_that(far: FarHost, small_memory: Path) -> None:
    link = far.connect()
    # Before its first runner: that and its jobs are in the group of the agent.
    (small_memory / "cgroup.procs").write_text(str(far.agent))
    end = link.run("1.1", sys.executable, "-c", GREEDY)
    assert (end["why"], end["signal"]) == ("oom", 9)
    end = link.run("2.1", script="kill -9 $$\n")
    assert (end["why"], end["signal"]) == ("signalled", 9)
    assert link.run("3.1", "true")["status"] == 0
