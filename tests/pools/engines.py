"""Engines with two workers on this machine, as small as each can be: for the suite of pools."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import zmq

from sshjobs.pools.base import BasePool
from sshjobs.pools.channels import Channels
from sshjobs.pools.config import Endpoint
from sshjobs.pools.keys import Key
from tests.conftest import REPOSITORY
from tests.lab.waiting import wait_until
from tests.ports import free_port

PATIENCE = 60.0


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Started:
    """Processes of one engine, ended with the block."""

    kind: str
    server: subprocess.Popen[bytes]
    urls: list[str]
    key: Key
    port: int

    def __init__(self, directory: Path, stack: ExitStack):
        self.directory, self._stack = directory, stack
        self.workers: list[subprocess.Popen[bytes]] = []
        #: Makes a pool.
        self.pool: Callable[[], BasePool]

    def start(self, *argv: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process."""
        log = self._stack.enter_context((self.directory / f"log{len(list(self.directory.glob('log*')))}").open("wb"))
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                                   env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(env or {})})
        self._stack.callback(end, process)
        return process

    def said(self, words: str, times: int = 1) -> None:
        """Wait until processes have said something."""
        wait_until(lambda: sum(log.read_text().count(words) for log in self.directory.glob("log*")) >= times, PATIENCE,
                   lambda: f"{words}: " + "".join(log.read_text() for log in self.directory.glob("log*")))


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def forwarding(key: Key | None, pairs: list[tuple[int, str, int, str]]) -> Iterator[None]:
    """Devices of ZeroMQ: (kind, address) to (kind, address)."""
    ended, threads = threading.Event(), []
    with Channels(key) as channels:
        for front, front_url, back, back_url in pairs:
            sockets = channels.open(front, Endpoint(front_url, True)), channels.open(back, Endpoint(back_url, True))
            threads.append(threading.Thread(target=_forward, args=(*sockets, ended), daemon=True))
            threads[-1].start()
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()


def _forward(front: zmq.Socket[bytes], back: zmq.Socket[bytes], ended: threading.Event) -> None:
    poller = zmq.Poller()
    for one in (front, back):
        if one.type != zmq.PUSH:
            poller.register(one, zmq.POLLIN)
    while not ended.is_set():
        for one, _ in poller.poll(50):
            (back if one is front else front).send_multipart(one.recv_multipart())


def gearmand() -> str:
    """The path of gearmand."""
    found = shutil.which("gearmand") or shutil.which("gearmand", path="/usr/sbin")
    assert found is not None, "apt-get install gearman-job-server"
    return found


GEARMAN_WORKER = """
import sys
from pathlib import Path
from sshjobs.pools.gearman import RunWorker
from sshjobs.pools.keys import Key
key = Key.load(Path(sys.argv[4]))
sys.exit(RunWorker(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[5]), key=key,
                   registered=lambda: print("Registered", flush=True)))
"""


@contextmanager
def gearman(directory: Path, workers: int = 2, processes: int = 2) -> Iterator[Started]:
    """gearmand with workers."""
    from sshjobs.pools.gearman import ClusterPool

    with ExitStack() as stack:
        made = Started(directory, stack)
        port = free_port()
        key = Key.make(directory / "key")
        urls = [f"ipc://{directory}/{name}" for name in ("cf", "cb", "lf", "lb")]
        stack.enter_context(forwarding(key, [(zmq.XSUB, urls[0], zmq.XPUB, urls[1]), (zmq.XSUB, urls[2], zmq.XPUB, urls[3])]))
        made.server = made.start(gearmand(), "--listen", "127.0.0.1", "--port", str(port), "--log-file", "stderr", "--verbose", "ERROR")
        wait_until(lambda: listens(port), PATIENCE, "gearmand")
        made.workers = [made.start(sys.executable, "-c", GEARMAN_WORKER, f"127.0.0.1:{port}", urls[1], urls[2],
                                   str(directory / "key"), str(processes)) for _ in range(workers)]
        made.said("Registered", workers)
        made.pool = lambda: ClusterPool([f"127.0.0.1:{port}"], key=key)
        made.urls, made.key, made.port = urls, key, port
        yield made


