"""One host, over all its connections: connects, converses, and remembers what is on the host."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import secrets
from collections import deque
from typing import Any

from sshjobs.errors import HostError, ProtocolError, SshjobsError
from sshjobs.host import Host
from sshjobs.network import link as words
from sshjobs.network.attempts import Ended, LiveAttempt, launch_spec
from sshjobs.network.book import Emit, HostBook, Item
from sshjobs.network.contract import HostDown, RoundTrip, RunIdentity, Warned
from sshjobs.network.handshakes import Handshakes
from sshjobs.network.outputs import OutputFiles
from sshjobs.network.payload import first_stage
from sshjobs.network.staging import Manifest, Staging, pieces
from sshjobs.network.transport import Stream, Transport
from sshjobs.states import Outcome

#: Seconds from the start of a connection to the agent's first word; slow start-up files are normal.
READY_TIMEOUT = 60.0
#: Seconds of silence after which the agent is asked for a sign of life, and after which the link is dead.
PING_AFTER, DEAD_AFTER = 15.0, 40.0
#: Seconds between attempts to connect: the first, growing by half, and the longest; each with jitter.
RETRY_FIRST, RETRY_MAX = 0.5, 10.0
#: Broken conversations in a row after which a host is left alone until a person acts.
MAX_NONSENSE = 5
#: Seconds that a host gets to remove what is left of a run.
BYE_TIMEOUT = 10.0


class HostSession:
    """Keeps one host in conversation. All methods run in the network's event loop.

    :param emit: takes each event for the manager
    :param handshakes: admits a few connections at a time
    """

    def __init__(self, host: Host, transport: Transport, run: RunIdentity, outputs: OutputFiles, staging: Staging,
                 emit: Emit, handshakes: Handshakes, slots: int | None):
        self.host = host
        self.book = HostBook(host.name, outputs, emit, self._say)
        self._transport, self._run, self._staging = transport, run, staging
        self._emit, self._handshakes, self._slots = emit, handshakes, slots
        self._link: words.Link | None = None
        self._stream: Stream | None = None
        self._todo: deque[Item] = deque()
        self._kick = asyncio.Event()
        self._gone: asyncio.Future[tuple[int, int]] | None = None
        self._heard = self._asked = 0.0
        self._nonsense = 0
        self._blocked = False
        self._leaving = False
        #: Lets a person's act (a key accepted, a login made) be noticed at once.
        self.retry_now = asyncio.Event()

    # -- what the manager asks for -------------------------------------------------------------------------------

    def set_slots(self, slots: int) -> None:
        """Change how many jobs the host takes at a time, now and with every later connection."""
        self._slots = slots
        if self.book.open:
            self._say(lambda link: link.say("slots", slots=slots))

    def _say(self, item: Item) -> None:
        self._todo.append(item)
        self._kick.set()

    # -- the life of a session -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, converse, and connect again, until cancelled or until only a person can help."""
        delay = RETRY_FIRST
        while not self._leaving:
            error = await self._converse()
            if self._leaving:
                return
            if self._heard:
                delay = RETRY_FIRST
            self._blocked = error.lasting
            self._emit(HostDown(self.host.name, error))
            if error.lasting:
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.retry_now.wait(), delay * random.uniform(0.7, 1.3))
            self.retry_now.clear()
            delay = min(delay * 1.5, RETRY_MAX)

    async def _converse(self) -> HostError:
        self._heard = 0.0
        self._link = link = words.Link(secrets.token_hex(16))
        try:
            return await self._connection(link)
        except HostError as error:
            return error
        except (ProtocolError, SshjobsError) as error:
            self._nonsense += 1
            return HostError("nonsense", self.host.name, "the host said what it must not say", why=str(error),
                             hint="trying again" if self._nonsense < MAX_NONSENSE else "see what runs there",
                             lasting=self._nonsense >= MAX_NONSENSE)
        finally:
            self.book.open = False
            self._todo.clear()
            self._link = None
            if self._stream is not None:
                await asyncio.shield(self._stream.close())
                self._stream = None

    async def _connection(self, link: words.Link) -> HostError:
        async with self._handshakes(self.host):
            stream = self._stream = await self._transport.open(self.host)
            try:
                await asyncio.wait_for(self._get_ready(link, stream), READY_TIMEOUT)
            except (asyncio.TimeoutError, OSError) as error:
                return await self._why_ended(link, stream, timed_out=isinstance(error, asyncio.TimeoutError))
        if not link.ready:
            return await self._why_ended(link, stream)
        helpers = [asyncio.ensure_future(task) for task in (self._write(link, stream), self._pulse(stream))]
        try:
            while not self._done_here() and (data := await stream.read()):
                await self._take(link, data)
        finally:
            await _stop(*helpers)
        return await self._why_ended(link, stream)

    async def _get_ready(self, link: words.Link, stream: Stream) -> None:
        await stream.write(first_stage(link.nonce))
        while not link.ready:
            data = await stream.read()
            if not data:
                return
            await self._take(link, data)

    async def _why_ended(self, link: words.Link, stream: Stream, *, timed_out: bool = False) -> HostError:
        ending = await stream.close()
        if timed_out:
            return HostError("timeout", self.host.name, "no agent came up in time",
                             why=f"nothing in {READY_TIMEOUT:.0f} s", hint="see what its start-up files wait for")
        noise = bytes(link.noise).decode("utf-8", "replace")
        return self._transport.explain(self.host, ending, noise, was_ready=link.ready)

    async def _pulse(self, stream: Stream) -> None:
        """Ask a silent agent for a sign of life; end the stream when it gives none."""
        loop, seq = asyncio.get_running_loop(), 0
        while (silence := loop.time() - self._heard) < DEAD_AFTER:
            if silence >= PING_AFTER:
                seq += 1
                self._ping(seq)
            await asyncio.sleep(PING_AFTER / 3)
        stream.abort()

    def _ping(self, seq: int) -> None:
        self._asked = asyncio.get_running_loop().time()
        self._say(functools.partial(words.Link.say, kind="ping", seq=seq))

    # -- writing -------------------------------------------------------------------------------------------------

    async def _write(self, link: words.Link, stream: Stream) -> None:
        """Word what there is to say, in order, and write it; a burst of small things goes out in one piece."""
        while True:
            await self._kick.wait()
            self._kick.clear()
            while self._todo:
                item = self._todo.popleft()
                if not isinstance(item, LiveAttempt):
                    item(link)
                elif item.uid in self.book.live and not item.over:
                    await self._word_launch(link, stream, item)
            if data := link.take():
                try:
                    await stream.write(data)
                except OSError:
                    # The reader meets the end of the stream too, and knows more about it.
                    return

    async def _word_launch(self, link: words.Link, stream: Stream, attempt: LiveAttempt) -> None:
        await self.book.create(attempt)
        spec = launch_spec(attempt.spec)
        if attempt.spec.files or attempt.spec.stdin is not None:
            loop = asyncio.get_running_loop()
            try:
                manifest = await loop.run_in_executor(None, self._staging.manifest, attempt.spec)
                await self._put(link, stream, manifest)
            except SshjobsError as error:
                self.book.end(attempt, Ended(attempt.uid, Outcome.NEVER_STARTED, None, None, None, None, str(error),
                                         None, None, (0, 0)))
                return
            spec["files"], spec["stdin"] = manifest.placed, manifest.stdin
        attempt.sent_on = self.book.boot
        link.say_frame({"t": "launch", **attempt.keys, "spec": spec})

    async def _put(self, link: words.Link, stream: Stream, manifest: Manifest) -> None:
        for sha, blob in manifest.blobs.items():
            if sha in self.book.blobs:
                continue
            try:
                for offset, piece in pieces(blob):
                    link.say("put", piece, sha=sha, size=blob.size, off=offset, n=len(piece))
                    await stream.write(link.take())
            except FileNotFoundError as error:
                raise SshjobsError("a file of the job is gone", where=blob.path, hint="put it back") from error
            self.book.blobs.add(sha)

    # -- reading -------------------------------------------------------------------------------------------------

    async def _take(self, link: words.Link, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        for event in link.receive(data):
            match event:
                case words.Output():
                    await self.book.store(event)
                case words.Frame("ended", keys):
                    self.book.ended(keys)
                    self._nonsense = 0
                case words.Frame():
                    self._take_frame(event.type, event.keys)
                case words.Ready():
                    link.hello(run=self._run.uid, name=self._run.name, host=self.host.name, epoch=self._run.epoch,
                               slots=self._slots)
                    link.sync(self.book.have())
                    self._kick.set()
                case words.Welcome(facts):
                    self.book.welcome(facts)
                    self._ping(0)
                case words.TooOld(kind, what):
                    raise _too_old(self.host.name, kind, what)

    def _take_frame(self, kind: str, keys: dict[str, Any]) -> None:
        if kind == "state":
            self.book.state(keys["id"], keys["s"])
        elif kind == "started":
            self.book.started(keys)
        elif kind == "pong":
            self._emit(RoundTrip(self.host.name, asyncio.get_running_loop().time() - self._asked))
        elif kind == "warn":
            self._emit(Warned(self.host.name, keys["msg"]))
        elif kind == "stuck":
            self._emit(Warned(self.host.name, f"processes of attempt {keys['id']} do not die: {keys['pids']}"))
        elif kind == "gone":
            # The agent is about to hang up; that must not look like a broken connection.
            if self._gone is not None and not self._gone.done():
                self._gone.set_result((keys["processes"], keys["files"]))
        elif kind == "stale":
            raise HostError("stale", self.host.name, "a newer manager of this run is at work",
                            hint="look for another sshjobs that resumed this run", lasting=True)
        elif kind == "refused":
            raise HostError(keys["kind"], self.host.name, "the agent cannot work there", why=keys["why"],
                            hint=keys["hint"], lasting=True)
        elif kind == "error":
            raise ProtocolError("the agent did not understand", why=keys["msg"])

    # -- the end -------------------------------------------------------------------------------------------------

    def _done_here(self) -> bool:
        return self._leaving and (self._gone is None or self._gone.done())

    def leave(self) -> None:
        """Connect no more. Said before the session's task is cancelled, because a wait with a time limit may swallow
        the cancellation (it does before Python 3.12)."""
        self._leaving = True

    async def bye(self) -> str | None:
        """Have everything of the run removed from the host. Returns what a person should know if it was not."""
        if not self.book.open:
            line = f"{self.host.name}: not reachable at the end; files of the run stay there"
            return line if self.book.boot is not None else None
        self._gone = asyncio.get_running_loop().create_future()
        self.leave()
        self._say(lambda link: link.say("bye"))
        try:
            processes, files = await asyncio.wait_for(self._gone, BYE_TIMEOUT)
        except asyncio.TimeoutError:
            return f"{self.host.name}: no answer at the end; files of the run may stay there"
        if processes or files:
            return f"{self.host.name}: {processes} processes and {files} files of the run are left there"
        return None


def _too_old(host: str, kind: str, what: str) -> HostError:
    if kind == "old-python":
        return HostError(kind, host, f"its python is too old: {what}",
                         hint="set python=PATH of Python 3.6 or newer in the hosts file", lasting=True)
    return HostError(kind, host, f"hosts must run Linux, this one runs {what}", hint="leave it out", lasting=True)


async def _stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


