"""Engine clusters on this machine: ports that are taken meanwhile, and a program that is killed while they come up."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs import EngineCluster
from sshjobs.cluster.fleet import Fleet
from sshjobs.cluster.probe import Probed
from sshjobs.cluster.record import Record
from sshjobs.errors import EXIT_INTERRUPTED, SshjobsError, UsageError
from sshjobs.model.states import FINAL_STATES
from sshjobs.pools.config import records_directory
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.conftest import REPOSITORY, sshjobs_argv
from tests.hints import tries
from tests.lab import wait_until


@pytest.fixture
def here(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a test; no engine cluster is known."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Have the first host that is asked name ports which somebody takes just then."""
    read = Probed.read
    taken: list[int] = []
    holder = socket.create_server(("127.0.0.1", 0))

    def read_once(text: str) -> Probed | None:
        told = read(text)
        if told is None or taken:
            return told
        taken.append(holder.getsockname()[1])
        return dataclasses.replace(told, ports=(taken[0], *told.ports[1:]))

    monkeypatch.setattr(Probed, "read", read_once)
    yield taken
    holder.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gearman", "zmq", "dask", "ipython"])
def test_a_port_that_somebody_has_taken_meanwhile_is_replaced(kind: str, here: Path, taken: list[int]) -> None:
    said: list[str] = []
    with EngineCluster(kind, ["localhost"], nthreads=1, say=said.append) as made:
        assert len(said) == 2 and f":{taken[0]}" in said[0] and f":{taken[0]}" not in made.address
        assert [facts.name for facts in made.workers(20)] == ["worker-1@localhost"]
        assert sorted(path.name.partition("@")[0] for path in made.logs.iterdir()) == ["broker", "broker-2", "probe", "probe-2", "worker-1"]


def test_a_broker_that_ends_twice_is_told_with_its_reason(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fleet, "why", lambda fleet, row: "because of this")
    monkeypatch.setattr("sshjobs.cluster.zmq.Zmq.broker_command", "KillWorkers")
    with pytest.raises(SshjobsError, match="localhost: the broker has ended: because of this"):
        EngineCluster("zmq", ["localhost"], nthreads=1).up()
    assert not list(records_directory().iterdir())


PROGRAM = """
from sshjobs import EngineCluster
EngineCluster("zmq", ["localhost"], nthreads=1, name="mine", say=print).up()
"""


@tries("'{}' has not come up yet, or never will; to end it: sshjobs cluster down --name {}")
@pytest.mark.parametrize("until", ["mine/record.json", "mine/cluster.ini"])
def test_what_a_killed_program_was_bringing_up_is_taken_down_by_name(here: Path, until: str) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.DEVNULL)
    try:
        wait_until((records_directory() / until).exists, 60, until)
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
    with pytest.raises(UsageError, match="no engine cluster is up; 'mine' has not come up yet, or never will; to end it: sshjobs cluster down --name mine$"):
        EngineCluster.attach()
    receipt = EngineCluster.attach(name="mine").down()
    assert (receipt.processes, receipt.files, receipt.unasked) == (0, 0, [])
    assert Record.create("zmq", "mine").name == "mine"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_up_that_is_told_to_end_leaves_nothing_running(here: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    up = subprocess.Popen(sshjobs_argv(["cluster", "up", "-t", "zmq", "localhost", "--nthreads", "1"]), stderr=subprocess.PIPE, text=True)
    wait_until((records_directory() / "zmq" / "cluster.ini").exists, 60, "it to be on its way")
    up.send_signal(number)
    try:
        _, told = up.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        # It says where it stands, and what it has brought up is ended.
        up.send_signal(signal.SIGABRT)
        _, told = up.communicate()
        EngineCluster.attach(name="zmq").down()
    assert up.returncode == EXIT_INTERRUPTED and told.endswith("sshjobs: interrupted\n"), told
    assert not list(records_directory().iterdir())
    (root,) = (here / "results").iterdir()
    with RunReader.open(RunPaths(root.parent, root.name)) as reader:
        assert {job.state for job in reader.jobs()} <= set(FINAL_STATES)
        assert reader.summary().until is not None


def test_a_record_is_whole_from_the_first_moment_on(here: Path) -> None:
    made = [Record.create("zmq", None) for _ in range(3)]
    assert [Record.load(one.directory) for one in made] == made
    assert [one.name for one in made] == ["zmq", "zmq-2", "zmq-3"]
    assert {path.stat().st_mode & 0o777 for path in records_directory().iterdir()} == {0o700}

