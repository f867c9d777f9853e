"""Frames of the link as the near side writes and reads them. Whatever a host sends is hostile until checked here.

The grammar is in docs/protocol.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sshjobs.errors import ProtocolError
from sshjobs.model.causes import Cause
from sshjobs.model.gpus import MAX_GPUS
from sshjobs.model.states import Outcome
from sshjobs.network.protocol.fields import (
    COUNT,
    LONG,
    MEMORY,
    NAME,
    PATH,
    PID,
    SENTENCE,
    SIGNAL,
    SIZE,
    STATUS,
    TIME,
    UID,
    Bad,
    Field,
    Flag,
    Inner,
    Match,
    Maybe,
    Real,
    Record,
    Result,
    Several,
    Text,
    Whole,
    Word,
    is_heavy,
    read_json,
)

#: Version of the protocol; both sides must speak the same, since the manager ships the agent.
VERSION = 1
#: Longest header line and longest body, in bytes.
MAX_LINE = MAX_BODY = 1 << 20
#: How much noise (banners, motd, start-up files) may come before the agent's marker, in bytes.
MAX_NOISE = 16 << 20
#: The most cores that a Linux kernel is built for.
MOST_CORES = 8192

#: Returns JSON without blanks.
dumps = json.JSONEncoder(separators=(",", ":")).encode
_ASKED = 1000
#: What one run of one person holds of a host.
HOLDER = Record({"uid": COUNT, "user": Maybe(NAME), "run": NAME, "jobs": COUNT, "slots": COUNT, "memory": SIZE,
                 "units": COUNT})
#: So many of them are told at most.
_MOST_HOLDERS, _MOST_PARTS = 8, 100
#: What a host gives a run of something beside slots.
_PART = Record({"what": Text(128), "has": SIZE, "stalled": SIZE})
#: One GPU, or one instance of one, as a host tells of it.
_GPU = Record({"uuid": Match(re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]{0,99}")),
               "label": Match(re.compile("[0-9]{1,3}(:[0-9]{1,2})?")), "name": NAME, "memory": Maybe(MEMORY),
               "used": Maybe(MEMORY), "whole": Flag(), "by": Maybe(SENTENCE), "trouble": Maybe(SENTENCE),
               "held": Flag()})
#: GPUs of a host, and jobs whose use of it is told at a time.
_MOST_GPUS, _MOST_JOBS = 1000, 1000
_PERCENT, _BYTES, _KIB = Maybe(Whole(0, 100)), Maybe(MEMORY), Whole(0, MEMORY.high >> 10)
_is_uid = UID.pattern.fullmatch
#: Bytes of a piece of a body that is kept by itself.
_SMALL = 4096

#: Files on one page, at most; which of them; why one cannot be brought.
PAGE = 1000
_ON_PAGE, _WHY_NOT = Whole(0, PAGE - 1), Word(frozenset(("link", "not-a-file", "unreadable", "changed", "gone")))
_INNER = Inner(4096)

#: Bytes that were left out of outputs with a limit: behind how many, and how many of each.
LEFT_OUT = Record({"at": SIZE, "out": SIZE, "err": SIZE})

#: How an attempt may have ended on a host, with the outcome and the cause which that is here. Where it exited, its
#: status and the job's ``ok_exit`` decide whether it succeeded.
ENDS: dict[str, tuple[Outcome, Cause | None]] = {
    "exited": (Outcome.FAILED, None), "signalled": (Outcome.SIGNALLED, None), "timed_out": (Outcome.TIMED_OUT, None),
    "oom": (Outcome.OUT_OF_MEMORY, None), "cancelled": (Outcome.CANCELLED, None),
    "fenced": (Outcome.NEVER_STARTED, Cause.TAKEN_BACK), "start_failed": (Outcome.NEVER_STARTED, None),
    "gpu_taken": (Outcome.NEVER_STARTED, Cause.GPU_TAKEN), "gpu_failed": (Outcome.FAILED, Cause.GPU_FAILED),
    "cannot_start": (Outcome.NEVER_STARTED, Cause.CANNOT_START), "no_room": (Outcome.NEVER_STARTED, Cause.NO_ROOM),
    "lost": (Outcome.LOST, Cause.STATUS_UNKNOWN), "lease": (Outcome.LOST, Cause.LEASE),
    "reboot": (Outcome.LOST, Cause.REBOOT), "closed": (Outcome.LOST, Cause.CLOSED),
}

#: Why a host starts no jobs.
WHY_CLOSED = frozenset(("until", "hours", "away", "load", "memory"))

#: What a host may say: the frames by their type, with all their keys.
FRAMES: dict[str, dict[str, Field]] = {
    "welcome": {"v": Whole(0, 1000), "pid": PID, "boot": NAME, "pidns": SIZE, "machine": NAME, "hostname": NAME,
                "python": NAME, "cores": Whole(1, MOST_CORES), "memory": MEMORY, "gpus": Several(NAME, 1000),
                "gpu_tool": Maybe(NAME), "clock": TIME, "disk": SIZE, "root": PATH, "home": PATH, "resumed": Flag()},
    "stale": {"epoch": COUNT},
    "refused": {"kind": Match(re.compile("[a-z][a-z-]{1,30}")), "why": SENTENCE, "hint": SENTENCE},
    "state": {"id": UID, "s": Word(frozenset(("absent", "queued", "running")))},
    "started": {"id": UID, "pid": PID, "at": TIME},
    "out": {"id": UID, "s": Whole(1, 2), "off": SIZE, "n": Whole(0, MAX_BODY), "crc": Whole(0, (1 << 32) - 1)},
    "ended": {"id": UID, "why": Word(frozenset(ENDS)),
              "status": Maybe(STATUS), "signal": Maybe(SIGNAL), "started": Maybe(TIME),
              "ended": Maybe(TIME), "out": SIZE, "err": SIZE, "msg": Maybe(SENTENCE), "cpu": Maybe(Real(0, 1e10)),
              "rss": Maybe(_KIB), "result": Maybe(Result()), "bad_result": Maybe(SENTENCE),
              "left_out": Maybe(LEFT_OUT)},
    "found": {"id": UID, "seq": COUNT, "last": Flag(), "paths": Several(_INNER, PAGE), "sizes": Several(SIZE, PAGE),
              "times": Several(Whole(-(1 << 63), (1 << 63) - 1), PAGE), "programs": Several(Flag(), PAGE),
              "odd": Several(Text(4096), PAGE), "why": Several(_WHY_NOT, PAGE)},
    "part": {"id": UID, "i": _ON_PAGE, "off": SIZE, "n": Whole(0, MAX_BODY)},
    "whole": {"id": UID, "i": _ON_PAGE, "sha": Maybe(Match(re.compile("[0-9a-f]{64}"))), "why": Maybe(_WHY_NOT)},
    "stuck": {"id": UID, "pids": Several(PID, MAX_LINE)},
    "warn": {"msg": SENTENCE},
    "pong": {"seq": Whole(-1, COUNT.high)},
    "lack": {"shas": Several(Match(re.compile("[0-9a-f]{64}")), _ASKED)},
    "lease": {"at": Real(0, 1e12)},
    "manner": {"why": Maybe(Word(WHY_CLOSED)), "seconds": Maybe(Real(0, 1e12)), "value": Maybe(Real(0, MEMORY.high))},
    "pulse": {"load": Maybe(Real(0, 1e6)), "memory": _BYTES, "disk": Maybe(SIZE),
              "gpus": Several(_PERCENT, _MOST_GPUS), "gpu_memory": Several(_BYTES, _MOST_GPUS),
              "ids": Several(UID, _MOST_JOBS), "cpu": Several(Real(0, 1e10), _MOST_JOBS),
              "rss": Several(_KIB, _MOST_JOBS)},
    "shared": {"slots": Maybe(COUNT), "who": Several(HOLDER, _MOST_HOLDERS), "stalled": COUNT,
               "parts": Several(_PART, _MOST_PARTS)},
    "gpus": {"units": Several(_GPU, MAX_GPUS), "trouble": Maybe(SENTENCE)},
    "clearing": {"pieces": COUNT},
    "gone": {"processes": COUNT, "files": COUNT, "kept": Maybe(COUNT)},
    "error": {"msg": SENTENCE},
}


#: Key, types, lowest and highest of a number.
_Number = tuple[str, tuple[type, ...], float, float]


class _Plan(NamedTuple):
    """The fields of a frame in the order in which they are quickly checked: this is done some times for every job.

    :ivar maybe: numbers that may be null
    :ivar others: key and kind of all else but the attempt's uid
    """

    has_uid: bool
    numbers: tuple[_Number, ...]
    maybe: tuple[_Number, ...]
    others: tuple[tuple[str, Field], ...]
    size: int

    @classmethod
    def of(cls, fields: Mapping[str, Field]) -> _Plan:
        """Return the plan for a frame."""
        numbers, maybe = list[_Number](), list[_Number]()
        others = list[tuple[str, Field]]()
        for key, field in fields.items():
            inner = field.of if isinstance(field, Maybe) else field
            if isinstance(inner, Whole | Real):
                types = (int,) if isinstance(inner, Whole) else (int, float)
                (numbers if inner is field else maybe).append((key, types, inner.low, inner.high))
            elif field is not UID:
                others.append((key, field))
        return cls("id" in fields, tuple(numbers), tuple(maybe), tuple(others), len(fields) + 1)


_PLANS = {kind: _Plan.of(fields) for kind, fields in FRAMES.items()}


def encode(frame: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return a frame's bytes. ``frame["n"]`` must be there when there is a body, and be its length."""
    return dumps(frame).encode("ascii") + b"\n" + body


