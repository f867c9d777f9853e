"""The pool and the workers of a gearman task farm, with the names of ``glimpse.pools.gearman_cluster.pool``.

Requests and results travel as pickles through gearmand. Everybody who reaches its port can read and write there. With
the cluster's key each pickle carries an HMAC, and one without it is not unpickled. They are not encrypted.
"""

from __future__ import annotations

import os
import queue
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gear

from sshjobs.errors import UsageError
from sshjobs.pools.base import BasePool, Came, Session, Started
from sshjobs.pools.chunks import ANSWER_S, FAILED, Answer, PickleDataEncoder, PoolError, seal, unseal
from sshjobs.pools.config import ConfigException, Endpoint, find_config, is_local, read_ini
from sshjobs.pools.facts import COMMAND_PING, COMMAND_QUIT, COMMAND_RESTART
from sshjobs.pools.keys import Key
from sshjobs.pools.processes import Processes
from sshjobs.pools.workers import LOOK_S, CommandHandlerTarget, Doer, FutureSocket, Request, Terminated, commands

__all__ = ["COMMAND_PING", "COMMAND_QUIT", "COMMAND_RESTART", "GEARMAN_TASK_MAP", "ClusterPool", "CommandHandlerTarget",
           "ConfigException", "FutureSocket", "MakePool", "PickleDataEncoder", "RunWorker", "Worker"]

#: Gearman's id of the map task.
GEARMAN_TASK_MAP = "glimpse_map"
#: A connection on which nothing comes through for half a minute is lost (seconds, and milliseconds).
_LOST_AFTER = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}


class ClusterPool(BasePool):
    """Client of the gearman task farm.

    :param host_list: ``HOST:PORT`` of each gearmand; ``None``: as the configuration says
    :param random_unique_bytes: length of the random id of each request
    :param key: the cluster's; ``None``: as the configuration says, and only for gearmands of this machine
    :param config_file: read after those that the environment names
    :raises ConfigException: there is no configuration, or it cannot be used
    """

    #: Writes and reads what is sent.
    data_encoder = PickleDataEncoder

    def __init__(self, host_list: Sequence[str] | None = None, random_unique_bytes: int = 16, *,
                 key: Key | None = None, config_file: str | Path | None = None):
        if host_list is None:
            settings = read_ini(find_config("gearman", config_file))
            host_list, key = [settings.text("client", "job_server_url")], settings.cluster_key("client")
            self._configure(settings)
        self._hosts = [_address(host) for host in host_list]
        if not self._hosts:
            raise UsageError("a pool needs one gearmand or more", hint='give ["HOST:PORT"]')
        if key is None and not all(is_local(host) for host in host_list):
            raise UsageError("a gearmand of another machine needs the cluster's key", hint="give key=Key.load(FILE)")
        self._key = None if key is None else key.hmac_key
        self._unique_bytes = random_unique_bytes

    def _session(self) -> Session:
        return _Session(self._hosts, self._key, self.data_encoder, self._unique_bytes)

    def _no_worker(self) -> str:
        return "see whether a worker is there: sshjobs cluster -t gearman PingWorkers"


MakePool = ClusterPool._make


class Worker:
    """A gearman worker that tracks its exit status.

    :param host_list: ``HOST:PORT`` of each gearmand
    :raises PoolError: none of them answers
    """

    #: Reads and writes what is sent.
    data_encoder = PickleDataEncoder
    #: Exit status of the worker.
    exit_status = 0
    #: Whether it has received a quit or restart command.
    finish = False

    def __init__(self, host_list: Sequence[str] | None = None):
        self._tasks: dict[str, Callable[[gear.WorkerJob], None]] = {}
        self._gear = _GearWorker(f"{socket.getfqdn()}:{os.getpid()}")
        _connect(self._gear, [_address(host) for host in host_list or ["127.0.0.1:4730"]])

    def register_task(self, task: str, callback: Callable[[gear.WorkerJob], None]) -> None:
        """Have a function called with each request of a task. It sends the answer."""
        self._tasks[task] = callback
        self._gear.registerFunction(task)

    def after_poll(self, any_activity: bool) -> bool:
        """Called after each wait for a request. Return True unless the finish flag is set."""
        return not self.finish

    def work(self, poll_timeout: float = LOOK_S) -> None:
        """Answer requests, one at a time, until :meth:`after_poll` returns False."""
        any_activity = False
        while self.after_poll(any_activity):
            job = self._gear.next_job(poll_timeout)
            any_activity = job is not None
            if job is not None:
                self._tasks[job.name](job)

    def shutdown(self) -> None:
        """End the connection. A request that was handed to us and is not answered goes to another worker."""
        self._gear.shutdown()


def RunWorker(job_server_url: str, command_url: str, log_url: str, num_processes: int | None = None, *,
              key: Key | None = None, registered: Callable[[], None] | None = None) -> int:
    """Be a gearman worker, which answers requests by several processes, until a command or SIGTERM ends it.

    :param job_server_url: ``HOST:PORT`` of gearmand
    :param command_url: where commands come from; ``log_url``: where answers to them go
    :param num_processes: ``None`` is one for each core
    :param registered: called when requests can come
    :return: exit status of the worker: 0 after quit, 255 after restart
    :raises PoolError: gearmand does not answer
    :raises BrokerError: the broker of commands does not, or the key does not fit
    """
    # Before there are threads.
    processes = Processes(num_processes)
    try:
        doer = Doer(processes)
        worker = Worker([job_server_url])
        try:
            with commands(worker, FutureSocket(Endpoint(command_url), key), FutureSocket(Endpoint(log_url), key),
                          doer.stats):
                hmac_key = None if key is None else key.hmac_key
                worker.register_task(GEARMAN_TASK_MAP, lambda job: _answer(job, doer, hmac_key, worker.data_encoder))
                if registered is not None:
                    registered()
                worker.work()
        except Terminated:
            return 0
        finally:
            worker.shutdown()
        return worker.exit_status % 256
    finally:
        processes.close()


