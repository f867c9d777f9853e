"""Inputs on their way to one host: what it lacks is sent, then the launches that need it are worded, in their order."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from sshjobs.errors import LocalError, SshjobsError
from sshjobs.network.contract import KEPT_FROM
from sshjobs.network.protocol import frames
from sshjobs.network.protocol import link as words
from sshjobs.network.session.attempts import LiveAttempt, never_started
from sshjobs.network.session.book import HostBook
from sshjobs.network.staging.extras import carried, taken_over
from sshjobs.network.staging.inputs import PIECE, Blob, ChangedError, Manifest, Piece, Staging, pieces, unreadable
from sshjobs.network.trouble import LocalTrouble

#: Most launches, and most files of theirs, that are looked at together.
LAUNCHES, FILES = 100, 10_000
#: How many inputs one question may name.
_ASKED_AT_ONCE = 1000
#: Bytes after which the host is asked for a sign of life behind them.
_MARKED = 1 << 20

#: The ``seq`` of the pings that are marks.
MARK = -1

_Looked = list[tuple[LiveAttempt, Manifest | SshjobsError]]


class Upload:
    """What one connection brings to a host. Other words do not wait for it.

    :param send: writes what the link has to say, waiting while the host is slow
    :param launch: words the launch of an attempt whose inputs are there
    :param send_file: writes the same, then a line and so many bytes of a file, from its descriptor and offset; tells
        whether they could be read
    :param trouble: waits for this machine where it cannot read them for the moment
    """

    def __init__(self, staging: Staging, book: HostBook, link: words.Link, send: Callable[[], Awaitable[None]],
                 launch: Callable[[LiveAttempt, Manifest], Awaitable[None]],
                 send_file: Callable[[bytes, int, int, int], Awaitable[bool]], trouble: LocalTrouble):
        self._staging, self._book, self._link, self._send, self._launch = staging, book, link, send, launch
        self._send_file, self._trouble = send_file, trouble
        self._waiting: deque[LiveAttempt] = deque()
        self._more = asyncio.Event()
        self._asked: deque[asyncio.Future[set[str]]] = deque()
        self._marks = 0
        self._unmarked = 0

    @property
    def busy(self) -> bool:
        """Whether something that was sent may still be on its way: an answer may take its time behind it."""
        return self._marks > 0 or self._unmarked > 0

    def add(self, attempt: LiveAttempt) -> None:
        """Bring the inputs of an attempt, then have it launched."""
        self._waiting.append(attempt)
        self._more.set()

    def lack(self, shas: list[str]) -> bool:
        """Take the answer to the oldest question; tell whether there was one."""
        if not self._asked:
            return False
        answer = self._asked.popleft()
        if not answer.done():
            answer.set_result(set(shas))
        return True

    def mark(self) -> bool:
        """Take the answer to a mark: all that was sent before it is there. Tell whether there was one."""
        asked = self._marks > 0
        self._marks -= asked
        return asked

    async def serve(self) -> None:
        """Bring one after the other, until cancelled or until the connection breaks."""
        look = functools.partial(self._trouble.aside, self._look)
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._waiting:
                    await self._bring(await self._trouble.outwait(look))
        except OSError:
            # The reader meets the end of the stream too, and knows more about it.
            return

    def _look(self) -> _Looked:
        """See what the next launches need. Reads files: in a thread of its own.

        :raises LocalError: not even those of the next one can be read for the moment
        """
        looked: _Looked = []
        files = 0
        while self._waiting and len(looked) < LAUNCHES and files < FILES:
            attempt = self._waiting.popleft()
            try:
                manifest = self._staging.manifest(attempt.spec)
                extras = carried(attempt.uid, attempt.spec, attempt.directory)
                extras += taken_over(attempt.spec, attempt.sources, attempt.directory.parent)
                if extras:
                    manifest = self._staging.with_extras(manifest, extras)
            except LocalError:
                self._waiting.appendleft(attempt)
                if not looked:
                    raise
                break
            except SshjobsError as error:
                looked.append((attempt, error))
            else:
                files += len(manifest.placed)
                looked.append((attempt, manifest))
        return looked

    async def _bring(self, looked: _Looked) -> None:
        await self._ask({sha: blob for _, manifest in looked if isinstance(manifest, Manifest)
                         for sha, blob in manifest.blobs.items()})
        for attempt, manifest in looked:
            if attempt.over or attempt.uid not in self._book.live:
                continue
            try:
                if isinstance(manifest, SshjobsError):
                    raise manifest
                for blob in manifest.blobs.values():
                    await self._trouble.outwait(functools.partial(self._put, blob))
            except SshjobsError as error:
                self._book.end(attempt, never_started(attempt, str(error), lasting=not isinstance(error, ChangedError)))
                continue
            attempt.inputs = manifest.inputs
            await self._launch(attempt, manifest)
            if self._link.waiting >= PIECE:
                await self._send()
        await self._flush()

    async def _ask(self, blobs: Mapping[str, Blob]) -> None:
        """Learn which large inputs the host has already."""
        unknown = [[sha, blob.size] for sha, blob in blobs.items()
                   if blob.size >= KEPT_FROM and sha not in self._book.blobs]
        for start in range(0, len(unknown), _ASKED_AT_ONCE):
            chosen = unknown[start:start + _ASKED_AT_ONCE]
            answer: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
            self._asked.append(answer)
            self._link.say("want", blobs=chosen)
            await self._send()
            lacking = await answer
            self._book.blobs.update(str(sha) for sha, _ in chosen if sha not in lacking)

    async def _put(self, blob: Blob) -> None:
        if blob.sha in self._book.blobs:
            return
        for offset, piece in pieces(blob):
            size = piece.size if isinstance(piece, Piece) else len(piece)
            put = {"t": "put", "sha": blob.sha, "size": blob.size, "crc": blob.crc, "off": offset, "n": size}
            if isinstance(piece, Piece):
                if not await self._send_file(frames.encode(put), *piece):
                    raise unreadable(blob)
            else:
                self._link.say_bytes(frames.encode(put, piece))
            self._unmarked += size
            if self._unmarked >= _MARKED:
                self._say_mark()
            # What is small goes out together.
            if self._link.waiting >= PIECE:
                await self._send()
        self._book.blobs.add(blob.sha)

    async def _flush(self) -> None:
        if self._unmarked:
            self._say_mark()
        await self._send()

    def _say_mark(self) -> None:
        self._unmarked, self._marks = 0, self._marks + 1
        self._link.say("ping", seq=MARK)
