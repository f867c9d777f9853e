"""BasePool: maps a function over items on the workers of an engine. Each engine adds how a chunk travels.

Chunks are numbered. A chunk is sent up to ``max_retries`` times more when its worker fails, not when its function
raises.
"""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, TypeVar

from sshjobs.pools.chunks import AVOIDED, DECLINED, FAILED, RAISED, UNFIT, VALUES, Answer, PoolError, raise_again
from sshjobs.pools.config import Settings

Pool = TypeVar("Pool", bound="BasePool")

#: After how many seconds a chunk that a worker has declined is sent again, for another worker to take.
DECLINED_PAUSE = 0.05
#: After how many declines the worker that failed a chunk may have it after all: there may be no other worker.
MOST_DECLINED = 20


class Started(NamedTuple):
    """A worker has begun to work on a chunk."""

    key: int


class Came(NamedTuple):
    """A worker has answered."""

    key: int
    answer: Answer


class Session(ABC):
    """One map on an engine.

    :ivar tells_starts: the engine reports :class:`Started`; else the time limit of a chunk counts from the last event
        of any chunk
    """

    tells_starts: ClassVar[bool] = False
    #: A chunk that no worker has begun with may be lost, and is sent again.
    loses_chunks: ClassVar[bool] = False

    @abstractmethod
    def send(self, key: int, function: bytes, items: list[Any], avoid: list[str]) -> None:
        """Send a chunk to a worker.

        :param key: identifies the chunk in what :meth:`receive` returns; never the same twice
        :param function: the pickled function
        :param avoid: workers that are not to take it if there are others
        :raises PoolError: it cannot be sent
        """

    @abstractmethod
    def receive(self, timeout: float) -> Started | Came | None:
        """Return the next event, ``None`` when there was none for so many seconds."""

    def forget(self, key: int) -> str:
        """Stop waiting for a chunk; return the worker that has it, where that is known."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Free what this map has used."""


@dataclass
class _Chunk:
    number: int
    items: list[Any]
    tries: int = 0
    declined: int = 0
    avoid: list[str] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    since: float | None = None


class BasePool(ABC):
    """Maps functions on the workers of an engine. As a context manager it closes itself.

    What a function raises is raised again here, with the traceback there as its cause.
    """

    #: Items that travel together.
    chunksize: int = 8
    #: How often a chunk is sent again whose worker failed, died or took too long.
    max_retries: int = 3
    #: Seconds that a worker gets for a chunk.
    poll_timeout: float = 60.0
    #: How many chunks are under way at a time; items are taken from an iterable only that far ahead.
    window: int = 64

    @abstractmethod
    def __init__(self, *, config_file: str | Path | None = None):
        """Reach an engine as the configuration says.

        :param config_file: read after those that the environment names
        :raises ConfigException: there is no configuration, or it cannot be used
        """

    @classmethod
    def _make(cls: type[Pool], config_file: str | Path | None = None, chunksize: int | None = None) -> Pool:
        """Return a pool on the engine that the configuration names; what is given here wins.

        :raises ConfigException: there is no configuration, or it cannot be used
        """
        pool = cls(config_file=config_file)
        if chunksize is not None:
            pool.chunksize = chunksize
        return pool

    def _configure(self, settings: Settings, section: str = "client") -> None:
        """Set what a configuration says about chunks."""
        self.chunksize = int(settings.number(section, "chunksize", self.chunksize))
        self.poll_timeout = settings.number(section, "poll_timeout", self.poll_timeout)
        self.max_retries = int(settings.number(section, "max_retries", self.max_retries))

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """Return what a function returns for each item, in the order of the items.

        :raises BaseException: what the function raised
        :raises PoolError: the engine cannot be reached, or a chunk failed more than ``max_retries`` times
        """
        return list(self.imap(func, iterable, chunksize))

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any],
             chunksize: int | None = None) -> Iterator[Any]:
        """Yield the same, each as soon as it and all before it are there. Items are taken from ``iterable`` as they
        are needed.

        :raises BaseException: as :meth:`map`, in its place in the order
        """
        return self._results(func, iterable, chunksize, ordered=True)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any],
                       chunksize: int | None = None) -> Iterator[Any]:
        """Yield the same, in the order in which chunks come back.

        :raises BaseException: as :meth:`map`
        """
        return self._results(func, iterable, chunksize, ordered=False)

    def close(self) -> None:  # noqa: B027  (some keep nothing open)
        """End the connection to the engine; workers stay."""

    def __enter__(self) -> BasePool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def _session(self) -> Session:
        """Return a session that carries out one map.

        :raises PoolError: the engine does not answer
        """

    @abstractmethod
    def _no_worker(self) -> str:
        """Return the hint for the user where no worker takes chunks."""

    def _results(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None, *,
                 ordered: bool) -> Iterator[Any]:
        import cloudpickle

        size = self.chunksize if chunksize is None else chunksize
        if size < 1:
            raise PoolError(f"chunksize must be 1 or more, got {size}")
        if not callable(func):
            raise PoolError(f"a map takes a function, got {type(func).__name__}")
        try:
            function = bytes(cloudpickle.dumps(func))
        except Exception as error:
            raise PoolError("the function cannot be sent", why=f"{error}"[:300],
                            hint="leave out what only lives in this process") from error
        items = iter(iterable)
        return _Map(self, function, iter(lambda: list(islice(items, size)), []), ordered).results()


