"""What the workers of gearman and zmq have in common: they answer chunks, and commands in a thread of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, NamedTuple, Protocol

from sshjobs.pools.chunks import AVOIDED, DECLINED, FAILED, UNFIT, Answer, OtherPythonError, PoolError
from sshjobs.pools.commands import CommandListener
from sshjobs.pools.config import Endpoint
from sshjobs.pools.facts import COMMAND_QUIT
from sshjobs.pools.keys import Key
from sshjobs.pools.processes import Processes

#: Exit statuses of a worker after ``quit`` and after ``restart``.
QUIT_STATUS, RESTART_STATUS = 0, -1
#: How often a worker looks whether it is to finish, in seconds.
LOOK_S = 0.2
#: Seconds that the answer to a quit or a restart gets to leave.
_LAST_WORD_S = 0.3


#: A pickled function, the items, and the workers that are to leave them to others.
Request = tuple[bytes, list[Any], list[str]]


class FutureSocket(NamedTuple):
    """How to open a socket of the command or the log channel."""

    end: Endpoint
    key: Key | None = None


class WorkerState(Protocol):
    """What a command changes of a worker."""

    exit_status: int
    finish: bool


class Terminated(BaseException):
    """SIGTERM: the worker is to end at once."""


def CommandHandlerTarget(worker: WorkerState, cmd_future: FutureSocket, log_future: FutureSocket,
                         ping_handler: Callable[[], Mapping[str, float]]) -> None:
    """Handle commands until one is to quit or to restart; then set the worker's ``finish`` and ``exit_status``
    (0 or -1), and return.

    :param ping_handler: returns ``requests`` and ``elapsed`` so far
    :raises BrokerError: the broker does not answer, or the key does not fit
    """
    listener, done = _listener(worker, cmd_future, log_future, ping_handler)
    listener.start()
    done.wait()
    time.sleep(_LAST_WORD_S)
    listener.close()


def _listener(worker: WorkerState, cmd_future: FutureSocket, log_future: FutureSocket,
              ping_handler: Callable[[], Mapping[str, float]]) -> tuple[CommandListener, threading.Event]:
    done = threading.Event()

    def act(do: str) -> None:
        worker.exit_status = QUIT_STATUS if do == COMMAND_QUIT else RESTART_STATUS
        worker.finish = True
        done.set()

    return CommandListener(cmd_future.end, log_future.end, cmd_future.key, ping_handler, act), done


class Stats:
    """What a worker has done: requests, and seconds for them."""

    def __init__(self) -> None:
        self.requests, self.elapsed = 0, 0.0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Count a request."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.requests += 1
            self.elapsed += time.monotonic() - began

    def __call__(self) -> dict[str, float]:
        return {"requests": self.requests, "elapsed": self.elapsed}


class Doer:
    """Answers chunks by the processes of this worker.

    :ivar name: of the worker, for those who are to avoid it
    """

    def __init__(self, processes: Processes):
        self.name, self.stats = f"{socket.getfqdn()}:{os.getpid()}", Stats()
        self._processes = processes

    def check(self, load: Callable[[], Request]) -> Request | Answer:
        """Return what is to be done, or the answer where that is nothing.

        :param load: returns the function, the items and who is to avoid them
        """
        try:
            request = load()
        except OtherPythonError as error:
            return Answer(UNFIT, str(error), self.name)
        except PoolError as error:
            return Answer(FAILED, str(error), self.name)
        return Answer(DECLINED, AVOIDED, self.name) if self.name in request[2] else request

    def carry_out(self, request: Request) -> Answer:
        """Do it, and return the answer."""
        with self.stats.one():
            return Answer(*self._processes.carry_out(request[0], request[1]), self.name)


@contextlib.contextmanager
def commands(worker: WorkerState, command: FutureSocket, log: FutureSocket, stats: Stats) -> Iterator[None]:
    """Answer commands, and end at a SIGTERM with :class:`Terminated`, while the block lasts.

    :raises BrokerError: the broker does not answer, or the key does not fit
    """
    listener, done = _listener(worker, command, log, stats)
    listener.start()
    before: Any = None
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, before)
        if done.is_set():
            time.sleep(_LAST_WORD_S)
        listener.close()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
