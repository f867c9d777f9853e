"""One host, over all its connections: connects, converses, and remembers what is on the host."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from sshjobs.errors import HostError, ProtocolError, SshjobsError
from sshjobs.host import Host
from sshjobs.network import link as words
from sshjobs.network.attempts import Ended, LiveAttempt, Started, ended_from, launch_spec
from sshjobs.network.contract import HostDown, HostUp, Released, RunIdentity, Warned
from sshjobs.network.outputs import FULL, OutputFiles
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
#: Seconds between attempts to write output while this machine's disk is full.
FULL_RETRY = 1.0
#: Seconds that a host gets to remove what is left of a run.
BYE_TIMEOUT = 10.0

Emit = Callable[[Any], None]


class HostSession:
    """Keeps one host in conversation. All methods run in the network's event loop.

    :param emit: takes each event for the manager
    :param handshakes: admits a few connections at a time
    """

    def __init__(self, host: Host, transport: Transport, run: RunIdentity, outputs: OutputFiles, staging: Staging,
                 emit: Emit, handshakes: asyncio.Semaphore, slots: int | None):
        self.host, self.live = host, dict[str, LiveAttempt]()
        self._transport, self._run, self._outputs, self._staging = transport, run, outputs, staging
        self._emit, self._handshakes, self._slots = emit, handshakes, slots
        self._link: words.Link | None = None
        self._stream: Stream | None = None
        self._todo: deque[LiveAttempt | Callable[[words.Link], None]] = deque()
        self._kick = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._gone: asyncio.Future[tuple[int, int]] | None = None
        self._boot: str | None = None
        self._blobs: set[str] = set()
        self._heard = 0.0
        self._nonsense = 0
        self._blocked = False
        self._leaving = False
        self._to_release: list[str] = []
        #: Lets a person's act (a key accepted, a login made) be noticed at once.
        self.retry_now = asyncio.Event()

    # -- what the manager asks for -------------------------------------------------------------------------------

    def launch(self, attempt: LiveAttempt) -> None:
        """Have an attempt started, now or as soon as the host can be reached."""
        self.live[attempt.uid] = attempt
        if self._welcomed.is_set():
            self._say(attempt)

    def adopt(self, attempt: LiveAttempt) -> None:
        """Ask for an attempt of an earlier manager at the next connection."""
        self.live[attempt.uid] = attempt

    def cancel(self, uid: str, grace: float) -> None:
        """End an attempt, now or as soon as the host can be reached."""
        attempt = self.live.get(uid)
        if attempt is None or attempt.over:
            return
        attempt.cancelling, attempt.grace = True, grace
        if self._welcomed.is_set():
            self._say(lambda link: link.say("cancel", id=uid, grace=grace))

    def release(self, uids: list[str]) -> None:
        """Tell the host to forget ended attempts, now or as soon as it can be reached."""
        if not self._welcomed.is_set():
            self._to_release += uids
            return
        for uid in uids:
            self.live.pop(uid, None)
        self._say(lambda link: link.say("release", ids=uids))
        self._emit(Released(uids))

    def _say(self, item: LiveAttempt | Callable[[words.Link], None]) -> None:
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
            self._welcomed.clear()
            self._todo.clear()
            self._link = None
            if self._stream is not None:
                await asyncio.shield(self._stream.close())
                self._stream = None

    async def _connection(self, link: words.Link) -> HostError:
        async with self._handshakes:
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
                self._say(functools.partial(words.Link.say, kind="ping", seq=seq))
            await asyncio.sleep(PING_AFTER / 3)
        stream.abort()

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
                elif item.uid in self.live and not item.over:
                    await self._word_launch(link, stream, item)
            if data := link.take():
                try:
                    await stream.write(data)
                except OSError:
                    # The reader meets the end of the stream too, and knows more about it.
                    return

    async def _word_launch(self, link: words.Link, stream: Stream, attempt: LiveAttempt) -> None:
        await self._patiently(lambda: self._outputs.create(attempt.directory))
        spec = launch_spec(attempt.spec)
        if attempt.spec.files or attempt.spec.stdin is not None:
            loop = asyncio.get_running_loop()
            try:
                manifest = await loop.run_in_executor(None, self._staging.manifest, attempt.spec)
                await self._put(link, stream, manifest)
            except SshjobsError as error:
                self._end(attempt, Ended(attempt.uid, Outcome.NEVER_STARTED, None, None, None, None, str(error),
                                         None, None, (0, 0)))
                return
            spec["files"], spec["stdin"] = manifest.placed, manifest.stdin
        attempt.sent_on = self._boot
        link.say_frame({"t": "launch", **attempt.keys, "spec": spec})

    async def _put(self, link: words.Link, stream: Stream, manifest: Manifest) -> None:
        for sha, blob in manifest.blobs.items():
            if sha in self._blobs:
                continue
            try:
                for offset, piece in pieces(blob):
                    link.say("put", piece, sha=sha, size=blob.size, off=offset, n=len(piece))
                    await stream.write(link.take())
            except FileNotFoundError as error:
                raise SshjobsError("a file of the job is gone", where=blob.path, hint="put it back") from error
            self._blobs.add(sha)

    # -- reading -------------------------------------------------------------------------------------------------

    async def _take(self, link: words.Link, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        for event in link.receive(data):
            match event:
                case words.Output():
                    await self._store(event)
                case words.Frame("ended", keys):
                    await self._take_end(keys)
                case words.Frame():
                    self._take_frame(event.type, event.keys)
                case words.Ready():
                    link.hello(run=self._run.uid, name=self._run.name, host=self.host.name, epoch=self._run.epoch,
                               slots=self._slots)
                    link.sync((a.uid, a.have[0], a.have[1]) for a in self.live.values())
                    self._kick.set()
                case words.Welcome(facts):
                    self._take_welcome(facts)
                case words.TooOld(kind, what):
                    raise _too_old(self.host.name, kind, what)

    def _take_welcome(self, facts: dict[str, Any]) -> None:
        known_boot, self._boot = self._boot, facts["boot"]
        for attempt in self.live.values():
            # What was sent before and is not known to the host now may have run all the same, if what the host
            # remembers is not what it remembered then.
            if not facts["resumed"] or known_boot not in (None, self._boot):
                attempt.may_have_run |= attempt.sent_on is not None
        self._blobs = {sha for sha in facts["blobs"] if isinstance(sha, str)}
        self._welcomed.set()
        if self._to_release:
            self.release(self._to_release)
            self._to_release = []
        self._emit(HostUp(self.host.name, {key: facts[key] for key in facts if key not in ("t", "blobs")}))

    def _take_frame(self, kind: str, keys: dict[str, Any]) -> None:
        if kind == "state":
            self._take_state(keys["id"], keys["s"])
        elif kind == "started":
            attempt = self.live.get(keys["id"])
            if attempt is not None and not attempt.over:
                attempt.seen = True
                self._emit(Started(attempt.uid, keys["pid"], keys["at"]))
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

    def _take_state(self, uid: str, state: str) -> None:
        attempt = self.live.get(uid)
        if attempt is None or attempt.over:
            return
        if state != "absent":
            if not attempt.seen and state == "running":
                self._emit(Started(uid, None, None))
            attempt.seen = True
            if attempt.cancelling:
                self._say(lambda link: link.say("cancel", id=uid, grace=attempt.grace))
        elif attempt.seen or attempt.may_have_run or attempt.cancelling:
            attempt.may_have_run |= attempt.seen
            self._say(lambda link: link.say("fence", id=uid))
        else:
            self._say(attempt)

    async def _take_end(self, keys: dict[str, Any]) -> None:
        end = ended_from(keys)
        attempt = self.live.get(end.uid)
        if attempt is None:
            # Given up before, and the host did not hear it.
            self._say(lambda link: link.say("release", ids=[end.uid]))
            return
        if attempt.over:
            return
        if list(end.sizes) != attempt.have:
            raise ProtocolError(f"attempt {end.uid} ended with output missing",
                                why=f"{list(end.sizes)} bytes announced, {attempt.have} came")
        if end.outcome is Outcome.NEVER_STARTED and keys["why"] == "fenced":
            if attempt.may_have_run:
                end = end._replace(outcome=Outcome.LOST, reason="the host has forgotten it; it may have run")
            elif attempt.cancelling:
                end = end._replace(outcome=Outcome.CANCELLED)
        self._nonsense = 0
        self._end(attempt, end)

    def _end(self, attempt: LiveAttempt, end: Ended) -> None:
        attempt.over = True
        self._outputs.forget(attempt.uid)
        self._emit(end)

    async def _store(self, output: words.Output) -> None:
        attempt = self.live.get(output.uid)
        if attempt is None or attempt.over:
            return
        have = attempt.have[output.stream - 1]
        if output.off != have:
            raise ProtocolError(f"output of attempt {output.uid} out of order", why=f"{output.off} came after {have}")
        attempt.seen = True
        path = attempt.path(output.stream)
        await self._patiently(
            lambda: self._outputs.write(output.uid, output.stream, path, output.off, output.data))
        attempt.have[output.stream - 1] += len(output.data)

    async def _patiently(self, act: Callable[[], None]) -> None:
        """Do something on this machine's disk; while it is full, say so and wait for room."""
        said = False
        while True:
            try:
                return act()
            except OSError as error:
                if error.errno not in FULL:
                    raise SshjobsError("output cannot be written", where=error.filename,
                                       why=os.strerror(error.errno or 0)) from error
                if not said:
                    said = True
                    self._emit(Warned(self.host.name, "the disk of this machine is full; waiting for room"))
                await asyncio.sleep(FULL_RETRY)

    # -- the end -------------------------------------------------------------------------------------------------

    def _done_here(self) -> bool:
        return self._leaving and (self._gone is None or self._gone.done())

    def leave(self) -> None:
        """Connect no more. Said before the session's task is cancelled, because a wait with a time limit may swallow
        the cancellation (it does before Python 3.12)."""
        self._leaving = True

    async def bye(self) -> str | None:
        """Have everything of the run removed from the host. Returns what a person should know if it was not."""
        if not self._welcomed.is_set():
            return f"{self.host.name}: not reachable at the end; files of the run stay there" if self._boot else None
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


