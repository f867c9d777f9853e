"""The supervisor of a worker: 0 stays away, everything else comes again, with growing pauses and not for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sshjobs.cluster import supervisor
from sshjobs.cluster.supervisor import RESTART_STATUS, Supervisor
from tests.conftest import REPOSITORY
from tests.lab import wait_until


class Ledger:
    """A worker that writes down each of its lives, and ends with the statuses it is given, one after the other."""

    def __init__(self, where: Path, statuses: Sequence[int]):
        self.file = where / "lives"
        code = ("import os,sys\n"
                f"open({str(self.file)!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
                f"n = len(open({str(self.file)!r}).readlines())\n"
                f"statuses = {list(statuses)!r}\n"
                "status = statuses[min(n, len(statuses)) - 1]\n"
                "os.kill(os.getpid(), -status) if status < 0 else sys.exit(status)\n")
        self.argv = [sys.executable, "-c", code]
        self.said: list[str] = []

    def run(self) -> int:
        return Supervisor(self.argv, say=self.said.append).run()

    @property
    def lives(self) -> list[int]:
        return [int(line) for line in self.file.read_text().split()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_PAUSE_S", 0.04)


def test_a_worker_that_quits_stays_away(tmp_path: Path) -> None:
    worker = Ledger(tmp_path, [0])
    assert worker.run() == 0
    assert len(worker.lives) == 1 and worker.said == []


def test_a_worker_that_restarts_comes_again_with_another_pid(tmp_path: Path) -> None:
    worker = Ledger(tmp_path, [RESTART_STATUS, RESTART_STATUS, 0])
    assert worker.run() == 0
    assert len(set(worker.lives)) == 3
    assert worker.said == ["the worker restarts"] * 2


def test_a_worker_that_fails_comes_again_after_growing_pauses(tmp_path: Path) -> None:
    worker = Ledger(tmp_path, [3, -9, 1, 1, 0])
    assert worker.run() == 0
    assert worker.said == [
        "the worker has failed, exit status 3; it starts again in 0.01 s",
        "the worker has failed, signal 9; it starts again in 0.02 s",
        "the worker has failed, exit status 1; it starts again in 0.04 s",
        "the worker has failed, exit status 1; it starts again in 0.04 s",
    ]


def test_a_worker_that_only_fails_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_FAILURES", 3)
    worker = Ledger(tmp_path, [7])
    assert worker.run() == 7
    assert len(worker.lives) == 4
    assert worker.said[-1] == "the worker has failed 4 times in a row and is given up; exit status 7"


def test_a_worker_that_cannot_be_is_not_tried_again(tmp_path: Path) -> None:
    worker = Ledger(tmp_path, [2])
    assert (worker.run(), len(worker.lives), worker.said) == (2, 1, [])


def test_one_that_has_failed_in_another_way_before_is(tmp_path: Path) -> None:
    worker = Ledger(tmp_path, [1, 2, 0])
    assert (worker.run(), len(worker.lives)) == (0, 3)


def test_a_restart_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "MAX_FAILURES", 1)
    worker = Ledger(tmp_path, [RESTART_STATUS] * 6 + [0])
    assert worker.run() == 0


_LONG = "import os,sys,time; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); time.sleep(600)"


def started(tmp_path: Path) -> tuple[subprocess.Popen[bytes], int]:
    """A supervisor as a process of its own, and the pid of its worker."""
    file = tmp_path / "pid"
    code = f"from sshjobs.cluster.supervisor import Supervisor; import sys; sys.exit(Supervisor([sys.executable, '-c', {_LONG!r}, {str(file)!r}]).run())"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(REPOSITORY)})
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"), 30)
    return process, int(file.read_text())


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_worker_too(tmp_path: Path, number: signal.Signals) -> None:
    process, worker = started(tmp_path)
    process.send_signal(number)
    assert process.wait(30) == 0
    assert gone(worker)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does it")
def test_no_worker_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    process, worker = started(tmp_path)
    process.kill()
    process.wait(30)
    wait_until(lambda: gone(worker), 30)
