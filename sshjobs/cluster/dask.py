"""Engine clusters of dask: dask's scheduler and workers, which use TLS with a shared certificate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sshjobs.cluster import daskfacts
from sshjobs.cluster.certificates import make_certificate
from sshjobs.cluster.engine import PING_S, Engine, WorkerOptions
from sshjobs.cluster.launching import engine_env
from sshjobs.cluster.supervisor import RESTART_STATUS
from sshjobs.errors import SshjobsError, UsageError
from sshjobs.pools.chunks import ANSWER_S
from sshjobs.pools.config import FILES_FROM, INI_NAME, ConfigException, Settings, is_local
from sshjobs.pools.dask import MakePool, connect
from sshjobs.pools.facts import COMMAND_RESTART, WorkerFacts
from sshjobs.pools.keys import write_private

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["ENGINE", "Dask", "MakePool", "RunMain"]

#: Where a scheduler without a configuration listens: dask's port, reachable from this machine only.
DEFAULT_URL = "tcp://127.0.0.1:8786"
#: The file of the key that ``up`` makes.
KEY_NAME = "dask.pem"
#: For how many seconds a worker tries to reach its scheduler before it fails.
DEATH_TIMEOUT_S = 60
_PAUSE_S = 0.1
_WORKER_CLASS = "sshjobs.cluster.daskworker.SupervisedWorker"
#: Options of ``dask worker`` that say where it listens.
_SAYS_WHERE = ("--host", "--interface", "--listen-address")


class Dask(Engine):
    """Commands of ``sshjobs cluster -t dask``."""

    kind = "dask"
    libraries = {"distributed": "distributed"}
    commands = {"LaunchScheduler": "launch_broker"}
    broker_command = "LaunchScheduler"

    def launch_broker(self) -> int:
        """``LaunchScheduler [OPTIONS]``: become dask's scheduler, with its options."""
        settings = self._settings(recorded=False)
        file = None if settings is None else settings.path("client", "key_file")
        if file is not None:
            with contextlib.suppress(FileExistsError):
                make_certificate(file)
        protocol, host, port = _parts(self._url(settings))
        self.say(f"Start scheduler at {host}:{port}")
        return _become("distributed.cli.dask_scheduler", "--host", host, "--port", port, "--protocol", protocol,
                       "--dashboard-address", "127.0.0.1:0", *self._tls(settings), *self.call.arguments)

    def worker_argv(self, arguments: Sequence[str]) -> list[str]:
        given = [] if not arguments or arguments[0].startswith("-") else [arguments[0]]
        settings = self._settings(recorded=not given)
        url = self._url(settings, *given)
        of_job = ["--name", os.environ["SSHJOBS_JOB"], "--local-directory", os.getcwd()] if (
            "SSHJOBS_JOB" in os.environ) else []
        # Without this option it would listen on every address of this machine.
        here = [] if any(word.partition("=")[0] in _SAYS_WHERE for word in arguments) else ["--host", _address_to(url)]
        return [sys.executable, "-m", "distributed.cli.dask_worker", url, "--dashboard-address", "127.0.0.1:0",
                "--death-timeout", str(DEATH_TIMEOUT_S), "--worker-class", _WORKER_CLASS, *here, *of_job,
                *self._tls(settings), *arguments[len(given):]]

    @classmethod
    def lay_out(cls, directory: Path, address: str, ports: Sequence[int]) -> list[str]:
        host = f"[{address}]" if ":" in address else address
        text = f"[client]\nscheduler_url = tls://{host}:{ports[0]}\nkey_file = {KEY_NAME}\n"
        write_private(directory / INI_NAME, text.encode())
        make_certificate(directory / KEY_NAME)
        return [INI_NAME, KEY_NAME]

    @classmethod
    def worker_words(cls, options: WorkerOptions) -> list[str]:
        memory = [] if options.memory_limit is None else ["--memory-limit", options.memory_limit]
        host = [] if options.address is None else ["--host", options.address]
        return ["--nthreads", str(options.threads), *memory, *host]

    @classmethod
    def check_memory_limit(cls, limit: str) -> None:
        from dask.utils import parse_bytes

        try:
            fits = limit == "auto" or parse_bytes(limit) >= 0
        except (ValueError, OverflowError):
            fits = False
        if not fits:
            raise UsageError(f"dask cannot limit memory to {limit!r:.80}", hint="write 4GB, 0.5 or auto")

    def address(self) -> str:
        return self._url(self._settings(recorded=True))

    def connect(self) -> Client:
        # We report in one line what its logger would say. Patch versions that differ do not matter to commands.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", "Mismatched versions found")
        settings = self._settings(recorded=True)
        return connect(self.address(), None if settings is None else settings.key_file("client"))

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """Yield a client of the scheduler.

        :raises BrokerError: the scheduler does not answer, or the key does not fit
        """
        made = self.connect()
        try:
            yield made
        finally:
            made.close()

    def ask_workers(self, wait: float, enough: Callable[[Collection[WorkerFacts]], bool] | None = None
                    ) -> list[WorkerFacts]:
        deadline, pause = time.monotonic() + wait, PING_S
        with self.client() as client:
            while True:
                # The scheduler knows all workers, so only one that hangs uses up the wait. While workers come and go it
                # knows some that have gone, and soon others: those are asked again before all of the wait is over.
                left = max(deadline - time.monotonic(), ANSWER_S)
                patience, pause = left if enough is None else min(pause, left), 2 * pause
                answers = client.sync(_ask_each, client, daskfacts.facts_of, patience)
                found = [facts for one in answers.values() if (facts := WorkerFacts.from_message(one)) is not None]
                if (found if enough is None else enough(found)) or time.monotonic() >= deadline:
                    return sorted(found, key=lambda facts: (facts.host, facts.pid))
                time.sleep(_PAUSE_S)

    def tell_workers(self, do: str, workers: Collection[WorkerFacts]) -> Collection[str]:
        addresses = [facts.worker for facts in workers]
        with self.client() as client:
            if do == COMMAND_RESTART:
                # dask's own command fails where a worker has no nanny, or leaves meanwhile.
                return list(client.sync(_ask_each, client, daskfacts.leave_soon, ANSWER_S, addresses, RESTART_STATUS))
            return list(client.retire_workers(addresses, close_workers=True))

    def _settings(self, *, recorded: bool) -> Settings | None:
        """Return the configuration; ``None`` where there is none, as dask's own defaults need none.

        :param recorded: also look for the cluster that ``up`` brought up last
        """
        given = self.call.config_file or self.call.name or any(os.environ.get(name) for name in FILES_FROM)
        if not given and not recorded:
            return None
        try:
            return self.settings
        except ConfigException as error:
            if given or error.file is not None:
                raise
            return None

    def _url(self, settings: Settings | None, given: str | None = None) -> str:
        """Return the scheduler's address.

        :raises UsageError: it is no address, or it belongs to another machine and there is no key
        """
        url = given or (DEFAULT_URL if settings is None else settings.text("client", "scheduler_url"))
        key = None if settings is None else settings.path("client", "key_file")
        if "://" not in url:
            url = f"{'tcp' if key is None else 'tls'}://{url}"
        protocol, host, port = _parts(url)
        if protocol not in ("tcp", "tls") or not host or not port.isdigit():
            raise UsageError(f"'{url:.80}' is no address of a scheduler", hint="write HOST:PORT")
        if settings is not None:
            settings.check_listening("client", "scheduler_url", url)
        if not is_local(url) and (key is None or protocol != "tls"):
            raise UsageError("a scheduler on another machine needs TLS", where=url,
                             hint="name an INI with scheduler_url = tls://HOST:PORT and key_file by -c")
        return url

    @staticmethod
    def _tls(settings: Settings | None) -> list[str]:
        file = None if settings is None else settings.key_file("client")
        return [] if file is None else ["--tls-ca-file", str(file), "--tls-cert", str(file), "--tls-key", str(file)]


