"""Engine clusters of ZeroMQ: brokers of our own, and workers that need nothing but pyzmq."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import zmq

from sshjobs.cluster.engine import Engine, WorkerOptions, whole_number
from sshjobs.cluster.forwarding import FORWARDER, STREAMER, Forwarding
from sshjobs.cluster.launching import own_argv
from sshjobs.cluster.signals import until_signalled
from sshjobs.errors import EXIT_OK
from sshjobs.pools.channels import Channels
from sshjobs.pools.commands import Commander
from sshjobs.pools.config import INI_NAME, Endpoint
from sshjobs.pools.facts import WorkerFacts
from sshjobs.pools.keys import KEY_NAME, Key, write_private
from sshjobs.pools.zmq import MakePool, RunWorker

__all__ = ["ENGINE", "MakePool", "RunMain", "Zmq"]

_BROKERS = {"request": STREAMER, "result": STREAMER, "command": FORWARDER, "command_response": FORWARDER}
#: The sections of the configuration for those who read from a channel, and for those who write to it.
READER, WRITER = "READER", "WRITER"
#: How many seconds FlushCluster waits for a further message.
FLUSH_S = 1.0


class Zmq(Engine):
    """Commands of ``sshjobs cluster -t zmq``."""

    kind = "zmq"
    libraries = {"zmq": "pyzmq", "cloudpickle": "cloudpickle"}
    commands = {"LaunchBrokers": "launch_broker", "LaunchBroker": "launch_broker", "FlushCluster": "flush_cluster"}
    hidden = {"Work": "work"}
    ports = 2 * len(_BROKERS)

    def launch_broker(self) -> int:
        """``LaunchBrokers``: hand out requests, results, commands and what workers say, until a signal ends it."""
        self._check_arguments(0)
        with until_signalled() as ended, Forwarding(self.broker_key("BROKER")) as forwarding:
            for name, kind in _BROKERS.items():
                forwarding.add(self.settings, "BROKER", name, kind)
            self.say(f"the brokers listen, for requests at {self.settings.url('BROKER', 'request_frontend_url')}")
            ended.wait()
        return EXIT_OK

    def worker_argv(self, arguments: Sequence[str]) -> list[str]:
        self._check_arguments(1)
        for number in arguments:
            whole_number(number, "processes")
        return own_argv(self.kind, [*self.config_words(), "Work", *arguments])

    def work(self) -> int:
        """Run one worker, without a supervisor that starts it again."""
        number = self.call.arguments
        where = self.settings.url(READER, "request_url")
        return RunWorker(self.settings, int(number[0]) if number else None,
                         registered=partial(self.say, f"Registered for requests of {where}"))

    @classmethod
    def lay_out(cls, directory: Path, address: str, ports: Sequence[int]) -> list[str]:
        host = f"[{address}]" if ":" in address else address
        ends = iter(f"tcp://{host}:{port}" for port in ports)
        brokers = {f"{name}_{side}_url": next(ends) for name in _BROKERS for side in ("frontend", "backend")}
        # Writers connect to the frontend of a channel, readers to its backend.
        sides = {section: [f"{name}_url = {brokers[f'{name}_{side}_url']}" for name in _BROKERS]
                 for section, side in ((WRITER, "frontend"), (READER, "backend"))}
        lines = ["[DEFAULT]", f"key_file = {KEY_NAME}", "", "[BROKER]",
                 *(f"{key} = {url}" for key, url in brokers.items())]
        for section, urls in sides.items():
            lines += ["", f"[{section}]", *urls]
        write_private(directory / INI_NAME, "\n".join([*lines, ""]).encode())
        Key.make(directory / KEY_NAME)
        return [INI_NAME, KEY_NAME]

    @classmethod
    def worker_words(cls, options: WorkerOptions) -> list[str]:
        return [str(options.threads)]

    def address(self) -> str:
        return self.settings.url(WRITER, "request_url")

    def connect(self) -> Any:
        return MakePool(self.call.config_file)

    def commander(self) -> Commander:
        """Return the commander that talks to the workers.

        :raises BrokerError: the broker does not answer, or the key does not fit
        """
        return Commander(self.settings.endpoint(WRITER, "command"), self.settings.endpoint(READER, "command_response"),
                         self.settings.cluster_key("DEFAULT"))

    def ask_workers(self, wait: float, enough: Callable[[Collection[WorkerFacts]], bool] | None = None
                    ) -> list[WorkerFacts]:
        with self.commander() as commander:
            return commander.ping(wait, enough)

    def tell_workers(self, do: str, workers: Collection[WorkerFacts]) -> Collection[str]:
        with self.commander() as commander:
            return commander.tell(do, [facts.worker for facts in workers])

    def flush_cluster(self) -> int:
        """``FlushCluster``: take away all requests and results that wait, and say how many there were."""
        self._check_arguments(0)
        with Channels(self.settings.cluster_key("DEFAULT")) as channels:
            # Checked at its other end: a socket that connects here could be given a message.
            channels.check(zmq.PUSH, self.settings.endpoint(WRITER, "request"))
            counts = {name: _drain(channels, self.settings.endpoint(READER, name)) for name in ("request", "result")}
        print(f"{counts['request']} requests and {counts['result']} messages of results drained")
        return EXIT_OK


def _drain(channels: Channels, end: Endpoint) -> int:
    socket = channels.open(zmq.PULL, end)
    number, deadline = 0, time.monotonic() + FLUSH_S
    while (left := deadline - time.monotonic()) > 0:
        if socket.poll(int(left * 1000) + 1):
            socket.recv_multipart()
            number, deadline = number + 1, time.monotonic() + FLUSH_S
    return number


ENGINE = Zmq
RunMain = Zmq.run_main
