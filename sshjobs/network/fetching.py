"""Files of attempts, asked of their hosts beside the agents that may be at work there: each over a stream of its own.

What a host answers passes the checks of a run: types, ranges and sizes, the order of files, a digest of each, how much
it may say that nobody asked for.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import queue
import secrets
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sshjobs.errors import HostError, LocalError, ProtocolError, SshjobsError, printable
from sshjobs.gjob import ship
from sshjobs.model.host import Host
from sshjobs.model.outputs import Brought, Output
from sshjobs.model.states import Outcome
from sshjobs.network.oneshot import nonsense
from sshjobs.network.protocol import link as words
from sshjobs.network.session.allowance import Allowance
from sshjobs.network.session.arrivals import Arrivals
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.session.bringing import AT_ONCE, Bringing
from sshjobs.network.session.dialog import READY_TIMEOUT, too_old
from sshjobs.network.supervise import Threads, start_thread
from sshjobs.network.transport import make_transport
from sshjobs.network.transport.base import Stream, Transport
from sshjobs.network.transport.causes import asked_once, only_in_run
from sshjobs.network.trouble import LocalTrouble

#: Hosts at a time: a stock sshd, or a jump host, turns more logins at once away.
HOSTS_AT_ONCE = 8
#: Times that a host is connected to again after a connection over which something came.
AGAIN = 5
#: Seconds of silence after which a host is asked for a sign of life, and after which the connection is dead.
PING_AFTER_S, DEAD_AFTER_S = 10.0, 60.0
#: Where a host starts that sends files.
_FETCH_MODULE = "verbs.fetch"

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")


class Wish(NamedTuple):
    """Files of an attempt that are to be fetched."""

    attempt: LiveAttempt
    outputs: Sequence[Output]


class Came(NamedTuple):
    """What came of that.

    :ivar brought: which files; ``None`` where they could not be looked for
    :ivar text: what a person should know of them, such as what did not come
    :ivar gone: the directory that it ran in is not there any more
    """

    wish: Wish
    brought: Brought | None
    text: str | None = None
    gone: bool = False


def fetch(wishes: Mapping[Host, Sequence[Wish]], run: tuple[str, str], arrivals: Arrivals, *,
          transport: str | None = None, ssh_config: str | None = None,
          accept_new_host_keys: bool = False) -> Iterator[Came]:
    """Fetch files and yield what came of each attempt, as soon as it is known. Their bytes are with ``arrivals`` then.

    Hosts are asked in a thread of its own, which ends with the iterator.

    :param run: uid and name of the run
    :param transport: as for :class:`sshjobs.network.Network`, and so are the next two
    :raises LocalError: this machine's disk cannot take them; what came is kept, and not fetched again
    :raises UsageError: the transport cannot be had
    """
    remote = make_transport(transport or "openssh", ssh_config=ssh_config, accept_new=accept_new_host_keys)
    local = make_transport("local")
    told: queue.SimpleQueue[Came | BaseException | None] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    ended = threading.Event()

    def work() -> None:
        visits = [_Visit(local if host.local and transport is None else remote, host, run, some, arrivals, told.put)
                  for host, some in wishes.items()]
        try:
            loop.run_until_complete(_all(visits))
            told.put(None)
        finally:
            loop.close()
            ended.set()

    start_thread("sshjobs-fetch", work, told.put)
    try:
        while (came := told.get()) is not None:
            if isinstance(came, BaseException):
                raise came
            yield came
    finally:
        _stop(loop)
        ended.wait()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    """Have all tasks of a loop end, from another thread."""
    def cancel() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
    try:
        loop.call_soon_threadsafe(cancel)
    except RuntimeError:
        # It has ended.
        return


async def _all(visits: Sequence[_Visit]) -> None:
    turns = asyncio.Semaphore(HOSTS_AT_ONCE)

    async def one(visit: _Visit) -> None:
        async with turns:
            await visit.make()

    tasks = [asyncio.ensure_future(one(visit)) for visit in visits]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _AtOnce(LocalTrouble):
    """Waits for nothing: who fetches is there, and can do it again."""

    async def outwait(self, act: Callable[[], Awaitable[_T]], meanwhile: Callable[[], None] = lambda: None) -> _T:
        return await act()


class _Visit:
    """Everything that is fetched from one host.

    :param tell: takes what came of each wish
    """

    def __init__(self, way: Transport, host: Host, run: tuple[str, str], wishes: Sequence[Wish], arrivals: Arrivals,
                 tell: Callable[[Came], None]):
        self._way, self._host, self._run, self._tell = way, host, run, tell
        self._waiting = deque(wishes)
        self._open: dict[str, Wish] = {}
        self._gone: set[str] = set()
        self._todo: deque[Callable[[words.Link], None]] = deque()
        self._bringing = Bringing(arrivals, self._say, lambda: False, self._on_end)
        self._allowance = Allowance()
        self._received = 0
        self._heard = False

    async def make(self) -> None:
        """Fetch all of it, over several connections where one breaks; tell of each wish."""
        self._kick, self._done = asyncio.Event(), asyncio.Event()
        error: SshjobsError | None = None
        for _ in range(AGAIN):
            before = self._received
            error = await self._connection()
            if error is None or self._received == before or (isinstance(error, HostError) and error.lasting):
                break
        for wish in (*self._open.values(), *self._waiting):
            self._tell(Came(wish, None, str(error)))

    # -- what is brought -----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Ask for a few more: what is on its way costs memory, and is looked through."""
        while self._waiting and len(self._open) < 2 * AT_ONCE:
            wish = self._waiting.popleft()
            uid = wish.attempt.uid
            self._open[uid] = wish
            # However it ended: that is known, and not what is asked.
            end = Ended(uid, Outcome.FAILED, None, None, None, None, None, None, None, (0, 0))
            self._bringing.begin(wish.attempt, end, wish.outputs)

    def _on_end(self, attempt: LiveAttempt, end: Ended, text: str | None) -> None:
        wish = self._open.pop(attempt.uid)
        self._tell(Came(wish, end.brought, text, attempt.uid in self._gone))
        self._begin()
        if not self._open:
            self._done.set()

    # -- one connection ------------------------------------------------------------------------------------------

    async def _connection(self) -> SshjobsError | None:
        """Converse as long as that goes well; return why it does not.

        :raises LocalError: of this machine's disk
        """
        if self._host.slurm:
            return only_in_run(self._host)
        link = words.Link(secrets.token_hex(16))
        try:
            stream = await self._way.open(self._host)
        except OSError as refused:
            raise LocalError.of(refused, "no connection can be begun on this machine") from refused
        except HostError as known:
            return known
        if stream.notice is not None:
            _LOG.warning("%s: %s", self._host.name, printable(stream.notice))
        try:
            await self._converse(stream, link)
        except ProtocolError as trouble:
            stream.abort()
            return nonsense(self._host, str(trouble))
        except asyncio.TimeoutError:
            stream.abort()
            if not link.ready:
                return self._way.late(self._host, READY_TIMEOUT + stream.patience)
            return HostError("timeout", self._host.name, "no answer in time", why=f"waited {DEAD_AFTER_S:.0f} s",
                             hint=f"try: ssh {self._host.name} true")
        except HostError as known:
            return known
        finally:
            ending = await stream.close()
        if self._done.is_set():
            return None
        error = self._way.explain(self._host, ending, link.noise.decode("utf-8", "replace"), was_ready=link.ready)
        return asked_once(await self._way.advise(self._host, error))

    async def _converse(self, stream: Stream, link: words.Link) -> None:
        uid, name = self._run
        hello = words.hello(run=uid, name=name, host=self._host.name, epoch=0, slots=None).decode("ascii")
        stage = ship.first_stage(link.nonce, "sshjobs.gjob." + _FETCH_MODULE, _packed(), [hello])
        self._allowance.begin(len(self._open))
        self._bringing.cut()
        self._todo.clear()
        tasks = [asyncio.ensure_future(work) for work in (
            self._read(stream, link), self._write(stream, link, stage), self._see_silence(stream, link),
            self._bringing.serve(_AtOnce(lambda _: None, Threads(1).do)), self._done.wait())]
        try:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _say(self, item: Callable[[words.Link], None] | LiveAttempt) -> None:
        assert not isinstance(item, LiveAttempt)
        self._todo.append(item)
        self._kick.set()

    async def _write(self, stream: Stream, link: words.Link, stage: bytes) -> None:
        try:
            await stream.write(stage)
            while True:
                while self._todo:
                    self._todo.popleft()(link)
                if link.waiting:
                    await stream.write(link.take())
                await self._kick.wait()
                self._kick.clear()
        except OSError:
            # The reader meets the end of the stream too, and knows more about it.
            await asyncio.sleep(DEAD_AFTER_S)

    async def _read(self, stream: Stream, link: words.Link) -> None:
        """Take what comes until the stream ends."""
        while data := await stream.read():
            self._heard = True
            if link.ready:
                self._received += len(data)
            for event in link.receive(data):
                self._take(event, asyncio.get_running_loop().time())

    def _take(self, event: words.Event, now: float) -> None:
        match event:
            case words.Ready():
                # Not before: what comes with the first stage may be read by Python, and not by what it runs.
                for known in list(self._open):
                    self._bringing.go_on(known)
                self._begin()
                return
            case words.TooOld(kind, what):
                raise too_old(self._host.name, kind, what)
            case words.Part():
                changed = self._bringing.part(event)
            case words.Frame("whole", keys):
                changed = self._bringing.whole(keys)
            case words.Frame("found", keys):
                if keys["odd"] == [""] and keys["why"] == ["gone"]:
                    self._gone.add(keys["id"])
                changed = self._bringing.found(keys)
            case words.Frame("pong"):
                changed = False
            case words.Frame("error", keys):
                raise ProtocolError("it did not understand", why=keys["msg"])
            case _:
                raise ProtocolError("it says what nobody asked for")
        if not changed:
            self._allowance.spend(now)

    async def _see_silence(self, stream: Stream, link: words.Link) -> None:
        """Ask a silent host for a sign of life.

        :raises asyncio.TimeoutError: it gives none
        """
        patience = READY_TIMEOUT + stream.patience
        silence = 0.0
        while silence < (DEAD_AFTER_S if link.ready else patience):
            await asyncio.sleep(PING_AFTER_S)
            silence, self._heard = 0.0 if self._heard else silence + PING_AFTER_S, False
            if link.ready:
                self._say(functools.partial(words.Link.say, kind="ping", seq=0))
        raise asyncio.TimeoutError


@functools.cache
def _packed() -> bytes:
    try:
        return ship.pack(ship.sources(_FETCH_MODULE))
    except OSError as error:
        raise LocalError.of(error, "the code for hosts cannot be read on this machine") from error
