"""Engine clusters over real sshd hosts: up, asked, scaled, down, and nothing left."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from cloudpickle import register_pickle_by_value

from sshjobs import EngineCluster
from sshjobs.cluster.plugins import plugin_of
from sshjobs.errors import SshjobsError, UsageError
from tests.cluster.byhand import pinged
from tests.cluster.seen import Cluster, await_nothing_left, left_on, listening, pids
from tests.hints import tries
from tests.lab import BaseLab, wait_until


@pytest.fixture
def options(lab: BaseLab, python: str) -> list[str]:
    return ["--ssh-config", str(lab.ssh_config), "--remote-python", python]


#: The ways to name four hosts, one of which there is not.
FORMS = {"gearman": ["node01", "node02", "node03", "nosuch.invalid"], "zmq": ["node0{1..3}", "nosuch.invalid"],
         "dask": ["--hostfile", "hostfile.txt"], "ipython": ["node[01-03]", "nosuch.invalid"]}


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(400)
@tries("{} cluster '{}' is up at {}; to end it: sshjobs cluster down --name {}",
       "see whether a worker is there: sshjobs cluster -t gearman PingWorkers",
       "see whether a worker is there: sshjobs cluster -t zmq PingWorkers",
       "see whether a worker is there: sshjobs cluster -t dask PingWorkers",
       "see whether an engine is there: sshjobs cluster -t ipython PingWorkers")
@pytest.mark.parametrize("kind", ["gearman", "zmq", "dask", "ipython"])
def test_a_cluster_comes_up_answers_and_leaves_nothing(kind: str, cluster: Cluster, lab: BaseLab, options: list[str],
                                                       tmp_path: Path) -> None:
    """One story for each engine, as coming up takes its time: the promises of the page, one after the other."""
    before = left_on(lab)
    (tmp_path / "hostfile.txt").write_text("node01\nnode02  # a comment\n\nnode03\nnosuch.invalid\n")
    up = cluster("up", "-t", kind, *FORMS[kind], *options, "--nthreads", 1)
    assert up.returncode == 1, up.stdout + up.stderr
    assert [line for line in up.stdout.splitlines() if "registered" in line] == [
        f"worker-1@node0{n} registered" for n in (1, 2, 3)]
    assert "sshjobs: nosuch.invalid: the name cannot be resolved" in up.stderr
    assert f"{kind} cluster '{kind}' is up at " in up.stdout

    status = json.loads(cluster("status", "--json").stdout)
    assert [(row["host"], row["state"], row["answers"]) for row in status["workers"]] == [
        (f"node0{n}", "busy", True) for n in (1, 2, 3)]
    rows = pinged(cluster("PingWorkers", "2", "--json"))
    assert [row["host"] for row in rows] == ["node01", "node02", "node03"]
    assert set(rows[0]) == {"host", "pid", "requests", "elapsed", "mean", "uptime", "name", "python"}
    assert listening(lab) <= {"127.0.0.1", *(host.address for host in lab.hosts)}

    map_with_a_killed_worker(kind, lab, rows[1]["pid"])
    old = wait_until(lambda: found if len(found := pids(cluster)) == 3 else set(), 60)
    assert ("node02", rows[1]["pid"]) not in old
    restarted = cluster("RestartWorkers")
    assert restarted.returncode == 0 and "are back" not in restarted.stderr, restarted.stderr
    new = wait_until(lambda: found if len(found := pids(cluster)) == 3 and not found & old else set(), 60)
    assert {host for host, _ in new} == {"node01", "node02", "node03"}

    scaled = cluster("scale", 4)
    assert (scaled.returncode, scaled.stdout.splitlines()[0]) == (0, "worker-2@node01 registered")
    assert cluster("scale", 2).returncode == 0
    wait_until(lambda: sorted(host for host, _ in pids(cluster)) == ["node01", "node02"], 60)

    killed = cluster("KillWorkers")
    assert killed.returncode == 0 and killed.stdout.count(" quits\n") == 2
    wait_until(lambda: not json.loads(cluster("status", "--json").stdout)["workers"], 60)
    map_with_no_worker(kind, cluster)
    if kind == "zmq":
        flushed = [cluster("FlushCluster").stdout for _ in range(2)]
        assert re.fullmatch(r"[1-9]\d* requests and 0 messages of results drained\n", flushed[0])
        assert flushed[1] == "0 requests and 0 messages of results drained\n"

    down = cluster("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert "0 processes, 0 files left on 3 hosts" in down.stdout
    await_nothing_left(lab, before)
    assert not list((tmp_path / "state" / "sshjobs" / "clusters").iterdir())
    assert (tmp_path / "results" / f"cluster-{kind}-1" / "jobs" / "worker-1@node02" / "stderr").exists()


def map_with_a_killed_worker(kind: str, lab: BaseLab, pid: int) -> None:
    """Map over 1,000 items, and kill the worker of the second host in the middle of it."""
    pool = plugin_of(kind).MakePool()
    pool.poll_timeout = 20.0
    results = pool.imap(slow_square, range(1000))
    first = [next(results) for _ in range(50)]
    assert lab.hosts[1].run(["kill", "-9", str(pid)]).returncode == 0
    assert [*first, *results] == [number * number for number in range(1000)]
    close = getattr(pool, "close", None)
    if close is not None:
        close()


def map_with_no_worker(kind: str, cluster: Cluster) -> None:
    """Map where nobody works, and do what the message says."""
    pool = plugin_of(kind).MakePool()
    pool.poll_timeout = 0.5
    with pytest.raises(SshjobsError, match=f"is there: sshjobs cluster -t {kind} PingWorkers$"):
        list(pool.imap(slow_square, range(3)))
    asked = cluster("-t", kind, "PingWorkers")
    assert (asked.returncode, asked.stderr) == (1, "sshjobs: no worker answers\n")


def slow_square(number: int) -> int:
    import time

    time.sleep(0.005)
    return number * number


# Hosts know nothing of this module: what it sends goes as code.
register_pickle_by_value(sys.modules[__name__])


@pytest.mark.lab
@pytest.mark.slow
def test_the_forms_of_dcluster(cluster: Cluster, lab: BaseLab, options: list[str], tmp_path: Path) -> None:
    """The worked examples of dask's page: a list, a group and a hostfile. On zmq, which is up soonest."""
    hosts = [host.name for host in lab.hosts[:2]]
    (tmp_path / "hostfile.txt").write_text("".join(f"{name}  # a comment\n" for name in hosts))
    for words in (hosts, ["node0{1,2}"], ["node[01-02]"], ["--hostfile", "hostfile.txt"], ["--hosts", "hostfile.txt"]):
        up = cluster("up", "-t", "zmq", *words, *options, "--nthreads", 1, "--name", "mine")
        assert up.returncode == 0, up.stderr
        assert up.stdout.splitlines()[:2] == [f"worker-1@{name} registered" for name in hosts]
        down = cluster("down", "--name", "mine")
        assert (down.returncode, down.stdout.splitlines()[-1]) == (0, "0 processes, 0 files left on 2 hosts")