ENGINE = Dask
RunMain = Dask.run_main


async def _ask_each(client: Client, question: Callable[..., Any], wait: float, only: Collection[str] | None = None,
                    *arguments: Any) -> dict[str, dict[str, Any]]:
    """Ask every worker separately, so that one that hangs or leaves holds up no other. Return the answers that came in
    time, by the addresses of the workers.

    :param only: the addresses of the workers to ask; ``None`` for all
    """
    from cloudpickle import register_pickle_by_value

    register_pickle_by_value(daskfacts)
    there = (await client.scheduler.identity(n_workers=-1))["workers"]
    asked = [asyncio.ensure_future(client._run(question, *arguments, workers=[address], on_error="ignore"))
             for address in there if only is None or address in only]
    done, late = await asyncio.wait(asked, timeout=wait) if asked else (set(), set())
    for task in late:
        task.cancel()
    return {address: answer for task in done if task.exception() is None for address, answer in task.result().items()
            if isinstance(answer, dict)}


def _parts(url: str) -> tuple[str, str, str]:
    protocol, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    return protocol, host, port


def _address_to(url: str) -> str:
    """Return the address of this machine from which a scheduler is reached.

    :raises UsageError: there is no route to the scheduler
    """
    host, port = _parts(url)[1:]
    if is_local(url):
        return "127.0.0.1"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)  # sends nothing
            return str(probe.getsockname()[0])
    except OSError as error:
        raise UsageError("there is no way to the scheduler", where=url, why=error.strerror) from None


def _become(module: str, *words: str) -> int:
    """Replace this process by a module of the engine. Return only where that is impossible."""
    sys.stderr.flush()
    try:
        os.execve(sys.executable, [sys.executable, "-m", module, *words], engine_env())
    except OSError as error:
        raise SshjobsError("dask cannot be started", why=error.strerror) from None