def _answer(job: gear.WorkerJob, doer: Doer, key: bytes | None, encoder: type[PickleDataEncoder]) -> None:
    def load() -> Request:
        function, items, avoid = encoder.decode(unseal(key, _about(b"request", job.unique), job.arguments))
        return function, items, avoid

    request = doer.check(load)
    try:
        if not isinstance(request, Answer):
            job.sendWorkStatus(0, 1)
        answer = request if isinstance(request, Answer) else doer.carry_out(request)
        job.sendWorkComplete(seal(key, _about(b"result", job.unique), encoder.encode(tuple(answer))))
    except (OSError, gear.GearmanError, AttributeError):  # gearmand has gone: another worker gets it when it is back
        time.sleep(LOOK_S)


def _about(what: bytes, unique: bytes | None) -> bytes:
    return what + b"\0" + GEARMAN_TASK_MAP.encode() + b"\0" + (unique or b"")


class _Session(Session):
    """One map: a connection of its own, so that what is not needed any more leaves gearmand with it."""

    tells_starts = True

    def __init__(self, hosts: Sequence[tuple[str, int]], key: bytes | None, encoder: type[PickleDataEncoder],
                 unique_bytes: int):
        self._key, self._encoder, self._unique_bytes = key, encoder, unique_bytes
        self._client = _GearClient(hosts)

    def send(self, key: int, function: bytes, items: list[Any], avoid: list[str]) -> None:
        unique = secrets.token_hex(self._unique_bytes).encode()
        data = seal(self._key, _about(b"request", unique), self._encoder.encode((function, items, avoid)))
        job = gear.Job(GEARMAN_TASK_MAP, data, unique)
        job.key = key
        with _patience(self._client):
            self._client.submitJob(job, timeout=ANSWER_S)

    def receive(self, timeout: float) -> Started | Came | None:
        try:
            kind, job = self._client.events.get(timeout=timeout)
        except queue.Empty:
            return None
        if kind == "started":
            return Started(job.key)
        if kind != "complete":
            return Came(job.key, Answer(FAILED, kind))
        data = unseal(self._key, _about(b"result", job.unique), b"".join(job.data))
        return Came(job.key, Answer(*self._encoder.decode(data)))

    def close(self) -> None:
        self._client.shutdown()


class _Quick:
    """Has what is sent leave at once: gearmand's requests and answers are small, and each waits for the other."""

    def _onConnect(self, conn: Any) -> None:
        conn.conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # gear begins anew with what was sent in part.
        conn.sendRaw = lambda data: _send_all(conn, data)
        super()._onConnect(conn)  # type: ignore[misc]


def _send_all(conn: Any, data: bytes) -> None:
    with conn.send_lock:
        conn.conn.sendall(data)


class _GearClient(_Quick, gear.Client):  # type: ignore[misc]
    def __init__(self, hosts: Sequence[tuple[str, int]]):
        super().__init__(f"{socket.gethostname()}:{os.getpid()}")
        self.events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        _connect(self, hosts)

    def handleWorkStatus(self, packet: Any) -> Any:
        return self._tell("started", super().handleWorkStatus(packet))

    def handleWorkComplete(self, packet: Any) -> Any:
        return self._tell("complete", super().handleWorkComplete(packet))

    def handleWorkFail(self, packet: Any) -> Any:
        return self._tell("its worker gave it up", super().handleWorkFail(packet))

    def handleWorkException(self, packet: Any) -> Any:
        return self._tell("its worker gave it up with an exception", super().handleWorkException(packet))

    def handleDisconnect(self, job: Any) -> Any:
        return self._tell("the connection to gearmand broke", super().handleDisconnect(job))

    def _tell(self, what: str, job: Any) -> Any:
        self.events.put((what, job))
        return job


class _GearWorker(_Quick, gear.Worker):  # type: ignore[misc]
    _asked = False

    def _onConnect(self, conn: Any) -> None:
        # One that was cut off from gearmand finds it out, and registers again.
        conn.conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _LOST_AFTER.items():
            if hasattr(socket, name):
                conn.conn.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        super()._onConnect(conn)

    def next_job(self, timeout: float) -> Any:
        """Return the next request, ``None`` when none came in so many seconds."""
        with self.job_lock:
            if not self._asked:
                self.waiting_for_jobs += 1
                self._asked = True
                self._updateStateMachines()
        try:
            job = self.job_queue.get(timeout=timeout)
        except queue.Empty:
            return None
        self._asked = False
        return job


def _connect(client: Any, hosts: Sequence[tuple[str, int]]) -> None:
    """:raises PoolError: none of them answers in time"""
    for host, port in hosts:
        client.addServer(host, port)
    try:
        client.waitForServer(timeout=ANSWER_S)
    except gear.TimeoutError:
        client.shutdown()
        raise PoolError("gearmand does not answer", where=", ".join(f"{host}:{port}" for host, port in hosts),
                        hint=f"nothing came in {ANSWER_S:g} s; is it launched, and is this its address?") from None


@contextmanager
def _patience(client: Any) -> Iterator[None]:
    try:
        client.waitForServer(timeout=ANSWER_S)
        yield
    except (gear.TimeoutError, gear.GearmanError, gear.NoConnectedServersError):
        raise PoolError("gearmand does not answer any more",
                        hint="see that it is up, and map again: nothing is kept of this map") from None


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"a gearmand is HOST:PORT, got {text!r:.60}")
    return host.strip("[]"), int(port)
