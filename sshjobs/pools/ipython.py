"""The pool interface on the engines of ipyparallel, which need nothing of ours but cloudpickle."""

from __future__ import annotations

import contextlib
import queue
from pathlib import Path
from typing import Any

import ipyparallel

from sshjobs.pools.base import BasePool, Came, Session, Started
from sshjobs.pools.chunks import ANSWER_S, FAILED, Answer, PoolError, portable
from sshjobs.pools.config import find_config, read_ini

__all__ = ["ClusterPool", "MakePool"]

#: Seconds until a chunk that could not be handed to any engine is tried again.
AGAIN_S = 0.1


class ClusterPool(BasePool):
    """Client of the engines of a controller.

    :param client: one that is there already; ``None``: as the configuration says
    :param profile: of IPython, in the place of a configuration
    :param config_file: read after those that the environment names
    :raises ConfigException: there is no configuration, or it cannot be used
    :raises PoolError: the controller does not answer
    """

    def __init__(self, client: ipyparallel.Client | None = None, *, profile: str | None = None,
                 config_file: str | Path | None = None):
        self._made: ipyparallel.Client | None = None
        if client is not None:
            self._client = client
            return
        options: dict[str, Any] = {"profile": profile}
        if profile is None:
            settings = read_ini(find_config("ipython", config_file))
            self._configure(settings)
            file = settings.path("client", "connection_file")
            options = {"connection_info": str(file)} if file is not None else {
                "profile": settings.text("client", "profile")}
        try:
            self._client = self._made = ipyparallel.Client(**options, timeout=ANSWER_S)
        except (OSError, TimeoutError, ValueError, KeyError, ipyparallel.error.IPythonError) as error:
            raise PoolError("ipyparallel's controller does not answer", where=", ".join(map(str, options.values())),
                            why=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300],
                            hint=f"nothing came in {ANSWER_S:g} s; is it launched, and is this its file?") from error

    def close(self) -> None:
        if self._made is not None:
            self._made.close()

    def _session(self) -> Session:
        if not self._client.ids:
            raise PoolError("no engine is registered", hint=self._no_worker())
        return _Session(self._client)

    def _no_worker(self) -> str:
        return "see whether an engine is there: sshjobs cluster -t ipython PingWorkers"


MakePool = ClusterPool._make


class _Session(Session):
    def __init__(self, client: ipyparallel.Client):
        self._client, self._run = client, portable()
        self._results: dict[int, Any] = {}
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        #: By key: what no engine could take yet.
        self._unsent: dict[int, tuple[bytes, list[Any], list[str]]] = {}

    def send(self, key: int, function: bytes, items: list[Any], avoid: list[str]) -> None:
        self._unsent[key] = (function, items, avoid)
        self._send(key)

    def _send(self, key: int) -> None:
        function, items, avoid = self._unsent[key]
        others = [engine for engine in self._client.ids if str(engine) not in avoid]
        try:
            result = self._client.load_balanced_view(targets=others or None).apply_async(self._run, function, items)
        except (LookupError, ipyparallel.error.NoEnginesRegistered):
            return  # an engine went while it was looked up, which the client hears in a thread of its own
        del self._unsent[key]
        self._results[key] = result
        result.add_done_callback(lambda _: self._done.put(key))

    def receive(self, timeout: float) -> Started | Came | None:
        for unsent in list(self._unsent):
            self._send(unsent)
        try:
            key = self._done.get(timeout=min(timeout, AGAIN_S) if self._unsent else timeout)
        except queue.Empty:
            return None
        result = self._results.pop(key, None)
        if result is None:
            return Started(0)  # it was given up
        try:
            return Came(key, Answer(*result.get(0)))
        except (ipyparallel.error.IPythonError, TimeoutError, OSError) as error:
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            return Came(key, Answer(FAILED, why, str(result.engine_id)))

    def forget(self, key: int) -> str:
        self._unsent.pop(key, None)
        result = self._results.pop(key, None)
        if result is None:
            return ""
        engine = result.engine_id
        # One that has begun, or is over by now, cannot be taken back. Nobody may be there to answer, so nobody waits.
        with contextlib.suppress(ipyparallel.error.IPythonError, RuntimeError, OSError):
            self._client.abort(result.msg_ids, block=False)
        return "" if engine is None else str(engine)

    def close(self) -> None:
        for key in list(self._results):
            self.forget(key)
