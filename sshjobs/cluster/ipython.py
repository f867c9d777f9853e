"""Engine clusters of ipython: ipyparallel's controller and engines, which sign messages with their own key."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sshjobs.cluster.engine import Engine, WorkerOptions
from sshjobs.cluster.enginefacts import leave_soon, of_engine
from sshjobs.cluster.launching import engine_env
from sshjobs.cluster.signals import until_signalled
from sshjobs.cluster.supervisor import RESTART_STATUS
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, UsageError
from sshjobs.pools.chunks import ANSWER_S, BrokerError
from sshjobs.pools.config import FILES_FROM, INI_NAME, ConfigException
from sshjobs.pools.facts import COMMAND_RESTART, WorkerFacts
from sshjobs.pools.ipython import MakePool
from sshjobs.pools.keys import check_private, write_private

__all__ = ["ENGINE", "IPython", "MakePool", "RunMain"]

#: ipyparallel's names of the files by which clients and engines find the controller.
CLIENT_FILE, ENGINE_FILE = "ipcontroller-client.json", "ipcontroller-engine.json"
#: Ports by which the controller listens to engines and to clients; ``broadcast`` takes two more for engines.
_ENGINE_PORTS = ("control", "mux", "task", "iopub", "hb_ping", "hb_pong")
_CLIENT_PORTS = ("control", "mux", "task", "iopub", "notification", "broadcast")
_LOOK_S = 0.5
_PAUSE_S = 0.2


class IPython(Engine):
    """Commands of ``sshjobs cluster -t ipython``."""

    kind = "ipython"
    libraries = {"ipyparallel": "ipyparallel", "cloudpickle": "cloudpickle"}
    commands = {"LaunchBroker": "launch_broker"}
    ports = 1 + len(_ENGINE_PORTS) + 2 + len(_CLIENT_PORTS)

    def launch_broker(self) -> int:
        """``LaunchBroker [OPTIONS]``: run ipyparallel's controller, with its options."""
        with tempfile.TemporaryDirectory(prefix="sshjobs-ipython-") as place, until_signalled() as ended:
            argv = [sys.executable, "-m", "ipyparallel.controller", "--reuse", *self._place(Path(place)),
                    *self.call.arguments]
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=engine_env()) as controller:
                while controller.poll() is None and not ended.wait(_LOOK_S):
                    pass
                if controller.poll() is None:
                    controller.terminate()
        if ended.is_set():
            return EXIT_OK
        self.say(f"the controller has ended, exit status {controller.returncode}")
        return EXIT_JOBS_FAILED

    def _place(self, place: Path) -> list[str]:
        """Return the options by which the controller finds the connection files."""
        client = self._client_file()
        if client is None:
            return ["--ip=127.0.0.1", *([f"--profile={self.call.profile}"] if self.call.profile else [])]
        engine = client.with_name(ENGINE_FILE)
        if not client.exists() and not engine.exists():
            from ipyparallel.util import select_random_ports

            write_connections(client, engine, "127.0.0.1", select_random_ports(self.ports))
        (place / "security").mkdir(mode=0o700)
        for file, name in ((client, CLIENT_FILE), (engine, ENGINE_FILE)):
            check_private(file)
            shutil.copy2(file, place / "security" / name)
        return [f"--profile-dir={place}"]

    def worker_argv(self, arguments: Sequence[str]) -> list[str]:
        client = self._client_file()
        where = [f"--file={client.with_name(ENGINE_FILE)}"] if client is not None else (
            [f"--profile={self.call.profile}"] if self.call.profile else [])
        return [sys.executable, "-m", "sshjobs.cluster.ipengine", f"--timeout={ANSWER_S:g}", *where, *arguments]

    @classmethod
    def lay_out(cls, directory: Path, address: str, ports: Sequence[int]) -> list[str]:
        write_connections(directory / CLIENT_FILE, directory / ENGINE_FILE, address, ports)
        write_private(directory / INI_NAME, f"[client]\nconnection_file = {CLIENT_FILE}\n".encode())
        return [INI_NAME, CLIENT_FILE, ENGINE_FILE]

    @classmethod
    def worker_words(cls, options: WorkerOptions) -> list[str]:
        return []

    def address(self) -> str:
        client = self._client_file()
        if client is None:
            return f"profile {self.call.profile or 'default'}"
        told = json.loads(client.read_text())
        return f"{told['interface']}:{told['registration']}"

    def connect(self) -> Any:
        from ipyparallel import Client
        from ipyparallel.error import TimeoutError as Silent

        file = self._client_file()
        try:
            if file is not None:
                check_private(file)
            # ipyparallel reports on standard output what it waits for.
            with contextlib.redirect_stdout(io.StringIO()):
                return Client(None if file is None else str(file), timeout=ANSWER_S, profile=self.call.profile)
        except (OSError, Silent):
            raise BrokerError("the controller does not answer", where=self.address(), refused=False,
                              hint=f"nothing came in {ANSWER_S:g} s; is it launched, and is this its connection file?"
                              ) from None

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        client = self.connect()
        try:
            yield client
        finally:
            client.close()

    def ask_workers(self, wait: float, enough: Callable[[Collection[WorkerFacts]], bool] | None = None
                    ) -> list[WorkerFacts]:
        deadline = time.monotonic() + wait
        with self._client() as client:
            asked: dict[int, Any] = {}
            while True:
                # Engines that register meanwhile are asked too; a busy one answers when it has finished.
                # The list of engines is read once per round: the client changes it in a thread of its own.
                there = list(client.ids)
                asked.update(_asked(client, [number for number in there if number not in asked], of_engine))
                client.wait([asked[number] for number in there if number in asked], timeout=_PAUSE_S)
                found = _answers(client, asked)
                done = 0 < len(found) == len(there) if enough is None else enough(found)
                if done or time.monotonic() >= deadline:
                    return sorted(found, key=lambda facts: (facts.host, facts.pid))
                time.sleep(_PAUSE_S / 4)

    def tell_workers(self, do: str, workers: Collection[WorkerFacts]) -> Collection[str]:
        status = RESTART_STATUS if do == COMMAND_RESTART else EXIT_OK
        with self._client() as client:
            targets = [number for number in client.ids if str(number) in {facts.worker for facts in workers}]
            # ipyparallel cannot restart engines, and an engine that it shuts down fails: so engines end themselves.
            told = _asked(client, targets, leave_soon, status)
            client.wait(list(told.values()), timeout=ANSWER_S)
            return [str(number) for number, answer in told.items() if answer.ready() and answer.successful()]

    def _client_file(self) -> Path | None:
        """Return the file by which clients find the controller; ``None`` where an IPython profile says it."""
        import os

        given = self.call.config_file or self.call.name or any(os.environ.get(name) for name in FILES_FROM)
        if self.call.profile is not None and not given:
            return None
        try:
            file = self.settings.path("client", "connection_file")
        except ConfigException as error:
            if given or error.file is not None:
                raise
            return None
        if file is None:
            raise UsageError("[client] has no connection_file", where=self.settings.files[-1], hint="add it")
        return file


