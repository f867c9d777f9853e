"""Sends changes to any number of browsers as they happen (server-sent events).

A browser gets the whole state of the run when it connects or was away, then what changed, each with a version. Nothing
is queued: a browser that reads slowly gets the newest state when it is ready.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from sshjobs.errors import SshjobsError, printable
from sshjobs.web import models
from sshjobs.web.sources import Sources
from sshjobs.web.together import overview

_LOG = logging.getLogger(__name__)

#: How often, in seconds, a run is looked at for all browsers together.
TICK = 1.0
#: After how many seconds without a change something is sent, so that a dead connection is noticed.
HEARTBEAT = 15.0


class Hub:
    """The newest state of one run, described once for all browsers that watch it.

    :ivar version: goes up with each change
    """

    def __init__(self) -> None:
        self.version = 0
        #: Set by the next change and then replaced by a new one. A lock would not do: those who wait may be cancelled
        #: at any moment, and several times.
        self.changed = asyncio.Event()
        self.watchers = 0
        self.task: asyncio.Task[None] | None = None
        #: The run without its hosts, as JSON.
        self._head = "{}"
        #: For each host: the version that last changed its row, and the row as JSON.
        self._rows: dict[str, tuple[int, str]] = {}
        #: The hosts of these rows; the texts for the newest version, by the version that a browser had before.
        self._hosts: list[models.HostInfo] = []
        self._told: dict[int, str] = {}
        #: The version that last added or removed a host.
        self._names_changed = 0

    def take(self, overview: models.Overview) -> None:
        """Store a new state; wake those who wait if anything has changed."""
        head = overview.model_dump_json(exclude={"hosts"})
        if head == self._head and overview.hosts is self._hosts:
            return
        self._hosts = overview.hosts
        rows = {host.name: host.model_dump_json() for host in overview.hosts}
        same = {name for name, text in rows.items() if name in self._rows and self._rows[name][1] == text}
        if head == self._head and len(same) == len(rows) == len(self._rows):
            return
        self.version += 1
        if rows.keys() != self._rows.keys():
            self._names_changed = self.version
        self._head, self._told = head, {}
        self._rows = {name: self._rows[name] if name in same else (self.version, text)
                      for name, text in rows.items()}
        self.wake()

    def wake(self) -> None:
        """Wake all who wait."""
        self.changed.set()
        self.changed = asyncio.Event()

    def since(self, version: int) -> str:
        """Return what changed after a version, as the data of one event; everything where the version is unknown. The
        text is made once for each version."""
        if version not in self._told:
            self._told[version] = self._changed_since(version)
        return self._told[version]

    def _changed_since(self, version: int) -> str:
        whole = not 0 < version <= self.version
        rows = ",".join(text for at, text in self._rows.values() if whole or at > version)
        names = json.dumps(list(self._rows) if whole or self._names_changed > version else None)
        return (f'{{"whole":{json.dumps(whole)},"version":{self.version},"head":{self._head},"names":{names},'
                f'"rows":[{rows}]}}')


class Events:
    """Serves the stream of events."""

    def __init__(self, sources: Sources):
        self._sources = sources
        #: By run; ``None`` is all of them as one.
        self._hubs: dict[str | None, Hub] = {}
        self.closing = asyncio.Event()
        self._epoch = secrets.token_hex(8)

    async def stream(self, request: Request, query: models.EventsAsked | models.EventsOfAll,
                     body: None) -> StreamingResponse:
        """Send events of a run, or of all runs under way as one, until the browser or this server ends the stream."""
        run = query.run if isinstance(query, models.EventsAsked) else None
        if run is not None:
            await self._sources.watch(run)
        # A restarted server counts versions from the start: the part before the dot says which server counted.
        epoch, _, last = request.headers.get("last-event-id", "").partition(".")
        version = int(last) if epoch == self._epoch and last.isascii() and last.isdigit() and len(last) < 12 else 0
        return StreamingResponse(self._events(run, query.every, version), media_type="text/event-stream")

    async def _events(self, run: str | None, every: float, version: int) -> AsyncIterator[str]:
        hub = self._hubs.setdefault(run, Hub())
        hub.watchers += 1
        if hub.task is None or hub.task.done():
            hub.task = asyncio.create_task(self._look(run, hub))
        try:
            yield "retry: 2000\n\n"
            while not self.closing.is_set():
                if hub.version > version:
                    text, version = hub.since(version), hub.version
                    yield f"id: {self._epoch}.{version}\ndata: {text}\n\n"
                    await self._pause(every)
                elif hub.task.done():
                    # Looking at the run failed: the browser connects again, and is told why if it still fails.
                    return
                elif not await self._wait(hub):
                    yield ": here\n\n"
        finally:
            hub.watchers -= 1

    async def _wait(self, hub: Hub) -> bool:
        """Wait for a change, but not too long; tell whether there was one."""
        try:
            await asyncio.wait_for(hub.changed.wait(), HEARTBEAT)
        except asyncio.TimeoutError:
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.closing.wait(), seconds)
        except asyncio.TimeoutError:
            pass

    async def _look(self, run: str | None, hub: Hub) -> None:
        """Look at a run for as long as a browser watches it."""
        try:
            while hub.watchers and not self.closing.is_set():
                try:
                    hub.take(await (overview(self._sources) if run is None else
                                    (await self._sources.watch(run)).overview()))
                except SshjobsError:
                    # For example, the store is being moved: the pages ask again and are told why.
                    pass
                await self._pause(TICK)
        except Exception as error:  # noqa: BLE001  (an error of ours must not leave browsers waiting)
            _LOG.error("%s: %s: %s; please report it", run or "all runs", type(error).__name__, printable(error))
        finally:
            asyncio.get_running_loop().call_soon(hub.wake)

    async def close(self) -> None:
        """End all streams."""
        self.closing.set()
        for hub in self._hubs.values():
            hub.wake()
