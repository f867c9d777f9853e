"""The transfer of one attempt's files: what its host has listed, what has come, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

from sshjobs.errors import ProtocolError, printable
from sshjobs.gjob.patterns import Patterns
from sshjobs.model.causes import Cause
from sshjobs.model.outputs import Brought, Output, line_of, place_of
from sshjobs.model.states import Outcome
from sshjobs.network.session.arrivals import Arrivals, UnplaceableError
from sshjobs.network.session.attempts import Ended, LiveAttempt

#: At most so many files of an attempt are remembered from one fetch to the next.
MOST_KNOWN = 10_000
#: Files of one attempt, and bytes of them, at most.
MOST_FILES, MOST_BYTES = 1_000_000, 8 << 40
#: A host may skip so many bytes of a hole between two frames: they are digested at once.
GAP = 1 << 24
#: At most so many files that were not fetched are named, each with so many characters of its name.
_NAMED, _NAME = 5, 120
_ZEROS = bytes(1 << 20)
_WHY_NOT = {"link": "a link", "not-a-file": "a pipe, a socket or a device", "unreadable": "it cannot be read",
            "changed": "it changed while it was read", "gone": "it is gone", "damaged": "it was damaged on its way"}


class Listed(NamedTuple):
    """A file that a host has listed."""

    path: str
    size: int
    time: int
    program: bool


class Known(NamedTuple):
    """A file as it was when it was fetched."""

    size: int
    time: int
    sha: str


class Stage(Enum):
    """How far the transfer is."""

    #: Nothing was asked for over the present connection.
    WAITS = auto()
    #: A page was asked for.
    ASKED = auto()
    #: The page is compared with what is here.
    LOOKS = auto()
    #: Files of the page are coming.
    GETS = auto()
    #: All are here.
    DONE = auto()


class Pull:
    """The transfer of one attempt's files.

    :param end: how the attempt ended; ``None`` while it runs
    :param outputs: what is to be fetched
    :param seq: number of the transfer, by which its frames are told from those of an earlier one
    :param known: files that were fetched before: their size, time of last change and sha256
    :ivar after: all files up to this path are done
    """

    def __init__(self, attempt: LiveAttempt, end: Ended | None, outputs: Sequence[Output], seq: int,
                 known: Mapping[str, Known]):
        self.attempt, self.end, self.outputs, self.seq, self.known = attempt, end, outputs, seq, known
        self.learnt: dict[str, Known] = {}
        self.stage = Stage.WAITS
        #: The host has confirmed over the present connection that the attempt has ended.
        self.told = True
        self.after = ""
        self.prepared = self.last = False
        self.page: list[Listed] = []
        #: For the files of the page: how many bytes of each are here, with their digest; which are to come, in order;
        #: which came; which will not come; which are to be asked for once more.
        self.have: list[tuple[int, Any]] = []
        self.coming: deque[int] = deque()
        self.came: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self.again: list[int] = []
        #: The next page was asked for together with the files that are coming.
        self.more = False
        #: Of the file that is coming: the bytes so far, their digest, and whether any were written.
        self.position, self.digest, self.begun = 0, hashlib.sha256(), False
        #: An earlier manager has fetched them, and other processes may read them. They are only compared, where they
        #: are, and not even linked.
        self.checks = end is not None and attempt.brought is not None
        self._patterns = Patterns([one.pattern for one in outputs])
        self._fitted: set[int] = set()
        #: Hashes of the paths of all files that came; whether other files may be among the arriving ones.
        self._all: set[int] = set()
        self.untidy = False
        self._files = self._size = 0
        self._lines = hashlib.sha256()
        self._odd: list[str] = []
        self._odd_count, self._moved = 0, False
        self.trouble: str | None = None

    @property
    def patterns(self) -> list[str]:
        """The patterns that the host is asked for."""
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
        self._moved = self._moved or why not in ("link", "not-a-file")
        if len(self._odd) < _NAMED:
            name = printable(path) if path else "the directory that it ran in"
            self._odd.append(f"'{name[:_NAME]}{'…' if len(name) > _NAME else ''}' ({_WHY_NOT.get(why, why)})")

    def look(self, arrivals: Arrivals) -> list[tuple[int, Any]]:
        """Compare the page with what is here. Reads files: call it in a thread of its own."""
        found: list[tuple[int, Any]] = []
        for one in self.page:
            known = self.known.get(one.path)
            # While a job runs its files are fetched again and again: those that have not changed are not even read.
            if known is not None and known[:2] == (one.size, one.time) and self.end is None and arrivals.keep(
                    self.attempt.place, one.path, one.size):
                found.append((one.size, known.sha))
                continue
            if self.checks and not arrivals.is_here(self.attempt.place, one.path, one.size):
                found.append((-1, None))
                continue
            try:
                found.append(arrivals.have(self.attempt.place, one.path, one.size, not self.checks))
            except UnplaceableError:
                found.append((0, hashlib.sha256()))
        return found

    def begin_file(self) -> None:
        """Prepare for the next file."""
        if self.coming:
            index = self.coming[0]
            # It was damaged on the way or here: it starts again from its first byte.
            have, digest = (0, hashlib.sha256()) if index in self.again else self.have[index]
            self.position, self.digest, self.begun = have, digest.copy(), have > 0

    def zeros(self, digest: Any, until: int) -> None:
        """Add a hole to a digest.

        :raises ProtocolError: it is too large for one frame
        """
        gap = until - self.position
        if not 0 <= gap <= GAP:
            raise ProtocolError("a part of a file out of order", where=self.attempt.uid,
                                why=f"{until} came after {self.position}")
        for start in range(0, gap, len(_ZEROS)):
            digest.update(_ZEROS[:gap - start])

    def close_page(self) -> None:
        """Add the files of the page that came to the result."""
        for index, one in enumerate(self.page):
            if (sha := self.came.get(index)) is None:
                self._refuse(one.path, self.refused.get(index, "gone"))
                self.untidy = True
                continue
            self._all.add(_hash(one.path))
            self._files += 1
            self._size += one.size
            if len(self.learnt) < MOST_KNOWN:
                self.learnt[one.path] = Known(one.size, one.time, sha)
            self._lines.update(line_of(one.path, one.size, sha))
            self._fitted.update(self._patterns.of(one.path))
        if self.page:
            self.after = self.page[-1].path
        self.page = []

    def prepare(self, arrivals: Arrivals) -> None:
        """Prepare the place where the files arrive, once."""
        self.untidy = arrivals.prepare(self.attempt.place) or self.untidy
        self.prepared = True

    @property
    def others(self) -> Callable[[str], bool] | None:
        """Return a function that tells whether an arriving file came in this transfer; ``None`` where all did."""
        return (lambda path: _hash(path) in self._all) if self.untidy else None

    @property
    def is_whole(self) -> bool:
        """Whether all files came, and none changed meanwhile."""
        return self._files > 0 and not self.trouble and not self._moved

    def concluded(self, end: Ended) -> tuple[Ended, str | None]:
        """Return the end of the attempt, and what a person should know of its files."""
        said = []
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


def _hash(path: str) -> int:
    # Of the bytes: the same name of a file may travel in two ways.
    return hash(path.encode("utf-8", "surrogateescape"))
