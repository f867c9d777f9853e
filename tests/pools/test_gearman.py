"""The pool and the workers of gearman: the names of the seed's page, keys, commands, and what goes wrong."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import gear
import pytest

from sshjobs import SshjobsError, UsageError
from sshjobs.pools import chunks
from sshjobs.pools.base import PoolError
from sshjobs.pools.commands import Commander
from sshjobs.pools.config import Endpoint
from sshjobs.pools.gearman import (
    COMMAND_PING,
    COMMAND_QUIT,
    COMMAND_RESTART,
    GEARMAN_TASK_MAP,
    ClusterPool,
    CommandHandlerTarget,
    ConfigException,
    FutureSocket,
    MakePool,
    PickleDataEncoder,
    Worker,
)
from sshjobs.pools.keys import Key
from tests.gjob.client import alive, children
from tests.hints import tries
from tests.lab.waiting import wait_until
from tests.pools.engines import PATIENCE, Started, gearman
from tests.ports import free_port

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with gearman(tmp_path_factory.mktemp("g"), workers=2, processes=1) as made:
        yield made


def commander(farm: Started) -> Commander:
    return Commander(Endpoint(farm.urls[0]), Endpoint(farm.urls[3]), farm.key)


def test_the_names_of_the_seeds_page_are_there_with_their_values() -> None:
    assert (COMMAND_PING, COMMAND_QUIT, COMMAND_RESTART) == ("ping", "quit", "restart")
    assert GEARMAN_TASK_MAP == "glimpse_map"
    assert (ClusterPool.chunksize, ClusterPool.max_retries, ClusterPool.poll_timeout) == (8, 3, 60.0)
    assert ClusterPool.data_encoder is Worker.data_encoder is PickleDataEncoder
    assert (Worker.exit_status, Worker.finish) == (0, False)
    assert issubclass(ConfigException, UsageError)
    value = {"a": [1, b"\0"]}
    assert PickleDataEncoder.decode(PickleDataEncoder.encode(value)) == value
    with pytest.raises(PoolError, match="cannot be loaded"):
        PickleDataEncoder.decode(b"broken")


def test_a_chunk_that_ends_its_process_is_done_four_times_and_no_more(farm: Started, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"

    def die(n: int) -> None:
        with open(ledger, "a") as file:
            file.write(f"{os.getppid()}\n")
        os.kill(os.getpid(), signal.SIGKILL)

    pool = farm.pool()
    with pytest.raises(PoolError, match="a chunk of 1 failed 4 times.*signal 9"):
        pool.map(die, [1])
    workers = ledger.read_text().split()
    assert len(workers) == 4 and len(set(workers)) == 2, "elsewhere, while there is somewhere else"
    assert workers[0] != workers[1]
    pool.max_retries = 0
    with pytest.raises(PoolError, match="failed 1 times"):
        pool.map(die, [1])
    assert pool.map(abs, [-3]) == [3]


@tries("give all parties the same key_file", "use one version of sshjobs, and key_file everywhere or nowhere")
def test_only_who_has_the_key_can_have_something_unpickled(farm: Started, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (os.system, (f"touch {tmp_path}/evil",))

    client = gear.Client("evil")
    client.addServer("127.0.0.1", farm.port)
    client.waitForServer(timeout=PATIENCE)
    try:
        for data in (pickle.dumps(Evil()), b"\0" * 32 + pickle.dumps(Evil()), chunks.seal(b"k" * 32, b"", pickle.dumps(Evil())), b""):
            job = gear.Job(GEARMAN_TASK_MAP, data, b"u")
            client.submitJob(job)
            wait_until(partial(getattr, job, "complete"), PATIENCE, "an answer")
            answer = PickleDataEncoder.decode(chunks.unseal(farm.key.hmac_key, b"result\0" + GEARMAN_TASK_MAP.encode() + b"\0u",
                                                            b"".join(job.data)))
            assert answer[0] == chunks.FAILED and "was not sealed with the cluster's key" in answer[1]
    finally:
        client.shutdown()
    assert not (tmp_path / "evil").exists()
    other = ClusterPool([f"127.0.0.1:{farm.port}"], key=Key.make(tmp_path / "other"))
    with pytest.raises(PoolError, match="not sealed with the cluster's key.*same key_file"):
        other.map(abs, [1])
    with pytest.raises(PoolError, match="no message of this version.*everywhere or nowhere"):
        ClusterPool([f"127.0.0.1:{farm.port}"]).map(abs, [1])
    assert farm.pool().map(abs, [-1]) == [1]


@tries("functions travel as code of one Python: use the same on both")
def test_another_python_is_told_in_a_line(farm: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(chunks, "_LINE", b"sshjobs 1 py3.7\n")
        context.setattr(chunks, "PYTHON", "py3.7")
        with pytest.raises(PoolError, match=rf"this is Python 3.7, and the other end Python 3.{sys.version_info.minor}"):
            farm.pool().map(abs, [1])
    assert farm.pool().map(abs, [-1]) == [1]


def test_a_ping_tells_what_a_worker_has_done_and_quit_and_restart_end_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    with gearman(tmp_path_factory.mktemp("c"), workers=2, processes=1) as farm:
        assert farm.pool().map(abs, range(-20, 0), chunksize=1) == list(range(20, 0, -1))
        with commander(farm) as ask:
            facts = ask.ping(PATIENCE, lambda found: len(found) == 2)
            assert {one.pid for one in facts} == {worker.pid for worker in farm.workers}
            assert sum(one.requests for one in facts) == 20 and all(one.elapsed >= 0 for one in facts)
            kids = [kid for worker in farm.workers for kid in children(worker.pid)]
            by_pid = {one.pid: one.worker for one in facts}
            assert ask.tell(COMMAND_QUIT, [by_pid[farm.workers[0].pid]], PATIENCE)
            assert ask.tell(COMMAND_RESTART, [by_pid[farm.workers[1].pid]], PATIENCE)
        assert [worker.wait(PATIENCE) for worker in farm.workers] == [0, 255]
        wait_until(lambda: not any(map(alive, kids)), PATIENCE, "the end of their processes")


def test_processes_of_a_worker_die_with_it_and_sigterm_ends_it_at_once(tmp_path_factory: pytest.TempPathFactory,
                                                                       tmp_path: Path) -> None:
    with gearman(tmp_path_factory.mktemp("k"), workers=2, processes=2) as farm:
        pool, began = farm.pool(), tmp_path / "began"

        def stay(n: int) -> None:
            import time

            with open(began, "a") as file:
                file.write("x")
            time.sleep(600)

        thread = threading.Thread(target=lambda: pytest.raises(PoolError, pool.map, stay, range(4), 2), daemon=True)
        pool.max_retries = 0
        thread.start()
        wait_until(lambda: began.exists() and len(began.read_text()) == 4, PATIENCE, "four calls")
        kids = [children(worker.pid) for worker in farm.workers]
        assert [len(one) for one in kids] == [2, 2]
        farm.workers[0].kill()
        farm.workers[1].terminate()
        assert farm.workers[1].wait(PATIENCE) == 0
        wait_until(lambda: not any(alive(kid) for one in kids for kid in one), PATIENCE, "the end of their processes")


@tries("nothing came in {} s; is it launched, and is this its address?")
def test_a_gearmand_that_does_not_answer_is_told_after_five_seconds(farm: Started) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(PoolError, match=r"gearmand does not answer.*nothing came in 5 s"):
            ClusterPool([f"127.0.0.1:{silent.getsockname()[1]}"]).map(abs, [1])
    with pytest.raises(SshjobsError, match="gearmand does not answer"):
        Worker([f"127.0.0.1:{free_port()}"])
    assert ClusterPool([f"127.0.0.1:{farm.port}"], key=farm.key).map(abs, [1]) == [1]


def test_a_farm_without_a_worker_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    with gearman(tmp_path_factory.mktemp("n"), workers=0) as farm:
        pool = farm.pool()
        pool.poll_timeout = 0.5
        with pytest.raises(PoolError, match="no worker has taken a chunk for 0.5 s.*PingWorkers"):
            pool.map(abs, [1])


@tries("see that it is up, and map again: nothing is kept of this map")
def test_a_gearmand_that_goes_away_in_the_middle_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    with gearman(tmp_path_factory.mktemp("a"), workers=1) as farm:
        pool = farm.pool()
        found = pool.imap(abs, iter(int, 1), chunksize=1)
        assert next(found) == 0
        farm.server.kill()
        with pytest.raises(PoolError, match="gearmand does not answer any more.*map again"):
            list(found)


@tries("give key=Key.load(FILE)", 'give ["HOST:PORT"]')
def test_a_pool_is_made_by_its_configuration_or_by_hand(farm: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ini = tmp_path / "farm.ini"
    ini.write_text(f"[client]\njob_server_url = 127.0.0.1:{farm.port}\nkey_file = {farm.directory}/key\nchunksize = 3\n"
                   "poll_timeout = 30\nmax_retries = 1\n")
    pool = MakePool(ini)
    assert (pool.chunksize, pool.poll_timeout, pool.max_retries) == (3, 30.0, 1)
    assert pool.map(abs, [-1]) == [1]
    assert MakePool(ini, chunksize=5).chunksize == 5
    monkeypatch.setenv("GLIMPSE_CLUSTER_CONFIG", str(ini))
    assert ClusterPool().map(abs, [-2]) == [2]
    ini.write_text("[client]\n")
    with pytest.raises(ConfigException, match="job_server_url"):
        ClusterPool()
    with pytest.raises(UsageError, match=r"needs the cluster's key.*Key.load"):
        ClusterPool(["192.0.2.1:4730"])
    with pytest.raises(UsageError, match="one gearmand or more"):
        ClusterPool([])
    for wrong in ("nowhere", "host:0", ":4730", "host:port"):
        with pytest.raises(UsageError):
            ClusterPool([wrong])


def test_a_worker_of_ones_own_answers_a_task_and_heeds_commands(farm: Started) -> None:
    worker = Worker([f"127.0.0.1:{farm.port}"])
    worker.register_task("shout", lambda job: job.sendWorkComplete(job.arguments.upper()))
    handler = threading.Thread(target=CommandHandlerTarget, args=(
        worker, FutureSocket(Endpoint(farm.urls[1]), farm.key), FutureSocket(Endpoint(farm.urls[2]), farm.key),
        lambda: {"requests": 1, "elapsed": 0.5}), daemon=True)
    handler.start()
    works = threading.Thread(target=worker.work, daemon=True)
    works.start()
    client = gear.Client("client")
    client.addServer("127.0.0.1", farm.port)
    client.waitForServer(timeout=PATIENCE)
    job = gear.Job("shout", b"hello")
    client.submitJob(job)
    wait_until(lambda: job.complete, PATIENCE, "an answer")
    assert b"".join(job.data) == b"HELLO"
    client.shutdown()
    with commander(farm) as ask:
        (mine,) = [one for one in ask.ping(PATIENCE, lambda found: len(found) == 3) if one.pid == os.getpid()]
        assert (mine.requests, mine.elapsed) == (1, 0.5)
        assert ask.tell(COMMAND_RESTART, [mine.worker], PATIENCE) == {mine.worker}
    for thread in (handler, works):
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert (worker.exit_status, worker.finish) == (-1, True)
    worker.shutdown()


def test_large_items_and_results_come_whole(farm: Started) -> None:
    data = [os.urandom(1_000_000) for _ in range(4)]
    assert farm.pool().map(lambda one: one + b"!", data, chunksize=2) == [one + b"!" for one in data]


def test_a_worker_whose_broker_is_silent_says_so(tmp_path: Path, farm: Started) -> None:
    from tests.pools.engines import GEARMAN_WORKER

    done = subprocess.run([sys.executable, "-c", GEARMAN_WORKER, f"127.0.0.1:{farm.port}", f"ipc://{tmp_path}/c",
                           f"ipc://{tmp_path}/l", str(farm.directory / "key"), "1"], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode != 0 and "does not answer" in done.stderr.splitlines()[-1]
