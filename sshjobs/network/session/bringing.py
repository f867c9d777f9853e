"""Files that attempts on one host leave, on their way home: what is asked for, what came, and what is wrong with it.

No input or output but on this machine's disk. Attempts wait for each other, but for a few: memory stays bounded.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from sshjobs.errors import LocalError, ProtocolError, printable
from sshjobs.gjob.patterns import Patterns
from sshjobs.model.causes import Cause
from sshjobs.model.outputs import Brought, Output, complaint, line_of, place_of
from sshjobs.model.states import Outcome
from sshjobs.network.protocol import link as words
from sshjobs.network.session.arrivals import Arrivals, UnplaceableError
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.trouble import LocalTrouble, NearlyFull, cannot_write, nearly_full

#: Attempts of one host whose files are brought at a time.
AT_ONCE = 4
#: Files of one attempt, and bytes of them, at most.
MOST_FILES, MOST_BYTES = 1_000_000, 8 << 40
#: Bytes that were never written and that a host may pass over between two frames: they are digested at once.
GAP = 1 << 24
#: Files that are named which were not brought, and characters of the name of one.
_NAMED, _NAME = 5, 120
_ZEROS = bytes(1 << 20)
_WHY_NOT = {"link": "a link", "not-a-file": "a pipe, a socket or a device", "unreadable": "it cannot be read",
            "changed": "it changed while it was read", "gone": "it is gone", "damaged": "it was damaged on its way"}


class Listed(NamedTuple):
    """A file that a host has told."""

    path: str
    size: int
    time: int
    program: bool


class Stage(Enum):
    """How far the files of an attempt are."""

    #: Nothing was said over the connection that there is.
    WAITS = auto()
    #: A page was asked for.
    ASKED = auto()
    #: It is looked at what of the page is here.
    LOOKS = auto()
    #: Files of the page are coming.
    GETS = auto()
    #: All are here.
    DONE = auto()


class Pull:
    """The files of one attempt.

    :param end: how the attempt ended
    :param outputs: what is to be brought
    :ivar after: the path up to which all is here
    """

    def __init__(self, attempt: LiveAttempt, end: Ended, outputs: Sequence[Output]):
        self.attempt, self.end, self.outputs = attempt, end, outputs
        self.stage = Stage.WAITS
        #: The host has told over the connection that there is that the attempt has ended.
        self.told = True
        self.after = ""
        self.prepared = self.last = False
        self.page: list[Listed] = []
        #: Of the files of the page: how many bytes are here with their digest; which are to come, in order; which came;
        #: which will not; which are to be asked for once more.
        self.have: list[tuple[int, Any]] = []
        self.coming: deque[int] = deque()
        self.came: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self.again: list[int] = []
        #: The next page follows what is coming.
        self.more = False
        #: Of the file that is coming: how far it is, its digest, and whether anything of it was written.
        self.position, self.digest, self.begun = 0, hashlib.sha256(), False
        self._patterns = Patterns([one.pattern for one in outputs])
        self._fitted: set[int] = set()
        self._files = self._size = 0
        self._lines = hashlib.sha256()
        self._odd: list[str] = []
        self._odd_count = 0
        self.trouble: str | None = None

    @property
    def patterns(self) -> list[str]:
        """What the host is told to look for."""
        return [one.pattern for one in self.outputs]

    def take_page(self, keys: dict[str, Any]) -> None:
        """Take what a host tells of the next files.

        :raises ProtocolError: it cannot be so
        """
        columns = [keys[key] for key in ("paths", "sizes", "times", "programs")]
        if len({len(column) for column in columns}) > 1 or len(keys["odd"]) != len(keys["why"]):
            raise ProtocolError("a found frame whose lists do not go together")
        page = [Listed(*row) for row in zip(*columns, strict=True)]
        before = place_of(self.after) if self.after else []
        for one in page:
            if (place := place_of(one.path)) <= before:
                raise ProtocolError("files that are out of order", where=self.attempt.uid)
            if not self._patterns.of(one.path):
                raise ProtocolError("a file that nobody asked for", where=self.attempt.uid, why=repr(one.path)[:100])
            before = place
        self.page, self.last = page, keys["last"]
        self.have, self.came, self.refused, self.again = [], {}, {}, []
        for path, why in zip(keys["odd"], keys["why"], strict=True):
            self._refuse(path, why)
        if self._files + self._odd_count + len(page) > MOST_FILES:
            self.trouble = f"they are more than {MOST_FILES:,} files"
        elif self._size + sum(one.size for one in page) > MOST_BYTES:
            self.trouble = f"they have more than {MOST_BYTES >> 40} TiB"

    def _refuse(self, path: str, why: str) -> None:
        self._odd_count += 1
        if len(self._odd) < _NAMED:
            name = printable(path) if path else "the directory that it ran in"
            self._odd.append(f"'{name[:_NAME]}{'…' if len(name) > _NAME else ''}' ({_WHY_NOT.get(why, why)})")

    def look(self, arrivals: Arrivals) -> list[tuple[int, Any]]:
        """See what of the page is here. Reads files: in a thread of its own."""
        found = []
        for one in self.page:
            try:
                found.append(arrivals.have(self.attempt.place, one.path, one.size))
            except UnplaceableError:
                found.append((0, hashlib.sha256()))
        return found

    def begin_file(self) -> None:
        """Make ready for the next file that is to come."""
        if self.coming:
            index = self.coming[0]
            # What came of it may have been damaged here: it is begun anew.
            have, digest = (0, hashlib.sha256()) if index in self.again else self.have[index]
            self.position, self.digest, self.begun = have, digest.copy(), have > 0

    def zeros(self, digest: Any, until: int) -> None:
        """Add what was never written to a digest.

        :raises ProtocolError: that is too much at a time
        """
        gap = until - self.position
        if not 0 <= gap <= GAP:
            raise ProtocolError("a part of a file out of order", where=self.attempt.uid,
                                why=f"{until} came after {self.position}")
        for start in range(0, gap, len(_ZEROS)):
            digest.update(_ZEROS[:gap - start])

    def close_page(self) -> None:
        """Count what came of the page."""
        for index, one in enumerate(self.page):
            if (sha := self.came.get(index)) is None:
                self._refuse(one.path, self.refused.get(index, "gone"))
                continue
            self._files += 1
            self._size += one.size
            self._lines.update(line_of(one.path, one.size, sha))
            self._fitted.update(self._patterns.of(one.path))
        if self.page:
            self.after = self.page[-1].path
        self.page = []

    def concluded(self) -> tuple[Ended, str | None]:
        """Return the end of the attempt, and what a person should know of its files."""
        end, said = self.end, []
        lacking = [] if self.trouble else [one for n, one in enumerate(self.outputs) if n not in self._fitted]
        if self.trouble is not None:
            said.append(f"its files were not brought: {self.trouble}")
        else:
            end = end._replace(brought=Brought(self._files, self._size, self._lines.hexdigest()))
        if self._odd:
            more = f" and {self._odd_count - len(self._odd):,} more" if self._odd_count > len(self._odd) else ""
            said.append(f"not brought: {', '.join(self._odd)}{more}")
        for required in (True, False):
            if names := [f"'{printable(one.pattern)[:_NAME]}'" for one in lacking if one.required is required]:
                said.append(f"no file was brought for {', '.join(names[:_NAMED])}{' (required)' if required else ''}")
        text = "; ".join(said) or None
        required = any(one.required for one in (self.outputs if self.trouble else lacking))
        if required and end.outcome is Outcome.SUCCEEDED:
            end = end._replace(outcome=Outcome.FAILED, cause=Cause.OUTPUT_MISSING, reason=text)
        elif text is not None:
            end = end._replace(reason=f"{end.reason}; {text}" if end.reason else text)
        return end, text


class Bringing:
    """See the module. Belongs to the network's event loop.

    :param say: takes what is to be said to the host, in order
    :param end: takes the end of an attempt once its files are here, and what a person should know of them
    """

    def __init__(self, arrivals: Arrivals, say: Callable[[Callable[[words.Link], None]], None],
                 end: Callable[[LiveAttempt, Ended, str | None], None]):
        self._arrivals, self._say, self._end = arrivals, say, end
        self._pulls: dict[str, Pull] = {}
        self._due: deque[Pull] = deque()
        self._more = asyncio.Event()

    def __contains__(self, uid: str) -> bool:
        return uid in self._pulls

    def begin(self, attempt: LiveAttempt, end: Ended, outputs: Sequence[Output]) -> None:
        """Bring the files of an attempt, then take it for ended."""
        pull = self._pulls[attempt.uid] = Pull(attempt, end, outputs)
        if wrong := next(filter(None, map(complaint, pull.patterns)), None):
            # Values of parameters stand in it.
            self.give_up(attempt.uid, printable(wrong))
        self._ask_next()

    def go_on(self, uid: str) -> bool:
        """Go on over a new connection: the host has told that it has the attempt still. Tell whether that is news."""
        pull = self._pulls[uid]
        if pull.told:
            return False
        pull.told = True
        if pull.stage is Stage.DONE:
            self._enqueue(pull)
        self._ask_next()
        return True

    def give_up(self, uid: str, why: str) -> None:
        """Take an attempt for ended whose files cannot be brought any more."""
        pull = self._pulls[uid]
        pull.trouble, pull.stage = why, Stage.DONE
        self._enqueue(pull)

    def forget(self, uid: str) -> Ended | None:
        """Bring nothing more of an attempt; return how it had ended."""
        pull = self._pulls.pop(uid, None)
        if pull is None:
            return None
        self._say(lambda link: link.say("drop", id=uid))
        self._ask_next()
        return pull.end

    def cut(self) -> None:
        """Note that a connection ended."""
        self._due.clear()
        for pull in self._pulls.values():
            pull.told = False
            if pull.stage is not Stage.DONE:
                pull.stage = Stage.WAITS

    def _enqueue(self, pull: Pull) -> None:
        self._due.append(pull)
        self._more.set()

    def _ask_next(self) -> None:
        """Ask for files of attempts whose turn it is."""
        free = AT_ONCE - sum(1 for pull in self._pulls.values() if pull.stage not in (Stage.WAITS, Stage.DONE))
        for pull in self._pulls.values():
            if free <= 0:
                return
            if pull.stage is Stage.WAITS and pull.told:
                pull.stage, free = Stage.ASKED, free - 1
                self._say(functools.partial(words.Link.say, kind="pull", id=pull.attempt.uid,
                                            cwd=_directory(pull.attempt), patterns=pull.patterns, after=pull.after))

    # -- what the host says --------------------------------------------------------------------------------------
    # Each of these tells whether it changed anything. After a LocalError the same may be given again.

    def found(self, keys: dict[str, Any]) -> bool:
        """Take the next page of an attempt's files.

        :raises ProtocolError: it cannot be so
        :raises LocalError: this machine's disk cannot take them
        """
        pull = self._pulls.get(keys["id"])
        if pull is None or pull.stage is not Stage.ASKED:
            return False
        if not pull.prepared:
            self._on_disk(pull, lambda: self._arrivals.prepare(pull.attempt.place))
            pull.prepared = True
        pull.take_page(keys)
        if pull.trouble is not None:
            self._say(lambda link: link.say("drop", id=keys["id"]))
            pull.stage = Stage.DONE
        else:
            pull.stage = Stage.LOOKS
        self._enqueue(pull)
        return True

    def _looked(self, pull: Pull, have: list[tuple[int, Any]]) -> None:
        """Ask for what is missing of a page; first for what is here in part, which may turn out to be another file."""
        pull.have = have
        begun = [index for index, (size, _) in enumerate(have) if size]
        self._get(pull, begun or list(range(len(have))), more=not begun)

    def _get(self, pull: Pull, wanted: list[int], *, more: bool) -> None:
        pull.coming, pull.stage, pull.more = deque(wanted), Stage.GETS, more
        files = [[index, 0 if index in pull.again else pull.have[index][0]] for index in wanted]
        self._say(functools.partial(words.Link.say, kind="get", id=pull.attempt.uid, files=files, more=more))
        pull.begin_file()
        self._see_page(pull)

    def part(self, part: words.Part) -> bool:
        """Take the next bytes of a file.

        :raises ProtocolError: they are not the next
        :raises LocalError: this machine's disk cannot take them
        """
        pull = self._pulls.get(part.uid)
        if pull is None or pull.stage is not Stage.GETS:
            return False
        listed = self._expected(pull, part.file)
        if part.off + len(part.data) > listed.size:
            raise ProtocolError("more of a file than it has", where=part.uid)
        digest = pull.digest.copy()
        pull.zeros(digest, part.off)
        if part.data and part.file not in pull.refused:
            try:
                self._on_disk(pull, lambda: self._arrivals.write(pull.attempt.place, listed.path, part.off, part.data,
                                                                 not pull.begun))
            except UnplaceableError as error:
                pull.refused[part.file] = str(error)
            pull.begun = True
        digest.update(part.data)
        pull.digest, pull.position = digest, part.off + len(part.data)
        return True

    def whole(self, keys: dict[str, Any]) -> bool:
        """Take that a file has come to its end, or will not come.

        :raises ProtocolError: it has not
        :raises LocalError: this machine's disk cannot take it
        """
        pull = self._pulls.get(keys["id"])
        if pull is None or pull.stage is not Stage.GETS:
            return False
        index = keys["i"]
        listed = self._expected(pull, index)
        if keys["sha"] is not None:
            self._complete(pull, index, listed, keys["sha"])
        else:
            pull.refused.setdefault(index, keys["why"] or "gone")
        pull.coming.popleft()
        pull.begin_file()
        self._see_page(pull)
        return True

    def _complete(self, pull: Pull, index: int, listed: Listed, sha: str) -> None:
        digest = pull.digest.copy()
        pull.zeros(digest, listed.size)
        if digest.hexdigest() != sha:
            if pull.have[index][0] and index not in pull.again:
                pull.again.append(index)
            else:
                pull.refused.setdefault(index, "damaged")
        elif index not in pull.refused:
            try:
                self._on_disk(pull, lambda: self._arrivals.finish(pull.attempt.place, listed.path, listed.size,
                                                                  listed.program, not pull.begun))
                pull.came[index] = sha
            except UnplaceableError as error:
                pull.refused[index] = str(error)

    @staticmethod
    def _expected(pull: Pull, index: int) -> Listed:
        if not pull.coming or pull.coming[0] != index:
            raise ProtocolError("a file that was not its turn", where=pull.attempt.uid)
        return pull.page[index]

    def _see_page(self, pull: Pull) -> None:
        """Go on where all has come that was asked for."""
        if pull.coming:
            return
        if not pull.more:
            self._get(pull, [index for index in range(len(pull.page))
                             if index not in pull.came and index not in pull.refused], more=True)
            return
        pull.close_page()
        pull.stage = Stage.DONE if pull.last else Stage.ASKED
        if pull.last:
            self._enqueue(pull)

    def _on_disk(self, pull: Pull, act: Callable[[], None]) -> None:
        try:
            act()
        except NearlyFull as error:
            raise nearly_full(str(pull.attempt.keys["job"])) from error
        except OSError as error:
            raise cannot_write(error, pull.attempt.place) from error

    # -- what takes its time -------------------------------------------------------------------------------------

    async def serve(self, trouble: LocalTrouble) -> None:
        """See what is here of what hosts tell, and put what came in its place; until cancelled."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._due:
                pull = self._due.popleft()
                if self._pulls.get(pull.attempt.uid) is not pull:
                    continue
                if pull.stage is Stage.LOOKS:
                    have = await trouble.outwait(functools.partial(self._look, trouble, pull))
                    if pull.stage is Stage.LOOKS and self._pulls.get(pull.attempt.uid) is pull:
                        self._looked(pull, have)
                elif pull.stage is Stage.DONE:
                    await trouble.outwait(functools.partial(self._publish, pull))

    async def _look(self, trouble: LocalTrouble, pull: Pull) -> list[tuple[int, Any]]:
        try:
            return await trouble.aside(functools.partial(pull.look, self._arrivals))
        except OSError as error:
            raise LocalError.of(error, "files cannot be read on this machine", where=pull.attempt.place) from error

    async def _publish(self, pull: Pull) -> None:
        end, text = pull.concluded()
        if pull.prepared:
            self._on_disk(pull, lambda: self._arrivals.publish(
                pull.attempt.place, end.brought is not None and end.brought.files > 0))
        del self._pulls[pull.attempt.uid]
        self._end(pull.attempt, end, text)
        self._ask_next()


def _directory(attempt: LiveAttempt) -> str | None:
    """Return what the host is told of the directory that an attempt ran in."""
    cwd, home = attempt.spec.cwd, attempt.spec.env.get("HOME")
    if cwd is not None and home and (cwd == "~" or cwd.startswith("~/")):
        return home + cwd[1:]
    return cwd
