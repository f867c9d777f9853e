"""RunWatch: one run as pages see it. Its store is read in a thread of its own, so that a long look at a large run
holds up neither the server nor the pages of another run.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sshjobs.model.states import STATE_DONE, STATE_ERROR
from sshjobs.planning.expected import expected_of
from sshjobs.store import RunReader, Summary
from sshjobs.store.index import HostFigures, JobIndex
from sshjobs.store.rows import HostRow
from sshjobs.store.rundir import RunPaths
from sshjobs.web.models import HostInfo, Overview, RunInfo

T = TypeVar("T")

#: Pages of jobs that are read into the index at a time; between two of them others are answered.
PAGES_AT_ONCE = 1
#: Seconds over which the rate of ends is taken.
RATE_WINDOW = 60.0
#: Seconds of it that must have passed.
RATE_AFTER = 2.0
#: Seconds between two forecasts of the end, at least.
EXPECTED_EVERY_S = 5.0


class RunWatch:
    """Follows one run for any number of browsers.

    :param name: what it is called here
    :param paths: where the run is
    """

    def __init__(self, name: str, paths: RunPaths):
        self.name, self.paths = name, paths
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sshjobs-web-{paths.name}")
        self._reader: RunReader | None = None
        #: Which file that is of.
        self._place: tuple[int, int] | None = None
        self.index = JobIndex()
        #: The hosts, and what they are the state of: they are described anew only where anything was committed since.
        self._hosts: list[HostInfo] = []
        self._hosts_at: tuple[int, int, bool] | None = None
        self._ends: deque[tuple[float, int]] = deque(maxlen=600)
        #: When the run is expected to end, half the time and nine times in ten; and when to ask that next.
        self._expected: tuple[float, float] | None = None
        self._expected_due = 0.0
        self._filling: asyncio.Task[None] | None = None
        self.used = time.monotonic()

    async def ask(self, question: Callable[[RunReader, JobIndex], T]) -> T:
        """Return what a question is answered from the run's store and index, which is level with the store where it
        has been so before.

        :raises StoreError: the store cannot be read
        """
        self.used = time.monotonic()
        answer = await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, question)
        if not self.index.complete and (self._filling is None or self._filling.done()):
            filled, self._filling = self._filling, None
            if filled is not None and not filled.cancelled() and (error := filled.exception()) is not None:
                raise error
            self._filling = asyncio.create_task(self._fill())
        return answer

    def _ask(self, question: Callable[[RunReader, JobIndex], T]) -> T:
        reader = self._open()
        if self.index.complete and reader.news():
            self.index.follow(reader)
        return question(reader, self.index)

    def _open(self) -> RunReader:
        """Return the store, open; one that was put in the place of the one before is read from its beginning."""
        try:
            info = os.stat(self.paths.store)
            place = info.st_dev, info.st_ino
        except OSError:
            place = None
        if self._reader is not None and place != self._place:
            self._close()
            self.index = JobIndex()
            self._hosts_at = None
            self._ends.clear()
            self._expected, self._expected_due = None, 0.0
        if self._reader is None:
            self._reader, self._place = RunReader.open(self.paths), place
        return self._reader

    async def _fill(self) -> None:
        """Read the run for the first time, some pages at a time."""
        loop = asyncio.get_running_loop()
        while not await loop.run_in_executor(self._thread, lambda: self.index.follow(self._open(), PAGES_AT_ONCE)):
            pass
        for sort in ("seconds", "host", "state", "name"):
            await loop.run_in_executor(self._thread, self.index.prepare, sort)

    async def overview(self) -> Overview:
        """Return where the run and its hosts stand."""
        return await self.ask(self._overview)

    async def look(self, question: Callable[[RunReader, JobIndex], T]) -> tuple[Overview, T]:
        """Return the same with the answer to a question, both of one moment.

        :raises StoreError: the store cannot be read
        """
        return await self.ask(lambda reader, index: (self._overview(reader, index), question(reader, index)))

    def _overview(self, reader: RunReader, index: JobIndex) -> Overview:
        with reader.snapshot():
            summary = reader.summary()
            moment = summary.commit, index.commit, index.complete
            if moment != self._hosts_at:
                figures = dict(zip(index.hosts, index.figures, strict=True))
                slots = summary.options.get("slots")
                self._hosts = [host_info(row, figures.get(row.host.name), slots) for row in reader.hosts()
                               if not row.host.removed]
                self._hosts_at = moment
        hosts, rate = self._hosts, self._rate(summary)
        half, most = self._expected_left(summary)
        # Without a check of what was checked when it was made; and the same list says that nothing has changed in it.
        return Overview.model_construct(
            run=run_info(self.name, summary, len(hosts)), hosts=hosts, ready=index.complete, rate=rate,
            seconds_left=half, seconds_left_p90=most)

    def _expected_left(self, summary: Summary) -> tuple[float | None, float | None]:
        """Return in how many seconds the run is expected to end. It is asked anew every few seconds, and takes a
        twentieth of the time at most."""
        now = time.monotonic()
        if now >= self._expected_due:
            found = expected_of(self.paths)
            self._expected = None if found is None else (now + found.p50, now + found.p90)
            self._expected_due = now + max(EXPECTED_EVERY_S, 20.0 * (time.monotonic() - now))
        if self._expected is None or not summary.unfinished:
            return None, None
        half, most = self._expected
        return max(0.0, half - now), max(0.0, most - now)

    def _rate(self, summary: Summary) -> float | None:
        """Return how many jobs ended per second of late; ``None`` where nothing is known of it."""
        now, ended = time.monotonic(), summary.counts[STATE_DONE] + summary.counts[STATE_ERROR]
        if summary.state not in ("running", "unattended"):
            return None
        if not self._ends or now - self._ends[-1][0] >= 0.5:
            self._ends.append((now, ended))
        while len(self._ends) > 2 and now - self._ends[0][0] > RATE_WINDOW:
            self._ends.popleft()
        since, before = self._ends[0]
        return max(0, ended - before) / (now - since) if now - since >= RATE_AFTER else None

    async def close(self) -> None:
        """Stop, and close the store."""
        if self._filling is not None:
            self._filling.cancel()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


async def in_thread(act: Callable[[], T]) -> T:
    """Carry out what may wait for a disk or a manager; others are answered meanwhile."""
    return await asyncio.get_running_loop().run_in_executor(None, act)


def run_info(name: str, summary: Summary, hosts: int) -> RunInfo:
    """Return where a run stands, as the API gives it."""
    return RunInfo(name=name, state=summary.state, created=summary.created, total=summary.total, counts=summary.counts,
                   outcomes=summary.outcomes, paused=bool(summary.options.get("paused")), hosts=hosts,
                   version=summary.commit)


def host_info(row: HostRow, figures: HostFigures | None, slots: int | None) -> HostInfo:
    """Return one host, as the API gives it.

    :param slots: how many a host has in this run where nothing is said of this one; ``None`` for its cores
    """
    host, facts, pulse, known = row.host, row.facts or {}, row.pulse or {}, figures or HostFigures()
    gpus, use = facts.get("gpus"), [one for one in pulse.get("gpus", ()) if one is not None]
    cores, memory, free = _whole(facts, "cores"), _whole(facts, "memory"), pulse.get("memory")
    return HostInfo(
        name=host.name, address=_address(row), slots=host.slots or slots or cores, busy=known.busy,
        done=known.done, failed=known.failed, cpu=round(known.cpu, 3), output=known.output,
        seconds_per_job=round(known.seconds / known.ended, 3) if known.ended else None, cores=cores,
        # What is free on the machine may be more than what the host lets us have of it.
        memory=memory, memory_free=free if free is None or memory is None else min(free, memory),
        disk=pulse.get("disk", _whole(facts, "disk")), gpus=len(gpus) if isinstance(gpus, list) else None,
        gpu_use=round(sum(use) / len(use), 1) if use else None, load=pulse.get("load"), sent=pulse.get("sent"),
        received=pulse.get("received"), heard=pulse.get("at", row.since if row.state == "up" else None),
        state=row.state, reason=row.reason, since=row.since, drained=host.drained)


def _whole(facts: Mapping[str, Any], key: str) -> int | None:
    value = facts.get(key)
    return int(value) if isinstance(value, int | float) else None


def _address(row: HostRow) -> str:
    from sshjobs.model.host import login_of

    return "this machine" if row.host.local else login_of(row.host).address