def launch(keys: Mapping[str, Any], spec: str) -> bytes:
    """Return the frame of a launch.

    :param keys: what it says beside the spec, and that is something
    :param spec: as JSON
    """
    return f'{{"t":"launch",{dumps(keys)[1:-1]},"spec":{spec}}}\n'.encode("ascii")


class Decoder:
    """Cuts a byte stream into checked frames. Memory stays below one frame, whatever comes.

    :raises ProtocolError: from :meth:`feed`, at the first byte that the protocol does not allow
    """

    def __init__(self) -> None:
        #: What has come of a header line.
        self._line = bytearray()
        #: A header whose body is not complete; what has come of that, and how many bytes have not.
        self._waiting: dict[str, Any] | None = None
        self._parts: list[bytes | bytearray] = []
        #: Bytes of the header of the last frame.
        self.line_size = 0
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Add bytes and yield each frame that they complete, with its body."""
        position = 0
        while True:
            if self._waiting is None:
                end = data.find(b"\n", position)
                if end < 0:
                    return self._keep(data[position:])
                line = data[position:end]
                if self._line:
                    self._keep(line)
                    line = bytes(self._line)
                    self._line.clear()
                header = parse_header(line)
                self.line_size = len(line)
                position = end + 1
                if "n" not in header:
                    yield header, b""
                    continue
                self._waiting, self._missing = header, header["n"]
            part = data[position:position + self._missing]
            position += len(part)
            self._missing -= len(part)
            if self._missing or self._parts:
                self._add(part)
                if self._missing:
                    return
                part = b"".join(self._parts)
                self._parts.clear()
            header, self._waiting = self._waiting, None
            yield header, part

    def _add(self, part: bytes) -> None:
        """Add to a body. Small pieces go together: each by itself would take more memory than what is in it."""
        if len(part) >= _SMALL or not self._missing:
            self._parts.append(part)
        elif self._parts and type(self._parts[-1]) is bytearray:
            self._parts[-1] += part
        else:
            self._parts.append(bytearray(part))

    def _keep(self, data: bytes) -> None:
        """Add to a line.

        :raises ProtocolError: it is too long
        """
        self._line += data
        if len(self._line) > MAX_LINE:
            raise ProtocolError(f"a frame of more than {MAX_LINE:,} bytes")


def parse_header(line: bytes) -> dict[str, Any]:
    """Return the checked header of one frame. Texts in it are cut and printable, see :class:`Text`.

    :raises ProtocolError: it is not JSON, not an object, of no known type; or it has another key than it should, or
        lacks one, or what stands there is of a wrong type or out of its range
    """
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a frame of {len(line):,} bytes", why=f"the limit is {MAX_LINE:,}")
    try:
        if len(line) > LONG and is_heavy(line):
            raise ProtocolError("a frame of too many parts", why=_sample(line))
        frame: dict[str, Any] = read_json(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise ProtocolError("something that is not a frame", why=_sample(line)) from None
    kind = frame.get("t") if type(frame) is dict else None
    plan = _PLANS.get(kind) if type(kind) is str else None
    if plan is None:
        raise ProtocolError("a frame of an unknown type", why=_sample(line))
    try:
        _check(frame, plan)
    except Bad as bad:
        raise ProtocolError(f"a {kind} frame with a bad {bad.key}", why=_sample(line)) from None
    if len(frame) != plan.size:
        raise ProtocolError(f"a {kind} frame with a key that it does not have", why=_sample(line))
    if kind == "ended" and not _can_be(frame):
        raise ProtocolError("an ended frame that cannot be", why=_sample(line))
    return frame


def _check(frame: dict[str, Any], plan: _Plan) -> None:
    """Check every field.

    :raises Bad: the first that may not be as it is
    """
    if plan.has_uid and (type(frame.get("id")) is not str or not _is_uid(frame["id"])):
        raise Bad("id")
    for key, types, low, high in plan.numbers:
        value = frame.get(key)
        if type(value) not in types or not low <= value <= high:  # type: ignore[operator]
            raise Bad(key)
    for key, types, low, high in plan.maybe:
        value = frame.setdefault(key, None)
        if value is not None and (type(value) not in types or not low <= value <= high):
            raise Bad(key)
    for key, field in plan.others:
        try:
            frame[key] = field.take(frame.get(key))
        except Bad:
            raise Bad(key) from None


def _can_be(end: dict[str, Any]) -> bool:
    """Tell whether the parts of an end go together."""
    return not (end["why"] == "exited" and end["status"] is None or end["why"] == "signalled" and end["signal"] is None)


def _sample(data: bytes) -> str:
    return repr(data[:120])