class _Map:
    """A map that is under way."""

    def __init__(self, pool: BasePool, function: bytes, chunks: Iterator[list[Any]], ordered: bool):
        self._pool, self._function, self._chunks, self._ordered = pool, function, chunks, ordered
        self._waiting: dict[int, _Chunk] = {}
        self._by_key: dict[int, _Chunk] = {}
        self._later: deque[tuple[float, _Chunk]] = deque()
        self._came: dict[int, Answer] = {}
        self._keys = count(1)
        self._news = time.monotonic()
        #: Whether any worker has ever answered or begun.
        self._anybody = False

    def results(self) -> Iterator[Any]:
        """Yield the results as they come, or in the order of the items."""
        session = self._pool._session()
        try:
            numbers, due, more = count(), 0, True
            while True:
                while more and len(self._waiting) + len(self._came) < self._pool.window:
                    items = next(self._chunks, None)
                    if items is None:
                        more = False
                        break
                    self._send(session, _Chunk(next(numbers), items))
                ready = [due] if self._ordered and due in self._came else [] if self._ordered else list(self._came)
                for number in ready:
                    due = number + 1
                    answer = self._came.pop(number)
                    if answer.kind == RAISED:
                        raise_again(answer.value)
                    yield from answer.value
                if ready:
                    continue
                if not self._waiting and not more:
                    return
                self._turn(session)
        finally:
            with contextlib.suppress(PoolError):
                for key in list(self._by_key):
                    session.forget(key)
                session.close()

    def _send(self, session: Session, chunk: _Chunk) -> None:
        key = next(self._keys)
        chunk.keys.append(key)
        chunk.since = None
        self._waiting[chunk.number] = self._by_key[key] = chunk
        session.send(key, self._function, chunk.items, chunk.avoid)

    def _turn(self, session: Session) -> None:
        """Wait for the next event and process it."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            chunk = self._later.popleft()[1]
            if chunk.number in self._waiting:
                self._send(session, chunk)
        limit = self._pool.poll_timeout
        due = min([self._news + limit, *(at for at, _ in self._later),
                   *(chunk.since + limit for chunk in self._waiting.values() if chunk.since is not None)])
        event = session.receive(max(0.0, due - now))
        self._anybody |= event is not None
        match event:
            case Started(key):
                self._news = time.monotonic()
                if key in self._by_key and key == self._by_key[key].keys[-1]:
                    self._by_key[key].since = self._news
            case Came(key, answer):
                self._news = time.monotonic()
                chunk_or_none = self._by_key.pop(key, None)
                if chunk_or_none is not None and chunk_or_none.number in self._waiting:
                    self._take(session, key, chunk_or_none, answer)
            case None:
                self._look_at_clock(session)

    def _take(self, session: Session, key: int, chunk: _Chunk, answer: Answer) -> None:
        if answer.kind in (VALUES, RAISED):
            if answer.kind == VALUES and len(answer.value) != len(chunk.items):
                raise PoolError("a worker answered with another number of results than there were items")
            del self._waiting[chunk.number]
            for other in chunk.keys:
                if self._by_key.pop(other, None) is not None:
                    session.forget(other)
            self._came[chunk.number] = answer
        elif answer.kind == DECLINED:
            chunk.declined += answer.value == AVOIDED
            if chunk.declined >= MOST_DECLINED:
                chunk.avoid, chunk.declined = [], 0
            self._later.append((time.monotonic() + DECLINED_PAUSE, chunk))
        elif answer.kind == UNFIT:
            raise PoolError(str(answer.value))
        elif key == chunk.keys[-1]:
            self._retry(session, chunk, str(answer.value), answer.worker)

    def _look_at_clock(self, session: Session) -> None:
        now, limit = time.monotonic(), self._pool.poll_timeout
        silent = now >= self._news + limit
        began = [chunk for chunk in self._waiting.values() if chunk.since is not None]
        late = [chunk for chunk in began if chunk.since is not None and now >= chunk.since + limit]
        if silent and (session.loses_chunks or not session.tells_starts):
            late = list(self._waiting.values())
        elif silent and not began:
            # A worker that was heard of may have been handed these chunks and have been cut off since.
            if not self._anybody:
                raise self._nobody()
            late = list(self._waiting.values())
        for chunk in late:
            worker = session.forget(chunk.keys[-1])
            self._retry(session, chunk, f"it took longer than {limit:g} s", worker)

    def _retry(self, session: Session, chunk: _Chunk, why: str, worker: str) -> None:
        chunk.tries += 1
        if chunk.tries > self._pool.max_retries:
            if not self._anybody:
                raise self._nobody()
            raise PoolError(f"a chunk of {len(chunk.items)} failed {chunk.tries} times", why=f"the last time, {why}")
        if worker and worker not in chunk.avoid:
            chunk.avoid.append(worker)
        self._news = time.monotonic()
        self._send(session, chunk)

    def _nobody(self) -> PoolError:
        return PoolError(f"no worker has taken a chunk for {self._pool.poll_timeout:g} s", hint=self._pool._no_worker())


__all__ = ["DECLINED", "FAILED", "BasePool", "Came", "PoolError", "Session", "Started"]
