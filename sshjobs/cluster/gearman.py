"""Engine clusters of gearman: Debian's gearmand hands out requests, ZeroMQ carries commands and workers' answers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sshjobs.cluster.engine import Engine, WorkerOptions, whole_number
from sshjobs.cluster.forwarding import FORWARDER, Forwarding
from sshjobs.cluster.launching import own_argv
from sshjobs.cluster.signals import until_signalled
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, SshjobsError
from sshjobs.pools.chunks import ANSWER_S, BrokerError
from sshjobs.pools.commands import Commander
from sshjobs.pools.config import INI_NAME, Endpoint
from sshjobs.pools.facts import WorkerFacts
from sshjobs.pools.gearman import MakePool, RunWorker
from sshjobs.pools.keys import KEY_NAME, Key, write_private

__all__ = ["ENGINE", "Gearman", "MakePool", "RunMain"]

#: Where Debian puts gearmand; the directory is rarely on a user's PATH.
_SBIN = "/usr/sbin"
#: How often, in seconds, gearmand is checked: whether it lives, and before that whether it listens.
_LOOK_S, _PAUSE_S = 0.5, 0.05
#: gearmand's options that detect a worker which was cut off within half a minute; others then get its requests.
_KEEPALIVE = ("--keepalive", "--keepalive-idle=10", "--keepalive-interval=5", "--keepalive-count=4")


class Gearman(Engine):
    """Commands of ``sshjobs cluster -t gearman``."""

    kind = "gearman"
    libraries = {"gear": "gear", "zmq": "pyzmq", "cloudpickle": "cloudpickle"}
    commands = {"LaunchBroker": "launch_broker"}
    hidden = {"Work": "work"}
    ports = 5

    def launch_broker(self) -> int:
        """``LaunchBroker``: run gearmand and the forwarders of commands and of what workers say."""
        settings = self.settings
        section = "server" if settings.text("server", "job_server_url", "") else "client"
        host, port = settings.address(section, "job_server_url")
        settings.check_listening(section, "job_server_url", f"{host}:{port}")
        key = self.broker_key("server")
        with until_signalled() as ended, Forwarding(key) as forwarding:
            for name in ("command", "log"):
                forwarding.add(settings, "server", name, FORWARDER)
            with subprocess.Popen([_gearmand(), "--listen", host, "--port", str(port), "--log-file", "stderr",
                                   "--verbose", "ERROR", *_KEEPALIVE], stdin=subprocess.DEVNULL) as server:
                try:
                    while server.poll() is None and not _answers(host, port) and not ended.wait(_PAUSE_S):
                        pass
                    if server.poll() is None and not ended.is_set():
                        self.say(f"gearmand listens at {host}:{port}")
                    while server.poll() is None and not ended.wait(_LOOK_S):
                        pass
                finally:
                    if server.poll() is None:
                        server.terminate()
        if ended.is_set():
            return EXIT_OK
        self.say(f"gearmand has ended, exit status {server.returncode}; is something else at {host}:{port}?")
        return EXIT_JOBS_FAILED

    def worker_argv(self, arguments: Sequence[str]) -> list[str]:
        self._check_arguments(1)
        for number in arguments:
            whole_number(number, "processes")
        return own_argv(self.kind, [*self.config_words(), "Work", *arguments])

    def work(self) -> int:
        """Run one worker, without a supervisor that starts it again."""
        settings, number = self.settings, self.call.arguments
        server = settings.text("client", "job_server_url")
        return RunWorker(server, settings.url("client", "command_backend_url"),
                         settings.url("client", "log_frontend_url"), int(number[0]) if number else None,
                         key=settings.cluster_key("client"),
                         registered=partial(self.say, f"Registered with gearmand at {server}"))

    @classmethod
    def lay_out(cls, directory: Path, address: str, ports: Sequence[int]) -> list[str]:
        host = f"[{address}]" if ":" in address else address
        server, *others = (f"{host}:{port}" for port in ports)
        names = ("command_frontend_url", "command_backend_url", "log_frontend_url", "log_backend_url")
        lines = [f"job_server_url = {server}", f"key_file = {KEY_NAME}",
                 *(f"{name} = tcp://{end}" for name, end in zip(names, others, strict=True))]
        text = "\n".join(["[client]", *lines, "", "[server]", *lines, ""])
        write_private(directory / INI_NAME, text.encode())
        Key.make(directory / KEY_NAME)
        return [INI_NAME, KEY_NAME]

    @classmethod
    def worker_words(cls, options: WorkerOptions) -> list[str]:
        return [str(options.threads)]

    def address(self) -> str:
        return self.settings.text("client", "job_server_url")

    def connect(self) -> Any:
        return MakePool(self.call.config_file)

    def commander(self) -> Commander:
        """Return the commander that talks to the workers.

        :raises BrokerError: the broker does not answer, or the key does not fit
        """
        return Commander(Endpoint(self.settings.url("client", "command_frontend_url")),
                         Endpoint(self.settings.url("client", "log_backend_url")),
                         self.settings.cluster_key("client"))

    def ask_workers(self, wait: float, enough: Callable[[Collection[WorkerFacts]], bool] | None = None
                    ) -> list[WorkerFacts]:
        # Answers to pings come through the forwarders, so they tell nothing about gearmand.
        host, port = self.settings.address("client", "job_server_url")
        with self.commander() as commander:
            if not _answers(host, port):
                raise BrokerError("gearmand does not answer", where=f"{host}:{port}", refused=False,
                                  hint=f"nothing came in {ANSWER_S:g} s; is it launched, and is this its address?")
            return commander.ping(wait, enough)

    def tell_workers(self, do: str, workers: Collection[WorkerFacts]) -> Collection[str]:
        with self.commander() as commander:
            return commander.tell(do, [facts.worker for facts in workers])


ENGINE = Gearman
RunMain = Gearman.run_main


def _answers(host: str, port: int) -> bool:
    """Tell whether a gearmand listens at an address."""
    try:
        with socket.create_connection((host, port), ANSWER_S) as line:
            line.settimeout(ANSWER_S)
            line.sendall(b"version\n")
            return line.recv(3) == b"OK "
    except OSError:
        return False


def _gearmand() -> str:
    found = shutil.which("gearmand") or shutil.which("gearmand", path=_SBIN)
    if found is None:
        raise SshjobsError("gearmand is not installed", where=os.uname().nodename,
                           hint="on Debian: apt-get install gearman-job-server")
    return found
