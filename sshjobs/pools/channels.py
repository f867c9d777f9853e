"""ZeroMQ sockets between the parties of an engine cluster, encrypted and authenticated by the cluster's key."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from sshjobs.errors import SshjobsError
from sshjobs.pools.chunks import ANSWER_S, BrokerError
from sshjobs.pools.config import Endpoint
from sshjobs.pools.keys import Key

#: How often a silent connection is probed, and after how long a silence it is made again.
_HEARTBEAT_MS, _SILENCE_MS = 5_000, 20_000

_REFUSED = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)


class Channels:
    """The sockets of one party. With a key every socket is encrypted, and peers must have the same key.

    :param key: the cluster's key; ``None`` only where every address belongs to this machine
    """

    def __init__(self, key: Key | None):
        self.key = key
        self.context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None

    def open(self, kind: int, end: Endpoint, *, ahead: int | None = None) -> zmq.Socket[bytes]:
        """Return a socket at an end of a channel. Use it in one thread only. :meth:`close` closes it at the latest.

        :param kind: such as ``zmq.PUSH``
        :param ahead: how many messages may queue in each direction; ``None`` for ZeroMQ's own limit
        :raises SshjobsError: it is to listen at an address and cannot
        """
        with unbroken():
            socket = self.context.socket(kind)
            try:
                self._prepare(socket, end)
                if ahead is not None:
                    socket.set_hwm(ahead)
                if end.bind:
                    socket.bind(end.url)
                else:
                    socket.connect(end.url)
            except zmq.ZMQError as error:
                socket.close(0)
                raise SshjobsError("the channel cannot be opened", where=end.url, why=zmq.strerror(error.errno or 0),
                                   hint="another broker may be at work there" if end.bind else None) from None
        return socket

    def check(self, kind: int, end: Endpoint, what: str = "the broker") -> None:
        """Make sure that an address answers and that the key fits. Never take it for a socket that takes in work
        (``PULL``): a message could be lost to it.

        :raises BrokerError: nobody answers within :data:`ANSWER_S`, or the key does not fit
        """
        if end.bind:
            return
        with unbroken():
            socket = self.context.socket(kind)
            monitor = socket.get_monitor_socket()
        try:
            with unbroken():
                self._prepare(socket, end)
                socket.connect(end.url)
            self._await_handshake(monitor, end.url, what)
        except zmq.ZMQError as error:
            raise SshjobsError(f"{what} cannot be asked", where=end.url, why=str(error)) from None
        finally:
            with unbroken():
                socket.disable_monitor()
                monitor.close(0)
                socket.close(0)

    def _await_handshake(self, monitor: zmq.Socket[bytes], url: str, what: str) -> None:
        deadline, connected = time.monotonic() + ANSWER_S, 0
        while (left := deadline - time.monotonic()) > 0 and monitor.poll(int(left * 1000) + 1):
            event: dict[str, Any] = dict(recv_monitor_message(monitor))
            if event["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                return
            connected += event["event"] == zmq.EVENT_CONNECTED
            # A peer with another key closes the connection; a single disconnect may be chance.
            if event["event"] in _REFUSED or connected > 2:
                break
        if connected:
            raise BrokerError(f"{what} refuses the key", where=url, refused=True,
                              hint="take the key_file of this cluster; without one its broker has none either")
        raise BrokerError(f"{what} does not answer", where=url, refused=False,
                          hint=f"nothing came in {ANSWER_S:g} s; is it launched, and is this its address?")

    def _prepare(self, socket: zmq.Socket[bytes], end: Endpoint) -> None:
        socket.linger = 0
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _SILENCE_MS)
        if "[" in end.url:
            socket.ipv6 = True
        if self.key is None:
            return
        socket.curve_publickey, socket.curve_secretkey = self.key.public.encode(), self.key.secret.encode()
        if not end.bind:
            socket.curve_serverkey = self.key.public.encode()
            return
        if self._authenticator is None:
            self._authenticator = ThreadAuthenticator(self.context)
            self._authenticator.start()
            self._authenticator.configure_curve_callback("*", _OnlyHolders(self.key.public))
        socket.curve_server = True

    def close(self) -> None:
        """Close all sockets and what belongs to them. Messages that were not sent yet are dropped.

        No other thread may be using a socket: see :meth:`end`.
        """
        with unbroken():
            self._stop_authenticator()
            self.context.destroy(0)

    def end(self) -> None:
        """Have every call on a socket in another thread fail, and return when all sockets are closed there."""
        with unbroken():
            self._stop_authenticator()
            self.context.term()

    def _stop_authenticator(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()

    def __enter__(self) -> Channels:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


class _OnlyHolders:
    """Admits peers that have the cluster's key."""

    def __init__(self, public: str):
        self._public = public.encode("ascii")

    def callback(self, domain: str, key: bytes) -> bool:
        """Tell whether a peer with a public key may come in (called by ZeroMQ's authenticator)."""
        return key == self._public


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Put off what signals raise until the block has ended. In other threads than the main one they raise nothing.

    An exception within pyzmq, such as that of Ctrl-C, can leave a socket behind that its context does not know, and
    then the context never ends, nor does the program.
    """
    came: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
        before = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}

    def put_off(number: int, frame: FrameType | None) -> None:
        came.append(number)

    try:
        for number in before:
            signal.signal(number, put_off)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            before[number](number, None)