@pytest.mark.lab
@tries("its address must be one that this machine reaches; give another by --address")
def test_an_address_that_is_not_reached_is_told(lab: BaseLab, python: str, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch, clean_home: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("sshjobs.cluster.bringup.BROKER_S", 3.0)
    monkeypatch.setattr("sshjobs.pools.channels.ANSWER_S", 1.0)
    more: dict[str, Any] = {"ssh_config": str(lab.ssh_config), "remote_python": python, "nthreads": 1,
                            "log_directory": tmp_path / "logs"}
    with pytest.raises(SshjobsError, match="node01: the broker does not answer: .*; its address must be one that this "
                                           "machine reaches; give another by --address"):
        EngineCluster("zmq", ["node01"], address="127.0.0.1", **more).up()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(clean_home))
    with EngineCluster("zmq", ["node01"], **more) as made:
        assert EngineCluster.attach().address == made.address
        assert EngineCluster.attach("zmq", "zmq").client().map(abs, [-1, 2]) == [1, 2]
        assert [facts.host for facts in made.workers()] == ["node01"]
    with pytest.raises(UsageError, match="no engine cluster is up"):
        EngineCluster.attach()


@pytest.mark.lab
@pytest.mark.slow
@tries("write setup: and a script beside jobs")
def test_what_is_said_of_hosts_and_workers_reaches_them(cluster: Cluster, lab: BaseLab, options: list[str], tmp_path: Path) -> None:
    (tmp_path / "hosts.txt").write_text("node01 slots=4 env.WORD=from-the-host wrap='env WRAPPED=yes'\n")
    (tmp_path / "setup.yaml").write_text("jobs: [{commands: 'true'}]\n")
    words = ["-t", "dask", "--hosts", "hosts.txt", *options, "--nworkers", 2, "--memory-limit", "300MB", "--nohost", "--setup",
             "setup.yaml", "--log-directory", "logs"]
    told = cluster("up", *words)
    assert (told.returncode, told.stdout) == (2, "") and "has no setup; write setup: and a script beside jobs" in told.stderr
    (tmp_path / "setup.yaml").write_text("setup: touch ~/was-set-up\njobs: [{commands: 'true'}]\n")
    up = cluster("up", *words)
    assert up.returncode == 0, up.stderr
    assert lab.hosts[0].run(["sh", "-c", "rm ~lab/was-set-up"]).returncode == 0
    made = EngineCluster.attach()
    with made.client() as client:
        facts = client.scheduler_info()["workers"].values()
        assert [(one["nthreads"], one["memory_limit"]) for one in facts] == [(2, 300_000_000)] * 2
        assert client.submit(lambda: (os.environ["WORD"], os.environ["WRAPPED"])).result(60) == ("from-the-host", "yes")
    assert listening(lab) <= {"127.0.0.1", lab.hosts[0].address}, "not even when dask finds its address by itself"
    assert cluster("down").stdout.endswith("0 processes, 0 files left on 1 host\n")
    assert (tmp_path / "logs" / "cluster-dask-1" / "jobs" / "worker-2@node01" / "stderr").exists()


@pytest.mark.lab
def test_a_host_whose_setup_fails_is_named(lab: BaseLab, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           clean_home: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = EngineCluster("zmq", ["node01", "node02"], ssh_config=str(lab.ssh_config), remote_python=python, nthreads=1,
                         log_directory=tmp_path / "logs", setup="test $(hostname) != node01 || { echo no room >&2; exit 3; }")
    with made:
        assert list(made.failures) == ["node01"] and "no room" in made.failures["node01"]
        assert [facts.host for facts in made.workers()] == ["node02"]


@pytest.mark.lab
def test_hosts_without_the_engine_are_named_with_the_command(cluster: Cluster, lab: BaseLab) -> None:
    up = cluster("up", "-t", "dask", "node01", "--ssh-config", lab.ssh_config)
    assert (up.returncode, up.stdout) == (3, "")
    assert "node01: distributed is not installed for python3; there: python3 -m pip install distributed" in up.stderr or (
        "and functions from here need" in up.stderr)
    assert cluster("status").returncode == 2
