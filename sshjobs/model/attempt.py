"""Attempt: one launch of a job on one host.

Pure data, as jobs are. A run may have a million of them in memory: what few of them have takes no room in the others.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from sshjobs.errors import UsageError
from sshjobs.model.causes import Cause
from sshjobs.model.outputs import Brought
from sshjobs.model.states import STATE_BUSY, Outcome


class Inputs(NamedTuple):
    """What an attempt was given to read.

    :ivar digest: of all of it, hex digits
    :ivar listing: what it consists of: kind, name and content of each; ``None`` where that is too long or stored
    """

    digest: str
    listing: tuple[tuple[str, str, str], ...] | None = None


class LeftOut(NamedTuple):
    """What was left out of the outputs of an attempt with a limit (``output_limit``).

    :ivar at: where: behind so many bytes of each output
    :ivar out: how many bytes of standard output, ``err`` of standard error
    """

    at: int
    out: int
    err: int

    def of(self, stream: str) -> int:
        """Return how many bytes of ``stdout`` or of ``stderr``."""
        return self.out if stream == "stdout" else self.err


def first_half(limit: int) -> int:
    """Return how many bytes are kept of the beginning of an output with a limit; the rest of it is for its end."""
    return (limit + 1) // 2


class _Seldom:
    """What most attempts do not have. To change it, make a copy first: many have the one without anything."""

    __slots__ = ("brought", "cause", "gpus", "inputs", "left_out", "origin", "reason", "result_json", "signal",
                 "stored_result")

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, None)


_NOTHING = _Seldom()


class Attempt:
    """One launch of a job on one host.

    :ivar n: its number within the job, from 1, never reused
    :ivar uid: its name on the wire and on the host, ``<job number>.<n>``
    :ivar token: random text in the job's environment, by which its processes are recognised; empty once it is released
    :ivar started: seconds since the epoch by the host's clock; ``None`` until it is known
    :ivar cause: why it ended as it did, where the outcome alone does not tell
    :ivar reason: what was said about that, by its host or by us; :func:`sshjobs.model.causes.explain` makes a sentence
    :ivar pid: process id of its main process on the host; ``None`` until it is known
    :ivar out_size: bytes of its standard output, ``err_size`` of its standard error; ``None`` until it ended
    :ivar out_crc: crc32 of its standard output, ``err_crc`` of its standard error; ``None`` until it ended, and where
        several managers took it in
    :ivar cpu: seconds of processor time that it used; ``None`` where the host does not tell
    :ivar rss: the most memory that it had resident, in bytes; ``None`` where the host does not tell
    :ivar brought: which of its files were brought; ``None`` until it ended, and where none were to be
    :ivar released: nothing of it that is needed is on its host any more
    :ivar result_json: what it left as its result, as a line of JSON; ``None`` where that is nothing, or was put aside
    :ivar stored_result: returns that for its uid, where it was put aside as too large to be kept here
    :ivar inputs: what it was given to read; ``None`` where that is nothing, and until it is known
    :ivar left_out: what was left out of its outputs; ``None``: nothing, and until it ended
    :ivar gpus: the UUIDs of the GPUs that it was given; ``None``: none
    :ivar origin: name of the run that it was made in and is carried over from; ``None``: the run that it is in
    """

    #: Not written out, as what few have may be set, too: it is properties, made below.
    __slots__ = tuple("_seldom cpu ended err_crc err_size exit_status host n out_crc out_size outcome pid released rss "
                      "started state token uid".split())

    brought: Brought | None
    cause: Cause | None
    gpus: tuple[str, ...] | None
    inputs: Inputs | None
    left_out: LeftOut | None
    origin: str | None
    reason: str | None
    result_json: str | None
    signal: int | None
    stored_result: Callable[[str], str | None] | None

    def __init__(self, n: int, uid: str, host: str, token: str):
        if not (isinstance(n, int) and isinstance(uid, str) and isinstance(host, str) and isinstance(token, str)):
            raise UsageError("an attempt is Attempt(number, uid, host, token)", why=f"got {n!r:.40}, {uid!r:.40}, …")
        self.n, self.uid, self.host, self.token = n, uid, host, token
        self.state = STATE_BUSY
        self._seldom = _NOTHING
        self.outcome: Outcome | None = None
        self.exit_status: int | None = None
        self.started: float | None = None
        self.ended: float | None = None
        self.pid: int | None = None
        self.out_size: int | None = None
        self.err_size: int | None = None
        self.out_crc: int | None = None
        self.err_crc: int | None = None
        self.cpu: float | None = None
        self.rss: int | None = None
        self.released = False

    @property
    def result(self) -> dict[str, Any]:
        """What it left as its result: a new mapping each time, empty until it ended, and where it left nothing.

        :raises StoreError: it is large, and the run that it is in cannot be read any more
        """
        text = self.result_json if self.stored_result is None else self.stored_result(self.uid)
        found: dict[str, Any] = json.loads(text) if text else {}
        return found

    @property
    def seconds(self) -> float | None:
        """For how long it ran, by its host's clock; ``None`` until it ended, and where it did not start."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)

    def __repr__(self) -> str:
        return f"Attempt({self.uid} on {self.host}, {standing(self)})"


def _seldom(name: str) -> property:
    """Return the attribute of an attempt that few have."""
    def put(attempt: Attempt, value: object) -> None:
        if value is not getattr(attempt._seldom, name):
            attempt._seldom = copy(attempt._seldom)
            setattr(attempt._seldom, name, value)

    return property(attrgetter(f"_seldom.{name}"), put)


for _name in _Seldom.__slots__:
    setattr(Attempt, _name, _seldom(_name))


def is_plain(attempt: Attempt) -> bool:
    """Return whether an attempt has nothing of what few attempts have."""
    return attempt._seldom is _NOTHING


class Standing(Protocol):
    """What a job and an attempt have alike."""

    state: str
    outcome: Outcome | None
    exit_status: int | None
    signal: int | None

    @property
    def seconds(self) -> float | None:
        """For how long it ran."""


def standing(record: Standing) -> str:
    """Return where a job or an attempt stands in a few words: ``busy``, ``error, failed, exit 3, 1.2 s``."""
    words: list[str] = [record.state]
    if record.outcome is not None:
        words.append(record.outcome.value)
    if record.exit_status:
        words.append(f"exit {record.exit_status}")
    if record.signal:
        words.append(f"signal {record.signal}")
    if record.seconds is not None:
        words.append(f"{record.seconds:.1f} s")
    return ", ".join(words)