ENGINE = IPython
RunMain = IPython.run_main


def _asked(client: Any, numbers: Collection[int], function: Callable[..., Any], *arguments: Any) -> dict[int, Any]:
    """Have engines call a function; return their future answers. An engine that leaves just now is left out: the client
    learns of it in a thread of its own."""
    from ipyparallel.error import NoEnginesRegistered

    asked = {}
    for number in numbers:
        with contextlib.suppress(LookupError, NoEnginesRegistered):
            asked[number] = client[number].apply_async(function, *arguments)
    return asked


def _answers(client: Any, asked: Mapping[int, Any]) -> list[WorkerFacts]:
    from ipyparallel.error import IPythonError

    done = {number: answer for number, answer in asked.items() if answer.ready() and answer.successful()
            and number in client.ids}
    try:
        counts = client.queue_status(list(done)) if done else {}
    except (LookupError, IPythonError):
        return []  # an engine has left just now: the next round is without it
    told = ({**answer.get(), "worker": str(number), "requests": counts.get(number, {}).get("completed", 0)}
            for number, answer in done.items())
    return [facts for one in told if (facts := WorkerFacts.from_message(one)) is not None]


def write_connections(client: Path, engine: Path, address: str, ports: Sequence[int]) -> None:
    """Write the files by which clients and engines find a controller, with a new key, before the controller runs.

    :raises OSError: a file cannot be written, or is there already
    """
    left = iter(ports)
    shared = {"ssh": "", "interface": f"tcp://{address}", "location": address, "registration": next(left),
              "key": secrets.token_hex(32), "pack": "json", "unpack": "json", "signature_scheme": "hmac-sha256",
              "curve_serverkey": None}
    of_engines = {name: next(left) for name in _ENGINE_PORTS} | {"broadcast": [next(left), next(left)]}
    of_clients = {name: next(left) for name in _CLIENT_PORTS} | {"task_scheme": "leastload"}
    write_private(client, json.dumps({**shared, **of_clients}).encode())
    write_private(engine, json.dumps({**shared, **of_engines}).encode())
