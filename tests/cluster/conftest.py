"""Engine clusters over ssh, and what takes down those that a test has left up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.cluster.hostpython import host_python
from tests.conftest import SshjobsCli


@pytest.fixture(scope="session")
def python() -> Iterator[str]:
    """The interpreter with the engines, as hosts of the lab find it."""
    with host_python() as path:
        yield path


@pytest.fixture
def cluster(sshjobs_cli: SshjobsCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., CompletedProcess[str]]]:
    """Run ``sshjobs cluster`` with a state of its own; what is still up at the end is taken down."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def call(*words: Any) -> CompletedProcess[str]:
        return sshjobs_cli("cluster", *map(str, words), timeout=100)

    yield call
    for left in (tmp_path / "state" / "sshjobs" / "clusters").glob("*/record.json"):
        call("down", "--name", left.parent.name)
