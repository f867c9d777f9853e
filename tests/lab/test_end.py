"""Nothing of a lab outlives it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Lab, wait_until
from tests.lab.process import all_pids, is_alive, read_process
from tests.lab.registry import PREFIX, registry, sweep

OWNER = "from tests.lab import Lab\nlab = Lab(2)\nlab.start()\nprint(lab.entry.tag, flush=True)\ninput()\n"


def remains(tag: str) -> list[str]:
    """Whatever still reminds of a lab: processes, interfaces, mounts, files."""
    mark = f"{registry()}/{tag}"
    found = [process for process in map(read_process, all_pids()) if process is not None]
    left = [" ".join(p.argv) for p in found if p.state not in "ZX" and any(mark in word for word in p.argv)]
    left += [name for name in os.listdir("/sys/class/net") if name == f"{PREFIX}{tag}"]
    left += [line for line in Path("/proc/mounts").read_text().splitlines() if mark in line]
    return left + [str(path) for path in registry().glob(tag)]


@pytest.fixture
def owner() -> subprocess.Popen[str]:
    """Another process with a lab of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip


def test_a_closed_lab_leaves_nothing() -> None:
    with Lab(hosts=2) as lab:
        tag, init = lab.entry.tag, lab.hosts[0].processes()[0].pid
        lab.hosts[0].cut("drop")
        lab.hosts[1].run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 &"])
        assert remains(tag)
    assert remains(tag) == []
    assert not is_alive(init)
    lab.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_owner_takes_its_lab_along(owner: subprocess.Popen[str], number: signal.Signals) -> None:
    with owner:
        assert owner.stdout is not None
        tag = owner.stdout.readline().strip()
        assert remains(tag)
        owner.send_signal(number)
    wait_until(lambda: not remains(tag), 20, lambda: f"the end of {remains(tag)}")


def test_what_is_left_of_a_dead_lab_is_swept_and_live_ones_stay(owner: subprocess.Popen[str]) -> None:
    with owner:
        assert owner.stdout is not None
        tag = owner.stdout.readline().strip()
        assert tag not in sweep()
        assert remains(tag)
        keepers = [p for p in map(read_process, all_pids()) if p and f"{registry()}/{tag}" in p.argv]
        for keeper in keepers:
            # It cannot tidy up any more, so that files are left for the sweep.
            os.kill(keeper.pid, signal.SIGKILL)
        owner.kill()
    assert (registry() / tag).exists()
    assert tag in sweep()
    wait_until(lambda: not remains(tag), 20, lambda: f"the end of {remains(tag)}")


def test_a_lab_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(os.listdir(registry()))
    monkeypatch.setattr("tests.lab.namespaces.sshd_path", lambda: "/nonexistent/sshd")
    with pytest.raises(Exception, match="/nonexistent/sshd"):
        Lab(hosts=1).start()
    assert set(os.listdir(registry())) == before
