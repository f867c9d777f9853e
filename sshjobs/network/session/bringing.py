"""Files that attempts on one host leave, on their way home: what is asked for, what came, and what is wrong with it.

No input or output but on this machine's disk. Attempts wait for each other, but for a few: memory stays bounded.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sshjobs.errors import LocalError, ProtocolError, printable
from sshjobs.model.outputs import Output, complaint, outputs_of, wanted_meanwhile
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.protocol import link as words
from sshjobs.network.session.arrivals import Arrivals, UnplaceableError
from sshjobs.network.session.attempts import Ended, LiveAttempt
from sshjobs.network.session.pull import Known, Listed, Pull, Stage
from sshjobs.network.trouble import LocalTrouble, NearlyFull, cannot_write, nearly_full

#: Attempts of one host whose files are brought at a time.
AT_ONCE = 4


class Bringing:
    """See the module. Belongs to the network's event loop.

    :param say: takes what is to be said to the host, in order
    :param listens: tells whether the host can be asked
    :param end: takes the end of an attempt once its files are here, and what a person should know of them
    :param given: the names of entries whose files other jobs are given: the host is to keep these for them
    """

    def __init__(self, arrivals: Arrivals, say: Callable[[Callable[[words.Link], None]], None],
                 listens: Callable[[], bool], end: Callable[[LiveAttempt, Ended, str | None], None],
                 given: Collection[str] = ()):
        self._arrivals, self._say, self._listens, self._end = arrivals, say, listens, end
        self._seq, self._given = 0, given
        #: Attempts whose files are brought while they run, and what is known of these from the last time.
        self._watched: dict[str, dict[str, Known]] = {}
        self._pulls: dict[str, Pull] = {}
        self._due: deque[Pull] = deque()
        self._more = asyncio.Event()

    def __contains__(self, uid: str) -> bool:
        """Whether the files of an attempt that has ended are brought."""
        return uid in self._pulls and self._pulls[uid].end is not None

    def watch(self, attempt: LiveAttempt) -> None:
        """Bring files of an attempt again and again as long as it runs, where its job wants that."""
        wanted, every = wanted_meanwhile(outputs_of(attempt.spec.outputs))
        if not wanted or attempt.uid in self._watched:
            return
        self._watched[attempt.uid] = {}
        loop = asyncio.get_running_loop()

        def look() -> None:
            if attempt.uid not in self._watched:
                return
            if self._listens() and attempt.uid not in self._pulls:
                self._add(attempt, None, wanted)
            loop.call_later(every, look)

        loop.call_later(every, look)

    def _add(self, attempt: LiveAttempt, end: Ended | None, outputs: Sequence[Output]) -> None:
        self._seq += 1
        pull = self._pulls[attempt.uid] = Pull(attempt, end, outputs, self._seq, self._watched.get(attempt.uid, {}))
        if wrong := next(filter(None, map(complaint, pull.patterns)), None):
            # Values of parameters stand in it.
            self.give_up(attempt.uid, printable(wrong))
        self._ask_next()

    def begin(self, attempt: LiveAttempt, end: Ended, outputs: Sequence[Output]) -> None:
        """Bring the files of an attempt, then take it for ended."""
        self._watched.pop(attempt.uid, None)
        self._add(attempt, end, outputs)

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
        self._watched.pop(uid, None)
        pull = self._pulls.pop(uid, None)
        if pull is None:
            return None
        self._say(lambda link: link.say("drop", id=uid))
        self._ask_next()
        return pull.end

    def cut(self) -> None:
        """Note that a connection ended."""
        self._due.clear()
        self._pulls = {uid: pull for uid, pull in self._pulls.items() if pull.end is not None}
        for pull in self._pulls.values():
            pull.told = False
            if pull.stage is not Stage.DONE:
                pull.stage = Stage.WAITS
            # What was told before may be gone.
            pull.untidy = True

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
                more: dict[str, Any] = {"keep": True} if self._is_kept(pull) else {}
                self._say(functools.partial(words.Link.say, kind="pull", id=pull.attempt.uid, seq=pull.seq,
                                            cwd=directory_of(pull.attempt.spec), patterns=pull.patterns,
                                            after=pull.after, **more))

    def _is_kept(self, pull: Pull) -> bool:
        """Tell whether its host is to keep the files of an attempt: nothing writes to them any more, and others need
        them."""
        spec, end = pull.attempt.spec, pull.end
        if end is None or spec.entry_name not in self._given or spec.leftovers == "keep":
            return False
        # In a directory that is kept a person may write.
        return spec.keep_directory == "never" or (
            spec.keep_directory == "on_failure" and end.outcome is Outcome.SUCCEEDED)

    # -- what the host says --------------------------------------------------------------------------------------
    # Each of these tells whether it changed anything. After a LocalError the same may be given again.

    def found(self, keys: dict[str, Any]) -> bool:
        """Take the next page of an attempt's files.

        :raises ProtocolError: it cannot be so
        :raises LocalError: this machine's disk cannot take them
        """
        pull = self._pulls.get(keys["id"])
        if pull is None or pull.stage is not Stage.ASKED or keys["seq"] != pull.seq:
            return False
        if not pull.prepared:
            self._on_disk(pull, lambda: pull.prepare(self._arrivals))
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
        if pull.checks and any(size < 0 for size, _ in have):
            return self._bring_anew(pull)
        pull.have = have
        pull.came = {index: digest for index, (_, digest) in enumerate(have) if isinstance(digest, str)}
        missing = [index for index in range(len(have)) if index not in pull.came]
        begun = [index for index in missing if have[index][0]]
        self._get(pull, begun or missing, more=not begun)

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
            if pull.checks and index not in pull.came:
                self._bring_anew(pull)
                return True
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
        elif pull.checks or (not listed.size and self._arrivals.keep(pull.attempt.place, listed.path, 0)):
            pull.came[index] = sha
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

    def _bring_anew(self, pull: Pull) -> None:
        """Bring what an earlier manager had brought: it is not here any more, or not as it was."""
        pull.attempt.brought = None
        assert pull.end is not None
        self._add(pull.attempt, pull.end, pull.outputs)

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
        if pull.end is None:
            if pull.is_whole:
                self._on_disk(pull, lambda: self._arrivals.publish(pull.attempt.place, True, pull.others))
                self._watched[pull.attempt.uid] = pull.learnt
            del self._pulls[pull.attempt.uid]
        else:
            end, text = pull.concluded(pull.end)
            if pull.checks and end.brought != pull.attempt.brought:
                return self._bring_anew(pull)
            if pull.prepared:
                self._on_disk(pull, lambda: self._arrivals.publish(
                    pull.attempt.place, end.brought is not None and end.brought.files > 0 and not pull.checks,
                    pull.others))
            del self._pulls[pull.attempt.uid]
            self._end(pull.attempt, end, text)
        self._ask_next()


def directory_of(spec: JobSpec) -> str | None:
    """Return what the host is told of the directory that an attempt ran in."""
    cwd, home = spec.cwd, spec.env.get("HOME")
    if cwd is not None and home and (cwd == "~" or cwd.startswith("~/")):
        return home + cwd[1:]
    return cwd