ZMQ_WORKER = """
import sys
from pathlib import Path
from sshjobs.pools.config import read_ini
from sshjobs.pools.zmq import RunWorker
sys.exit(RunWorker(read_ini([Path(sys.argv[1])]), int(sys.argv[2]), registered=lambda: print("Registered", flush=True)))
"""


@contextmanager
def zeromq(directory: Path, workers: int = 2, processes: int = 2) -> Iterator[Started]:
    """The streamers and forwarders of the zmq type with workers."""
    from sshjobs.pools.config import read_ini
    from sshjobs.pools.zmq import ClusterPool

    with ExitStack() as stack:
        made = Started(directory, stack)
        key = Key.make(directory / "key")
        url = {name: f"ipc://{directory}/{name}" for name in ("qf", "qb", "sf", "sb", "cf", "cb", "rf", "rb")}
        stack.enter_context(forwarding(key, [(zmq.PULL, url["qf"], zmq.PUSH, url["qb"]), (zmq.PULL, url["sf"], zmq.PUSH, url["sb"]),
                                             (zmq.XSUB, url["cf"], zmq.XPUB, url["cb"]), (zmq.XSUB, url["rf"], zmq.XPUB, url["rb"])]))
        ini = directory / "cluster.ini"
        ini.write_text(f"""[DEFAULT]
key_file = key
[WRITER]
request_url = {url["qf"]}
result_url = {url["sf"]}
command_url = {url["cf"]}
command_response_url = {url["rf"]}
[READER]
request_url = {url["qb"]}
result_url = {url["sb"]}
command_url = {url["cb"]}
command_response_url = {url["rb"]}
""")
        made.workers = [made.start(sys.executable, "-c", ZMQ_WORKER, str(ini), str(processes)) for _ in range(workers)]
        made.said("Registered", workers)
        made.pool = lambda: ClusterPool(read_ini([ini]))
        yield made


@contextmanager
def dask(directory: Path, workers: int = 2) -> Iterator[Started]:
    """A scheduler with workers of one thread each."""
    from sshjobs.pools.dask import ClusterPool

    with ExitStack() as stack:
        made = Started(directory, stack)
        url = f"tcp://127.0.0.1:{free_port()}"
        made.start(sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", url.rpartition(":")[2],
                   "--dashboard-address", "127.0.0.1:0", env={"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "3s"})
        made.workers = [made.start(sys.executable, "-m", "distributed.cli.dask_worker", url, "--host", "127.0.0.1", "--no-nanny",
                                   "--nthreads", "1", "--dashboard-address", "127.0.0.1:0", "--death-timeout", "60")
                        for _ in range(workers)]
        made.said("Registered to:", workers)
        made.pool = lambda: ClusterPool(url)
        yield made


@contextmanager
def ipython(directory: Path, workers: int = 2) -> Iterator[Started]:
    """A controller of ipyparallel with engines."""
    import ipyparallel

    from sshjobs.pools.ipython import ClusterPool

    with ExitStack() as stack:
        made = Started(directory, stack)
        home = {"IPYTHONDIR": str(directory / "ipython")}
        made.start(sys.executable, "-m", "ipyparallel.controller", "--ip=127.0.0.1", env=home)
        files = directory / "ipython" / "profile_default" / "security"
        wait_until((files / "ipcontroller-client.json").exists, PATIENCE, "a controller")
        made.workers = [made.start(sys.executable, "-m", "ipyparallel.engine", f"--file={files}/ipcontroller-engine.json", env=home)
                        for _ in range(workers)]
        client = ipyparallel.Client(str(files / "ipcontroller-client.json"), timeout=PATIENCE)
        stack.callback(client.close)
        wait_until(lambda: len(client.ids) == workers, PATIENCE, "engines")
        made.pool = lambda: ClusterPool(client)
        yield made


ENGINES: dict[str, Any] = {"gearman": gearman, "zmq": zeromq, "dask": dask, "ipython": ipython}
