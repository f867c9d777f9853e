"""dask's scheduler and workers, started by hand: they register, answer, restart and quit."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.byhand import pinged, terminals
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab import wait_until
from tests.ports import free_ports


@pytest.fixture
def open_terminal(tmp_path: Path, clean_home: Path) -> Iterator[Any]:
    with terminals(tmp_path) as open_one:
        yield open_one


@pytest.fixture
def ini(tmp_path: Path) -> Path:
    (tmp_path / "c.ini").write_text(f"[client]\nscheduler_url = tls://127.0.0.1:{free_ports(1)[0]}\nkey_file = dask.pem\n")
    return tmp_path / "c.ini"


def test_scheduler_and_workers_by_hand(open_terminal: Any, ini: Path, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    """One story, as starting dask takes its time: the promises of the command, one after the other."""
    def cluster(*words: str) -> Any:
        return sshjobs_cli("cluster", "-t", "dask", "-c", str(ini), *words)

    scheduler = open_terminal("-t", "dask", "-c", ini, "LaunchScheduler")
    scheduler.until("Scheduler at:")
    assert (tmp_path / "dask.pem").stat().st_mode & 0o777 == 0o600
    alone = cluster("PingWorkers")
    assert (alone.returncode, alone.stdout, alone.stderr) == (1, "", "sshjobs: no worker answers\n")

    worker = open_terminal("LaunchWorker", "--nthreads", "1", "-c", ini, "-t", "dask")
    worker.until("Registered to:")
    table = cluster("PingWorkers", "2").stdout.splitlines()
    assert table[0].split() == ["HOST", "PID", "NREQS", "ETIME", "MEAN_ETIME", "UPTIME"]
    assert len(table) == 2
    (before,) = pinged(cluster("PingWorkers", "--json"))
    assert set(before) == {"host", "pid", "requests", "elapsed", "mean", "uptime", "name", "python"}
    assert _parent_chain_holds(before["pid"], worker.process.pid)

    restarted = cluster("RestartWorkers")
    assert (restarted.returncode, restarted.stdout) == (0, f"{before['host']} {before['pid']} restarts\n")
    (after,) = pinged(cluster("PingWorkers", "--json"))
    assert after["pid"] != before["pid"]

    killed = cluster("KillWorkers")
    assert (killed.returncode, killed.stdout) == (0, f"{after['host']} {after['pid']} quits\n")
    assert worker.ends() == 0
    assert "starts again" not in worker.said
    assert cluster("PingWorkers").returncode == 1
    assert scheduler.interrupt() == 0


def _parent_chain_holds(pid: int, ancestor: int) -> bool:
    while pid > 1 and pid != ancestor:
        pid = int(re.findall(r"^PPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[0])
    return pid == ancestor


def test_the_seeds_words_with_an_address(open_terminal: Any) -> None:
    """``dscheduler`` and ``dworker ADDR``, and the end through rpc's terminate."""
    port = free_ports(1)[0]
    scheduler = open_terminal("-t", "dask", "LaunchScheduler", "--port", str(port))
    scheduler.until("Scheduler at:")
    worker = open_terminal("-t", "dask", "LaunchWorker", f"127.0.0.1:{port}", "--nthreads", "1")
    worker.until("Registered to:")
    _terminate(f"tcp://127.0.0.1:{port}")
    assert scheduler.ends() == 0
    assert worker.ends() == 0


def _terminate(address: str) -> None:
    import asyncio

    from distributed import rpc
    from distributed.comm import CommClosedError

    async def tell() -> None:
        async with rpc(address) as scheduler:
            workers = (await scheduler.identity(n_workers=-1))["workers"]
            for nanny in [facts["nanny"] for facts in workers.values()]:
                async with rpc(nanny) as worker:
                    # It may be gone before it has answered.
                    with contextlib.suppress(CommClosedError):
                        await worker.terminate(reason="the user ends it")
            with contextlib.suppress(CommClosedError):
                await scheduler.terminate()

    asyncio.run(tell())


def test_a_worker_that_is_killed_is_started_again(open_terminal: Any, ini: Path, sshjobs_cli: SshjobsCli) -> None:
    scheduler = open_terminal("-t", "dask", "-c", ini, "LaunchScheduler")
    scheduler.until("Scheduler at:")
    worker = open_terminal("-t", "dask", "-c", ini, "LaunchWorker", "--nthreads", "1", "--no-nanny")
    worker.until("Registered to:")
    (before,) = pinged(sshjobs_cli("cluster", "-t", "dask", "-c", ini, "PingWorkers", "--json"))
    os.kill(before["pid"], 9)
    worker.until("the worker has failed, signal 9; it starts again in 0.5 s")
    wait_until(lambda: worker.said.count("Registered to:") == 2, 30, "registered again")
    assert worker.interrupt() == 0


@tries("name an INI with scheduler_url = tls://HOST:PORT and key_file by -c", "write HOST:PORT")
def test_bad_addresses_are_told(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("cluster", "-t", "dask", "LaunchWorker", "10.0.0.1:8786")
    assert told.returncode == 2
    assert told.stderr == ("sshjobs: tcp://10.0.0.1:8786: a scheduler on another machine needs TLS; name an INI with "
                           "scheduler_url = tls://HOST:PORT and key_file by -c\n")
    told = sshjobs_cli("cluster", "-t", "dask", "LaunchWorker", "nonsense")
    assert (told.returncode, told.stderr) == (2, "sshjobs: 'tcp://nonsense' is no address of a scheduler; write HOST:PORT\n")


@tries("take the key_file of this cluster")
def test_a_key_that_does_not_fit_and_a_scheduler_that_is_away(open_terminal: Any, ini: Path, tmp_path: Path,
                                                              sshjobs_cli: SshjobsCli) -> None:
    scheduler = open_terminal("-t", "dask", "-c", ini, "LaunchScheduler")
    scheduler.until("Scheduler at:")
    (tmp_path / "right.pem").write_bytes((tmp_path / "dask.pem").read_bytes())
    from sshjobs.cluster.certificates import make_certificate

    make_certificate(tmp_path / "other.pem")
    other = tmp_path / "other.ini"
    other.write_text(ini.read_text().replace("dask.pem", "other.pem"))
    told = sshjobs_cli("cluster", "-t", "dask", "-c", other, "PingWorkers")
    assert told.returncode == 1
    assert re.fullmatch(r"sshjobs: tls://127\.0\.0\.1:\d+: the scheduler refuses the key; take the key_file of this cluster\n",
                        told.stderr)
    assert sshjobs_cli("cluster", "-t", "dask", "-c", ini, "PingWorkers").stderr == "sshjobs: no worker answers\n"
    assert scheduler.interrupt() == 0
    told = sshjobs_cli("cluster", "-t", "dask", "-c", ini, "PingWorkers")
    assert told.returncode == 1
    assert "the scheduler does not answer; nothing came in 5 s" in told.stderr
    assert told.stderr.count("\n") == 1


