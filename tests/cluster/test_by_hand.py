"""Brokers and workers of gearman, zmq and ipython, started by hand: they answer, restart, quit, and share a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import zmq

from sshjobs.pools.channels import Channels
from sshjobs.pools.config import read_ini
from sshjobs.pools.keys import Key
from tests.cluster.byhand import pinged, terminals
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.ports import free_ports

Cluster = Callable[..., CompletedProcess[str]]
CHANNELS = ("command_frontend_url", "command_backend_url", "log_frontend_url", "log_backend_url")
ZMQ = ("request", "result", "command", "command_response")


def gearman_ini() -> str:
    server, *ports = free_ports(5)
    urls = "".join(f"{name} = tcp://127.0.0.1:{port}\n" for name, port in zip(CHANNELS, ports, strict=True))
    return f"[client]\njob_server_url = 127.0.0.1:{server}\nkey_file = cluster.key\n{urls}[server]\nkey_file = cluster.key\n{urls}"


def zmq_ini() -> str:
    ports = iter(free_ports(8))
    urls = {f"{name}_{side}_url": f"tcp://127.0.0.1:{next(ports)}" for name in ZMQ for side in ("frontend", "backend")}
    text = "[DEFAULT]\nkey_file = cluster.key\n[BROKER]\n" + "".join(f"{key} = {url}\n" for key, url in urls.items())
    for section, side in (("WRITER", "frontend"), ("READER", "backend")):
        text += f"[{section}]\n" + "".join(f"{name}_url = {urls[f'{name}_{side}_url']}\n" for name in ZMQ)
    return text


def ipython_ini() -> str:
    return "[client]\nconnection_file = ipcontroller-client.json\n"


INIS = {"gearman": gearman_ini, "zmq": zmq_ini, "ipython": ipython_ini}
LISTENS = {"gearman": "gearmand listens at", "zmq": "the brokers listen", "ipython": "Heartmonitor beating"}
KEYS = {"gearman": "cluster.key", "zmq": "cluster.key", "ipython": "ipcontroller-client.json"}
REGISTERED = {"gearman": "Registered with gearmand", "zmq": "Registered for requests", "ipython": "Completed registration"}


@pytest.fixture
def open_terminal(tmp_path: Path, clean_home: Path) -> Iterator[Any]:
    with terminals(tmp_path) as open_one:
        yield open_one


@pytest.mark.parametrize("kind", ["gearman", "zmq", "ipython"])
def test_broker_and_workers_by_hand(kind: str, open_terminal: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(INIS[kind]())

    def cluster(*words: str) -> CompletedProcess[str]:
        return sshjobs_cli("cluster", *words, "-t", kind, "-c", ini)

    broker = open_terminal("-t", kind, "-c", ini, "LaunchBroker")
    broker.until(LISTENS[kind])
    assert (tmp_path / KEYS[kind]).stat().st_mode & 0o777 == 0o600
    worker = open_terminal("LaunchWorker", *([] if kind == "ipython" else ["2"]), "-c", ini, "-t", kind)
    worker.until(REGISTERED[kind])

    # An engine of ipython says that it is registered some seconds before it answers.
    patience = "20" if kind == "ipython" else "2"
    told = cluster("PingWorkers", patience)
    table = told.stdout.splitlines()
    assert table, told
    assert table[0].split() == ["HOST", "PID", "NREQS", "ETIME", "MEAN_ETIME", "UPTIME"] and len(table) == 2
    (before,) = pinged(cluster("PingWorkers", patience, "--json"))
    restarted = cluster("RestartWorkers")
    assert (restarted.returncode, restarted.stdout) == (0, f"{before['host']} {before['pid']} restarts\n")
    assert worker.said.count(REGISTERED[kind]) == 2, "it returns when they are back"
    (after,) = pinged(cluster("PingWorkers", patience, "--json"))
    assert after["pid"] != before["pid"]

    killed = cluster("KillWorkers")
    assert (killed.returncode, killed.stdout) == (0, f"{after['host']} {after['pid']} quits\n")
    assert worker.ends() == 0
    assert "starts again" not in worker.said
    nobody = cluster("PingWorkers")
    assert (nobody.returncode, nobody.stderr) == (1, "sshjobs: no worker answers\n")
    assert broker.interrupt() == 0


def test_flush_takes_away_what_waits_and_counts_it(open_terminal: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(zmq_ini())
    broker = open_terminal("-t", "zmq", "-c", ini, "LaunchBrokers")
    broker.until(LISTENS["zmq"])
    settings = read_ini([ini])
    with Channels(settings.cluster_key("WRITER")) as channels:
        for name, number in (("request", 3), ("result", 2)):
            socket = channels.open(zmq.PUSH, settings.endpoint("WRITER", name))
            for _ in range(number):
                socket.send_multipart([b"x", b"y"])
            socket.close(5_000)
    flushed = sshjobs_cli("cluster", "-t", "zmq", "-c", ini, "FlushCluster")
    assert (flushed.returncode, flushed.stdout) == (0, "3 requests and 2 messages of results drained\n")
    assert sshjobs_cli("cluster", "-t", "zmq", "-c", ini, "FlushCluster").stdout == "0 requests and 0 messages of results drained\n"


@pytest.mark.parametrize("kind", ["gearman", "zmq"])
def test_a_key_that_does_not_fit_starts_no_worker(kind: str, open_terminal: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(INIS[kind]())
    open_terminal("-t", kind, "-c", ini, "LaunchBroker").until(LISTENS[kind])
    other = tmp_path / "other"
    other.mkdir()
    (other / "c.ini").write_text(ini.read_text())
    Key.make(other / "cluster.key")
    for words in (["PingWorkers"], ["KillWorkers"]):
        told = sshjobs_cli("cluster", "-t", kind, "-c", other / "c.ini", *words)
        assert (told.returncode, told.stdout) == (1, "")
        assert "the broker refuses the key; take the key_file of this cluster" in told.stderr
        assert told.stderr.count("\n") == 1
    worker = open_terminal("-t", kind, "-c", other / "c.ini", "LaunchWorker", "1")
    worker.until("refuses the key")
    worker.until("the worker has failed, exit status 1; it starts again in 0.5 s")
    assert worker.interrupt() == 0


@tries("nothing came in {} s; is it launched, and is this its connection file?")
@pytest.mark.parametrize("kind", ["gearman", "zmq", "ipython"])
def test_a_broker_that_is_away_is_told(kind: str, open_terminal: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(INIS[kind]())
    if kind == "ipython":
        from sshjobs.cluster.ipython import CLIENT_FILE, ENGINE_FILE, IPython, write_connections

        write_connections(tmp_path / CLIENT_FILE, tmp_path / ENGINE_FILE, "127.0.0.1", free_ports(IPython.ports))
    else:
        Key.make(tmp_path / "cluster.key")
    told = sshjobs_cli("cluster", "-t", kind, "-c", ini, "PingWorkers")
    assert (told.returncode, told.stdout) == (1, "")
    assert "does not answer; nothing came in 5 s; is it launched" in told.stderr
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize(("kind", "words", "line"), [
    ("gearman", (), "c.ini: [client] has no job_server_url; add it"),
    ("zmq", (), "c.ini: [READER] has no request_url; add it"),
    ("gearman", ("0",), "'0' is no number of processes from 1 to 4096"),
    ("dask", ("127.0.0.1:1", "--no-such-option"), "No such option"),
])
def test_a_worker_that_cannot_be_is_told_once(kind: str, words: tuple[str, ...], line: str, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "c.ini").write_text("[client]\n")
    told = sshjobs_cli("cluster", "-t", kind, "LaunchWorker", *words, *([] if kind == "dask" else ["-c", "c.ini"]), cwd=tmp_path)
    assert told.returncode == 2 and line in told.stderr and "starts again" not in told.stderr


def test_a_gearmand_that_cannot_listen_is_told(open_terminal: Any, tmp_path: Path) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(gearman_ini())
    first = open_terminal("-t", "gearman", "-c", ini, "LaunchBroker")
    first.until(LISTENS["gearman"])
    second = open_terminal("-t", "gearman", "-c", ini, "LaunchBroker")
    assert second.ends() == 1
    assert "the channel cannot be opened: Address already in use; another broker may be at work there" in second.said
    assert "Traceback" not in second.said


def test_a_broker_listens_nowhere_else(open_terminal: Any, tmp_path: Path, sshjobs_cli: SshjobsCli) -> None:
    ini = tmp_path / "c.ini"
    ini.write_text(gearman_ini().replace("127.0.0.1", "0.0.0.0"))
    told = sshjobs_cli("cluster", "-t", "gearman", "-c", ini, "LaunchBroker")
    assert told.returncode == 2 and "would listen on every address of this machine" in told.stderr


def test_statistics_count_requests(open_terminal: Any, tmp_path: Path, sshjobs_cli: SshjobsCli) -> None:
    from sshjobs.pools.gearman import MakePool

    ini = tmp_path / "c.ini"
    ini.write_text(gearman_ini())
    open_terminal("-t", "gearman", "-c", ini, "LaunchBroker").until(LISTENS["gearman"])
    open_terminal("-t", "gearman", "-c", ini, "LaunchWorker", "1").until(REGISTERED["gearman"])
    assert list(MakePool(str(ini), 5).map(abs, range(-10, 0))) == list(range(10, 0, -1))
    (row,) = json.loads(sshjobs_cli("cluster", "-t", "gearman", "-c", ini, "PingWorkers", "2", "--json").stdout)
    assert row["requests"] == 2 and row["elapsed"] > 0
