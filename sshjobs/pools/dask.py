"""The pool interface on dask's scheduler and workers, which need nothing of ours: chunks travel as code."""

from __future__ import annotations

import queue
import uuid
from pathlib import Path
from typing import Any

from distributed import Client, Future
from distributed.security import Security

from sshjobs.pools.base import BasePool, Came, Session, Started
from sshjobs.pools.chunks import ANSWER_S, FAILED, Answer, BrokerError, portable
from sshjobs.pools.config import find_config, read_ini

__all__ = ["ClusterPool", "MakePool"]


class ClusterPool(BasePool):
    """Client of a dask cluster.

    :param client: one that is there already, or the scheduler's address; ``None``: as the configuration says
    :param config_file: read after those that the environment names
    :raises ConfigException: there is no configuration, or it cannot be used
    :raises BrokerError: the scheduler does not answer, or the key does not fit
    """

    def __init__(self, client: Client | str | None = None, *, config_file: str | Path | None = None):
        self._made: Client | None = None
        if isinstance(client, Client):
            self._client = client
            return
        file = None
        if client is None:
            settings = read_ini(find_config("dask", config_file))
            self._configure(settings)
            client, file = settings.text("client", "scheduler_url"), settings.key_file("client")
        self._client = self._made = connect(client, file)

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _session(self) -> Session:
        return _Session(self._client)

    def _no_worker(self) -> str:
        return "see whether a worker is there: sshjobs cluster -t dask PingWorkers"


MakePool = ClusterPool._make


def connect(url: str, key_file: Path | None) -> Client:
    """Return a client of a scheduler.

    :raises BrokerError: the scheduler does not answer, or the key does not fit
    """
    file = str(key_file)
    security = None if key_file is None else Security(tls_ca_file=file, tls_client_cert=file, tls_client_key=file,
                                                      require_encryption=True)
    try:
        return Client(url, security=security, timeout=ANSWER_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        refused = "TLS" in str(error) or "ssl" in repr(error.__cause__).lower()
        raise BrokerError(f"the scheduler {'refuses the key' if refused else 'does not answer'}", where=url,
                          refused=refused,
                          hint="take the key_file of this cluster" if refused else
                          f"nothing came in {ANSWER_S:g} s; is it launched, and is this its address?") from error


class _Session(Session):
    def __init__(self, client: Client):
        self._client, self._run = client, portable()
        self._name = uuid.uuid4().hex
        self._futures: dict[int, Future] = {}
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._ready: list[Came] = []

    def send(self, key: int, function: bytes, items: list[Any], avoid: list[str]) -> None:
        others = [one for one in self._client.scheduler_info()["workers"] if one not in avoid] if avoid else []
        future = self._client.submit(_pack, self._run, function, items, key=f"sshjobs-{self._name}-{key}", pure=False,
                                     workers=others or None, allow_other_workers=bool(others))
        self._futures[key] = future
        future.add_done_callback(lambda _: self._done.put(key))

    def receive(self, timeout: float) -> Started | Came | None:
        if not self._ready:
            self._gather(timeout)
        return self._ready.pop() if self._ready else None

    def _gather(self, timeout: float) -> None:
        """Fetch all that is there by now at one go."""
        try:
            keys = [self._done.get(timeout=timeout)]
        except queue.Empty:
            return
        while not self._done.empty():
            keys.append(self._done.get())
        ended = {key: self._futures.pop(key) for key in keys if key in self._futures}
        good = {key: future for key, future in ended.items() if future.status == "finished"}
        # As a dict: what was lost with its worker meanwhile, and cannot be had again, is left out of it.
        found = self._client.gather(good, errors="skip")
        self._ready += [Came(key, Answer(*packed)) for key, packed in found.items()]
        for key in ended.keys() - found.keys():
            error = ended[key].exception() if ended[key].status == "error" else None
            self._ready.append(Came(key, Answer(FAILED, f"dask gave it up: {_line(error)}")))

    def forget(self, key: int) -> str:
        future = self._futures.pop(key, None)
        if future is None:
            return ""
        worker = next((address for address, keys in self._client.processing().items() if future.key in keys), "")
        future.cancel(force=True)
        return str(worker)

    def close(self) -> None:
        for future in self._futures.values():
            future.release()


def _pack(run: Any, function: bytes, items: list[Any]) -> tuple[str, Any]:
    answer: tuple[str, Any] = run(function, items)
    return answer


def _line(error: BaseException | None) -> str:
    return "no reason given" if error is None else f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
