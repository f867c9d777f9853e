"""One host, over all its connections: connects, converses, and remembers what is on the host."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import secrets
from collections import deque
from collections.abc import Awaitable, Callable

from sshjobs.errors import HostError, LocalError, SshjobsError
from sshjobs.model.host import Host
from sshjobs.model.outputs import directories
from sshjobs.network import failpoints
from sshjobs.network.contract import HostDown, Silent, Warned
from sshjobs.network.payload import first_stage
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.book import HostBook, Item
from sshjobs.network.session.dialog import READY_TIMEOUT, Dialog
from sshjobs.network.session.shared import Shared
from sshjobs.network.session.upload import Upload
from sshjobs.network.staging.extras import is_carrying
from sshjobs.network.staging.inputs import Manifest
from sshjobs.network.transport.base import Stream, Transport

#: Seconds without an answer to a ping after which people are told that the host is silent.
UNANSWERED_S = 2.0
#: Seconds without any answer after which a host that talks is asked for a sign of life, and after which the link is
#: dead: what it says arrives, by itself or as outputs of its jobs, and what it is told does not. Long, as answers come
#: behind outputs, and behind inputs.
PING_TALKER, DEAF_AFTER = 60.0, 300.0
#: Seconds that a host gets to remove what is left of a run.
BYE_TIMEOUT = 10.0
#: Seconds that a host may take to delete what it has, if it makes progress; that its last process may take to end.
CLEANUP_S, LAST_PROCESS_S = 600.0, 2.0
#: Frames of one host that are handled before others have their turn: some milliseconds.
SLICE = 200
#: Bytes of frames that are made before they are written.
MOST_WORDED = 1 << 20


class HostSession:
    """Keeps one host connected. All methods run in the network's event loop.

    :param slots: how many jobs it takes at a time, ``None`` for as many as it has cores
    """

    def __init__(self, host: Host, transport: Transport, slots: int | None, shared: Shared):
        self.host = host
        self.book = HostBook(host.name, shared.outputs, shared.emit, self._say, shared.given)
        self._dialog = Dialog(host.name, shared.run, self.book, self._say, shared.emit, slots, host, shared.clock)
        self._run = shared.run
        self.transport, self._staging, self._emit = transport, shared.staging, shared.emit
        self._handshakes, self._random, self._hurry = shared.handshakes, shared.chance, shared.hurry
        self._supervisor, self._trouble = shared.supervisor, shared.trouble
        self._link: words.Link | None = None
        self._stream: Stream | None = None
        self._todo: deque[Item] = deque()
        self._kick = asyncio.Event()
        self._writing = asyncio.Lock()
        self._gone: asyncio.Future[tuple[int, int, int]] | None = None
        self._heard = 0.0
        self._first_heard: float | None = None
        self._leaving = False

    # -- what the manager asks for -------------------------------------------------------------------------------

    def set_slots(self, slots: int) -> None:
        """Change how many jobs the host takes at a time, now and with every later connection."""
        self._dialog.set_slots(slots)

    def ask_gpus(self) -> None:
        """Ask how the GPUs of the host are, if it can be reached."""
        self._dialog.ask_gpus()

    def _say(self, item: Item) -> None:
        self._todo.append(item)
        self._kick.set()

    # -- the life of a session -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, converse, and connect again, until cancelled or until only a person can help."""
        loop = asyncio.get_running_loop()
        while not self._leaving:
            began = loop.time()
            error = await self._converse()
            if self._leaving:
                return
            self._emit(HostDown(self.host.name, error))
            if error.lasting:
                return
            pause = self._dialog.backoff.pause(error, began, loop.time(), self._random, heard=self._first_heard)
            await asyncio.sleep(pause)

    async def _converse(self) -> HostError:
        self._heard, self._first_heard = 0.0, None
        self._link = link = words.Link(secrets.token_hex(16))
        try:
            return await self._connection(link)
        except LocalError:
            # Trouble that passes was waited for; this does not.
            raise
        except SshjobsError as error:
            return self._dialog.broken(error)
        finally:
            self.book.open = False
            self._todo.clear()
            self._link = self._dialog.upload = None
            if self._stream is not None:
                await asyncio.shield(self._stream.close())
                self._stream = None

    async def _connection(self, link: words.Link) -> HostError:
        async with self._handshakes(self.host):
            stream = self._stream = await self._trouble.outwait(self._open)
            # While ssh logs in: to pack it takes as long as a quick login.
            first = await self._trouble.outwait(lambda: self._first_stage(link))
            self.book.told = stream.told
            if stream.notice is not None:
                self._emit(Warned(self.host.name, stream.notice))
            try:
                await asyncio.wait_for(self._get_ready(link, stream, first), READY_TIMEOUT + stream.patience)
            except (asyncio.TimeoutError, OSError) as error:
                return await self._why_ended(link, stream, timed_out=isinstance(error, asyncio.TimeoutError))
        if not link.ready or self._done_here():
            # A host that came too late is not used: it was sent nothing, so it makes nothing.
            return await self._why_ended(link, stream)
        send = functools.partial(self._send, link, stream)
        upload = self._dialog.upload = Upload(self._staging, self.book, link, send,
                                              functools.partial(self._word_launch, link),
                                              functools.partial(self._send_file, link, stream), self._trouble)
        helpers = [self._supervisor.start(task)
                   for task in (self._write(link, send, upload), upload.serve(), self._see_silence(stream),
                                self.book.bringing.serve(self._trouble))]
        try:
            while not self._done_here() and (data := await stream.read()):
                await self._take(link, data)
        finally:
            await _stop(*helpers)
        return await self._why_ended(link, stream)

    async def _open(self) -> Stream:
        try:
            return await self.transport.open(self.host)
        except OSError as error:
            raise LocalError.of(error, "no connection can be begun on this machine") from error

    async def _first_stage(self, link: words.Link) -> bytes:
        return first_stage(link.nonce, hello=self._dialog.hello(self.transport.batch_of(self.host)),
                           near=self.transport.near(self.host), hurry=self._hurry)

    async def _get_ready(self, link: words.Link, stream: Stream, first: bytes) -> None:
        self.book.sent += len(first)
        # A host that does not take all of it has said why, or will.
        with contextlib.suppress(OSError):
            await stream.write(first)
        while not link.ready:
            data = await stream.read()
            if not data:
                return
            await self._take(link, data)

    async def _why_ended(self, link: words.Link, stream: Stream, *, timed_out: bool = False) -> HostError:
        ending = await stream.close()
        if timed_out:
            return self.transport.late(self.host, READY_TIMEOUT + stream.patience)
        noise = bytes(link.noise).decode("utf-8", "replace")
        error = self.transport.explain(self.host, ending, noise, was_ready=link.ready)
        return await self.transport.advise(self.host, error)

    async def _see_silence(self, stream: Stream) -> None:
        """Ask a silent agent for a sign of life; end the stream when it gives none, and when it only talks."""
        loop, seq, silence, heard, told = asyncio.get_running_loop(), 0, 0.0, self._heard, False
        unanswered, answers = 0.0, self._dialog.answers
        deadline = loop.time() + READY_TIMEOUT
        while True:
            ping_after, dead_after = self._dialog.patience()
            if (silence >= dead_after or unanswered >= DEAF_AFTER
                    or (not self.book.open and loop.time() >= deadline)):
                # Such a host sends frames, but not the welcome that has to come first.
                return stream.abort()
            if silence >= ping_after or (unanswered >= PING_TALKER and not self._dialog.waits_for_pong):
                seq += 1
                self._dialog.ping(seq, loop.time())
            if (silence >= ping_after + UNANSWERED_S) != told:
                told = not told
                self._emit(Silent(self.host.name, silence if told else None))
            await asyncio.sleep(ping_after / 3)
            # Counted, not measured: while this machine slept or stood still, the host could not be heard.
            silence, heard = (silence + ping_after / 3 if heard == self._heard else 0.0), self._heard
            unanswered = unanswered + ping_after / 3 if answers == self._dialog.answers else 0.0
            answers = self._dialog.answers

    # -- writing -------------------------------------------------------------------------------------------------

    async def _send(self, link: words.Link, stream: Stream) -> None:
        """Write what there is to write, in the order in which it was said, waiting while the host is slow.

        :raises OSError: the stream has ended
        """
        async with self._writing:
            if data := link.take():
                self.book.sent += len(data)
                await stream.write(data)

    async def _send_file(self, link: words.Link, stream: Stream, line: bytes, file: int, offset: int,
                         size: int) -> bool:
        """Write a frame whose body is a part of a file, after what there is to write. False if not all could be read.

        :raises OSError: the stream has ended
        """
        async with self._writing:
            self.book.sent += len(line) + link.waiting + size
            await stream.write(link.take() + line)
            return await stream.write_file(file, offset, size)

    async def _write(self, link: words.Link, send: Callable[[], Awaitable[None]], upload: Upload) -> None:
        """Word what there is to say, in order, and write it; a burst of small things goes out in one piece."""
        while True:
            await self._kick.wait()
            self._kick.clear()
            while self._todo:
                item = self._todo.popleft()
                if not isinstance(item, LiveAttempt):
                    item(link)
                elif self._dialog.is_wanted(item):
                    if item.spec.files or item.spec.stdin is not None or item.spec.uses or is_carrying(
                            item.uid, item.spec):
                        upload.add(item)
                    else:
                        await self._word_launch(link, item)
                if link.waiting >= MOST_WORDED:
                    # What is put into words takes memory until the host has read it: jobs may be a megabyte each.
                    self._kick.set()
                    break
            if link.waiting:
                try:
                    await send()
                except OSError:
                    # The reader meets the end of the stream too, and knows more about it.
                    return
                failpoints.reach("after_send")

    async def _word_launch(self, link: words.Link, attempt: LiveAttempt, manifest: Manifest | None = None) -> None:
        try:
            self.book.create(attempt)
        except LocalError:
            await self._patiently(lambda: self.book.create(attempt))
        self._dialog.word_launch(link, attempt, manifest)

    # -- reading -------------------------------------------------------------------------------------------------

    async def _take(self, link: words.Link, data: bytes) -> None:
        now = self._heard = asyncio.get_running_loop().time()
        self.book.received += len(data)
        if self._first_heard is None:
            self._first_heard = now
        for number, event in enumerate(link.receive(data), 1):
            if not number % SLICE or link.much:
                # A host that sends much at a time must not keep this side from the others.
                await asyncio.sleep(0)
            if not self.book.open:
                self._dialog.may_come_first(event)
            try:
                self._dialog.take(link, event, now)
            except LocalError:
                await self._patiently(functools.partial(self._dialog.take, link, event, now))
        if link.waiting:
            self._kick.set()

    async def _patiently(self, act: Callable[[], None]) -> None:
        """Do something on this machine's disk; while it cannot be done, say so and wait.

        :raises LocalError: waiting cannot help
        """
        async def try_it() -> None:
            act()

        def listen_again() -> None:
            # This side does not read meanwhile: that is no silence of the host, nor is it deaf.
            self._heard = asyncio.get_running_loop().time()
            self._dialog.answers += 1

        await self._trouble.outwait(try_it, listen_again)

    # -- the end -------------------------------------------------------------------------------------------------

    def _done_here(self) -> bool:
        return self._leaving and self._gone is None

    def leave(self) -> None:
        """Connect no more. Said before the session's task is cancelled, because a wait with a time limit may swallow
        the cancellation (it does before Python 3.12)."""
        self._leaving = True

    def _note_gone(self, processes: int, files: int, kept: int) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result((processes, files, kept))

    async def _greeted(self) -> bool:
        """Wait for an agent whose marker has come, but not its welcome: it is about to make files. True if it stays
        silent. For a marker nothing waits: what starts on the host makes nothing once the connection is closed, or
        cleans up at once (an agent that nobody has spoken to)."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BYE_TIMEOUT
        while self._link is not None and self._link.ready and not self.book.open:
            if loop.time() >= deadline:
                return True
            await asyncio.sleep(0.01)
        return False

    async def bye(self) -> str | None:
        """Have everything of the run removed from the host. Returns what a person should know if it was not."""
        greeted = await self._greeted()
        if not self.book.open:
            # While other hosts part, this one may still come up: it is not spoken to any more.
            self.leave()
            if greeted:
                return f"{self.host.name}: no answer at the end; files of the run may stay there"
            line = f"{self.host.name}: not reachable at the end; files of the run stay there"
            return line if self.book.boot is not None else None
        self._gone = asyncio.get_running_loop().create_future()
        self._dialog.on_gone = self._note_gone
        self.leave()
        self._say(lambda link: link.say("bye"))
        told = await self._cleared(self._gone)
        if told is None:
            return f"{self.host.name}: no answer at the end; files of the run may stay there"
        processes, files, kept = told
        said = [f"{processes} processes and {files} files of the run are left there"] if processes or files else []
        if kept:
            said.append(f"kept there of ended jobs: {directories(kept)}; "
                        f"to remove that: sshjobs gc {self._run.name}")
        return f"{self.host.name}: {'; '.join(said)}" if said else None

    async def _cleared(self, gone: asyncio.Future[tuple[int, int, int]]) -> tuple[int, int, int] | None:
        """Wait until the host has deleted everything, as long as it makes progress, and until our last process there
        has ended: the connection ends with it. Returns how many processes and files are left, and how many directories
        are kept; None if it is silent."""
        loop = asyncio.get_running_loop()
        deadline, before = loop.time() + CLEANUP_S, -1
        while not gone.done() and loop.time() < deadline and self._dialog.cleared > before:
            before = self._dialog.cleared
            await asyncio.wait([gone], timeout=BYE_TIMEOUT)
        last = loop.time() + LAST_PROCESS_S
        while gone.done() and self._link is not None and loop.time() < last:
            await asyncio.sleep(0.002)
        return gone.result() if gone.done() else None


async def _stop(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


