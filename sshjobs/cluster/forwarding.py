"""ZeroMQ brokers: each receives messages at one address and hands them out at another."""

from __future__ import annotations

import threading
from types import TracebackType

import zmq

from sshjobs.pools.channels import Channels
from sshjobs.pools.config import Settings
from sshjobs.pools.keys import Key

#: The socket types of frontend and backend: each message to every receiver, or to one of them.
FORWARDER = (zmq.XSUB, zmq.XPUB)
STREAMER = (zmq.PULL, zmq.PUSH)


class Forwarding:
    """Any number of brokers, each in a thread of its own.

    :param key: the key of the cluster; ``None`` where all of it is on this machine
    """

    def __init__(self, key: Key | None):
        self._channels = Channels(key)
        self._threads: list[threading.Thread] = []

    def add(self, settings: Settings, section: str, name: str, kind: tuple[int, int]) -> None:
        """Start forwarding from ``NAME_frontend_url`` to ``NAME_backend_url``. This process listens at both.

        :raises ConfigException: an address is missing, or is no single address
        :raises SshjobsError: an address is in use
        """
        ends = [settings.listening(section, f"{name}_{side}_url") for side in ("frontend", "backend")]
        sockets: list[zmq.Socket[bytes]] = []
        try:
            for one, end in zip(kind, ends, strict=True):
                sockets.append(self._channels.open(one, end))
        except BaseException:
            for socket in sockets:
                socket.close(0)
            raise
        self._threads.append(threading.Thread(target=_forward, args=sockets, name=f"sshjobs-{name}", daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        """Stop forwarding. What was not handed out yet is dropped."""
        self._channels.end()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Forwarding:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


def _forward(frontend: zmq.Socket[bytes], backend: zmq.Socket[bytes]) -> None:
    # This thread closes its sockets itself: where another thread does, ZeroMQ aborts the process.
    with frontend, backend:
        while True:
            try:
                if frontend.type == zmq.PULL:
                    # ZeroMQ's own proxy keeps a core busy for as long as a message has no receiver.
                    backend.send_multipart(frontend.recv_multipart(copy=False), copy=False)
                else:
                    zmq.proxy(frontend, backend)
            except zmq.Again:
                # A peer was killed between announcing a message and sending it: nothing is lost.
                continue
            except zmq.ZMQError:
                # The context was ended, and so the broker ends.
                return
