"""The pool and the workers of a task farm on ZeroMQ alone: brokers stream requests to workers and results back.

A streamer hands requests to workers before these ask for them, so what waits at a worker is lost when that dies: it is
sent again once nothing has come for ``poll_timeout``. One pool uses a farm at a time.
"""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from sshjobs.pools.base import BasePool, Came, Session, Started
from sshjobs.pools.channels import Channels
from sshjobs.pools.chunks import BUSY, DECLINED, Answer, PickleDataEncoder, seal, unseal
from sshjobs.pools.config import Settings, find_config, read_ini
from sshjobs.pools.processes import Processes
from sshjobs.pools.workers import LOOK_S, Doer, FutureSocket, Request, Terminated, commands

__all__ = ["ClusterPool", "MakePool", "PickleDataEncoder", "RunWorker", "Worker"]

#: Seconds that a request may wait for the one before it.
HELD_S = 0.1

_STARTED, _ANSWER = b"started", b"answer"


class ClusterPool(BasePool):
    """Client of the task farm.

    :param settings: the keys of its configuration; ``None``: as the environment says
    :param config_file: read after those that the environment names
    :raises ConfigException: there is no configuration, or it cannot be used
    """

    #: Writes and reads what is sent.
    data_encoder = PickleDataEncoder
    #: Each of these may be lost with the worker that it waits for.
    window = 16

    def __init__(self, settings: Settings | None = None, *, config_file: str | Path | None = None):
        self._settings = read_ini(find_config("zmq", config_file)) if settings is None else settings
        self._configure(self._settings, "DEFAULT")

    def _session(self) -> Session:
        return _Session(self._settings, self.data_encoder)

    def _no_worker(self) -> str:
        return "see whether a worker is there: sshjobs cluster -t zmq PingWorkers"


MakePool = ClusterPool._make


class Worker:
    """What commands change of a worker: its exit status, and whether it is to finish."""

    exit_status = 0
    finish = False

    def after_poll(self, any_activity: bool) -> bool:
        """Called after each wait for a request. Return True unless the finish flag is set."""
        return not self.finish


def RunWorker(settings: Settings, num_processes: int | None = None, *,
              registered: Callable[[], None] | None = None) -> int:
    """Be a worker, which answers requests by several processes, until a command or SIGTERM ends it.

    :param num_processes: ``None`` is one for each core
    :param registered: called when requests can come
    :return: exit status of the worker: 0 after quit, 255 after restart
    :raises BrokerError: a broker does not answer, or the key does not fit
    """
    processes, worker = Processes(num_processes), Worker()
    try:
        doer, key = Doer(processes), settings.cluster_key("READER")
        command = FutureSocket(settings.endpoint("READER", "command"), key)
        response = FutureSocket(settings.endpoint("WRITER", "command_response"), key)
        with Channels(key) as requests, Channels(key) as results:
            # What waits here is lost with this worker.
            requests.context.setsockopt(zmq.RCVHWM, 1)
            results.check(zmq.PUSH, settings.endpoint("WRITER", "result"))
            desk = _Desk(doer, results.open(zmq.PUSH, settings.endpoint("WRITER", "result")))
            try:
                with commands(worker, command, response, doer.stats):
                    incoming = requests.open(zmq.PULL, settings.endpoint("READER", "request"))
                    if registered is not None:
                        registered()
                    any_activity = False
                    while worker.after_poll(any_activity):
                        any_activity = desk.turn(incoming)
                    desk.clear(incoming)
            except Terminated:
                return 0
        return worker.exit_status % 256
    finally:
        processes.close()


