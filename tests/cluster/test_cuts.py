"""Engine clusters whose hosts are cut off, restart, or lose their manager: what comes back, and what is said meanwhile."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cloudpickle import register_pickle_by_value

from sshjobs import EngineCluster
from sshjobs.cluster import fleet
from sshjobs.cluster.plugins import plugin_of
from sshjobs.errors import SshjobsError
from sshjobs.store import RunReader
from tests.cluster.seen import Cluster, await_nothing_left, left_on, pids, workers
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab import BaseLab, Lab, wait_until

register_pickle_by_value(sys.modules[__name__])

Labs = Callable[..., Lab]
#: How long what was lost may take to be found out and to come back, in seconds.
PATIENCE = 120
FIRST, SECOND = "worker-1@node01", "worker-1@node02"
WELL = {FIRST: ("busy", True), SECOND: ("busy", True)}


def double(number: int) -> int:
    return 2 * number


def map_a_little(kind: str) -> None:
    """Map over the workers that are there."""
    pool = plugin_of(kind).MakePool()
    pool.poll_timeout = 20.0
    with pool:
        assert pool.map(double, range(40), 4) == list(range(0, 80, 2))


def bring_up(cluster: Cluster, lab: BaseLab, kind: str, python: str) -> None:
    up = cluster("up", "-t", kind, *lab.names, "--ssh-config", lab.ssh_config, "--remote-python", python, "--nthreads", 1)
    assert up.returncode == 0, up.stdout + up.stderr


def down(cluster: Cluster, hosts: int) -> None:
    told = cluster("down")
    assert (told.returncode, told.stdout.splitlines()[-1]) == (0, f"0 processes, 0 files left on {hosts} hosts"), told.stderr


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("kind", "cut"), [("gearman", "reset"), ("zmq", "drop"), ("dask", "reset"), ("ipython", "drop")])
def test_a_worker_that_was_cut_off_comes_back(kind: str, cut: str, fresh_lab: Labs, cluster: Cluster, python: str) -> None:
    lab = fresh_lab(2)
    before = left_on(lab)
    bring_up(cluster, lab, kind, python)
    map_a_little(kind)
    lab.host("node02").cut(cut)
    # Its link finds it out in some seconds, the engine in half a minute at most.
    wait_until(lambda: workers(cluster) == {FIRST: ("busy", True), SECOND: ("unknown", False)}, PATIENCE, lambda: str(workers(cluster)))
    assert cluster("status").returncode == 1
    wait_until(lambda: [host for host, _ in pids(cluster)] == ["node01"], PATIENCE)
    map_a_little(kind)
    lab.host("node02").heal()
    wait_until(lambda: workers(cluster) == WELL, PATIENCE, lambda: str(workers(cluster)))
    map_a_little(kind)
    down(cluster, 2)
    await_nothing_left(lab, before)


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("kind", ["gearman", "zmq", "dask", "ipython"])
def test_hosts_that_restart_get_their_broker_and_their_workers_again(kind: str, fresh_lab: Labs, cluster: Cluster, python: str) -> None:
    lab = fresh_lab(2)
    bring_up(cluster, lab, kind, python)
    old = pids(cluster)
    lab.host("node02").reboot()
    wait_until(lambda: workers(cluster) == WELL and ("node02", dict(old)["node02"]) not in pids(cluster), PATIENCE, lambda: str(workers(cluster)))
    lab.host("node01").reboot()
    wait_until(lambda: workers(cluster) == WELL, PATIENCE, lambda: str(workers(cluster)))
    map_a_little(kind)
    down(cluster, 2)


@pytest.mark.lab
@pytest.mark.slow
@tries("when their hosts can be reached: {}")
def test_what_is_down_while_a_host_is_away_is_ended_later(fresh_lab: Labs, python: str, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(fleet, "PARTING_S", 5.0)
    lab = fresh_lab(2)
    before = left_on(lab)
    EngineCluster("zmq", lab.names, ssh_config=str(lab.ssh_config), remote_python=python, nthreads=1, log_directory=tmp_path / "logs").up()
    lab.host("node02").cut("drop")
    wait_until(lambda: EngineCluster.attach().jobs()[SECOND] == "unknown", PATIENCE)
    with pytest.raises(SshjobsError, match=f"1 jobs have not ended yet: {SECOND}; when their hosts can be reached: "
                                           "sshjobs cluster down --name zmq"):
        EngineCluster.attach().down()
    lab.host("node02").heal()
    monkeypatch.setattr(fleet, "PARTING_S", 60.0)
    receipt = EngineCluster.attach(name="zmq").down()
    assert (receipt.processes, receipt.files, receipt.unasked) == (0, 0, [])
    await_nothing_left(lab, before)


@pytest.mark.lab
@pytest.mark.slow
@tries("its manager on this machine is gone, so a host that restarts gets no worker again; go on with: sshjobs resume -d {}")
def test_a_cluster_whose_manager_was_killed_goes_on_and_is_taken_down(cluster: Cluster, sshjobs_cli: SshjobsCli, lab: BaseLab, python: str) -> None:
    def kill_manager() -> None:
        with RunReader.open(EngineCluster.attach()._up.paths) as reader:
            manager = reader.summary().manager
        assert manager is not None
        os.kill(manager.pid, signal.SIGKILL)
        wait_until(lambda: not manager.is_alive(), PATIENCE)

    before = left_on(lab)
    up = cluster("up", "-t", "zmq", "node01", "node02", "--ssh-config", lab.ssh_config, "--remote-python", python, "--nthreads", 1)
    assert up.returncode == 0, up.stderr
    kill_manager()
    told = cluster("status")
    assert told.returncode == 0 and told.stdout.count("answers, pid") == 2
    assert "its manager on this machine is gone" in told.stderr
    map_a_little("zmq")
    resumed = sshjobs_cli(*told.stderr.rpartition("go on with: sshjobs ")[2].split())
    assert resumed.returncode == 0, resumed.stderr
    assert "is gone" not in cluster("status").stderr
    kill_manager()
    scaled = cluster("scale", 3)
    assert (scaled.returncode, scaled.stdout.splitlines()[0]) == (0, "worker-2@node01 registered"), scaled.stderr
    assert "is gone" not in cluster("status").stderr
    kill_manager()
    down(cluster, 2)
    await_nothing_left(lab, before)