class _Desk:
    """What a worker has before it: the request that is worked on in a thread, and one that waits.

    A streamer hands requests out in turn, also to who is busy. So one that would have to wait is declined, and the
    pool sends it again until it comes to a worker that is free.
    """

    def __init__(self, doer: Doer, answers: zmq.Socket[bytes]):
        self._doer, self._answers = doer, answers
        self._done: queue.SimpleQueue[tuple[list[bytes], Answer]] = queue.SimpleQueue()
        self._woken, self._wake = os.pipe()
        self._began: float | None = None
        self._next: list[bytes] | None = None

    def turn(self, incoming: zmq.Socket[bytes]) -> bool:
        """Take in what comes, up to :data:`LOOK_S`; tell whether anything did."""
        poller = zmq.Poller()
        for one in (incoming, self._woken):
            poller.register(one, zmq.POLLIN)
        patience = LOOK_S if self._next is None else HELD_S
        ready = dict(poller.poll(int(patience * 1000)))
        if self._woken in ready:
            os.read(self._woken, 1)
            head, answer = self._done.get()
            self._began = None
            self._say(head, answer)
        if incoming in ready:
            self._take(incoming.recv_multipart())
        if self._next is not None and not self._is_new():
            waiting, self._next = self._next, None
            self._take(waiting)
        return bool(ready)

    def clear(self, incoming: zmq.Socket[bytes]) -> None:
        """Finish what is worked on, and decline the rest."""
        while incoming.poll(int(HELD_S * 1000)):
            self._say(incoming.recv_multipart()[:2], Answer(DECLINED, BUSY, self._doer.name))
        if self._next is not None:
            self._say(self._next[:2], Answer(DECLINED, BUSY, self._doer.name))
        if self._began is not None:
            self._say(*self._done.get())

    def _is_new(self) -> bool:
        """True while what is worked on may soon be over."""
        return self._began is not None and time.monotonic() < self._began + HELD_S

    def _take(self, frames: list[bytes]) -> None:
        if len(frames) != 3:
            return
        if self._is_new() and self._next is None:
            self._next = frames
            return
        head, body = frames[:2], frames[2]
        if self._began is not None:
            self._say(head, Answer(DECLINED, BUSY, self._doer.name))
            return

        def load() -> Request:
            function, items, avoid = PickleDataEncoder.decode(unseal(None, b"", body))
            return function, items, avoid

        request = self._doer.check(load)
        if isinstance(request, Answer):
            self._say(head, request)
            return
        self._answers.send_multipart([*head, _STARTED, b""])
        self._began = time.monotonic()
        threading.Thread(target=self._work, args=(head, request), daemon=True).start()

    def _work(self, head: list[bytes], request: Request) -> None:
        self._done.put((head, self._doer.carry_out(request)))
        os.write(self._wake, b"x")

    def _say(self, head: list[bytes], answer: Answer) -> None:
        data = seal(None, b"", PickleDataEncoder.encode(tuple(answer)))
        self._answers.send_multipart([*head, _ANSWER, data])


class _Session(Session):
    tells_starts = True
    loses_chunks = True

    def __init__(self, settings: Settings, encoder: type[PickleDataEncoder]):
        self._encoder, self._client = encoder, secrets.token_hex(8).encode()
        self._channels = Channels(settings.cluster_key("WRITER"))
        try:
            request = settings.endpoint("WRITER", "request")
            self._channels.check(zmq.PUSH, request)
            self._out = self._channels.open(zmq.PUSH, request)
            self._in = self._channels.open(zmq.PULL, settings.endpoint("READER", "result"))
        except BaseException:
            self._channels.close()
            raise

    def send(self, key: int, function: bytes, items: list[Any], avoid: list[str]) -> None:
        body = seal(None, b"", self._encoder.encode((function, items, avoid)))
        self._out.send_multipart([self._client, b"%d" % key, body])

    def receive(self, timeout: float) -> Started | Came | None:
        if not self._in.poll(int(timeout * 1000) + 1):
            return None
        frames = self._in.recv_multipart()
        if len(frames) != 4 or frames[0] != self._client or not frames[1].isdigit():
            return Started(0)  # of a map that was given up
        key = int(frames[1])
        if frames[2] == _STARTED:
            return Started(key)
        return Came(key, Answer(*self._encoder.decode(unseal(None, b"", frames[3]))))

    def close(self) -> None:
        self._channels.close()
