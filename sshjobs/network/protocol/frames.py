"""Frames of the link as the near side writes and reads them. Whatever a host sends is hostile until checked here.

The grammar is in docs/protocol.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sshjobs.errors import ProtocolError

#: Version of the protocol; both sides must speak the same, since the manager ships the agent.
VERSION = 1
#: Longest header line and longest body, in bytes.
MAX_LINE = MAX_BODY = 1 << 20
#: How much noise (banners, motd, start-up files) may come before the agent's marker, in bytes.
MAX_NOISE = 16 << 20

_UID = re.compile(r"[1-9][0-9]{0,8}\.[1-9][0-9]{0,5}\Z")
_NUMBER = (int, float)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode

#: Keys that a frame must have, with their types. A trailing "?" allows null.
_SHAPES: dict[str, dict[str, tuple[type, ...]]] = {
    "welcome": {"v": (int,), "pid": (int,), "boot": (str,), "pidns": (int,), "machine": (str,), "hostname": (str,),
                "python": (str,), "cores": (int,), "memory": (int,), "gpus": (list,), "clock": _NUMBER,
                "disk": (int,), "root": (str,), "home": (str,), "resumed": (bool,)},
    "stale": {"epoch": (int,)},
    "refused": {"kind": (str,), "why": (str,), "hint": (str,)},
    "state": {"id": (str,), "s": (str,)},
    "started": {"id": (str,), "pid": (int,), "at": _NUMBER},
    "out": {"id": (str,), "s": (int,), "off": (int,), "n": (int,), "crc": (int,)},
    "ended": {"id": (str,), "why": (str,), "out": (int,), "err": (int,)},
    "stuck": {"id": (str,), "pids": (list,)},
    "warn": {"msg": (str,)},
    "pong": {"seq": (int,)},
    "lack": {"shas": (list,)},
    "lease": {"at": _NUMBER},
    "gone": {"processes": (int,), "files": (int,)},
    "error": {"msg": (str,)},
}
_ENDED_NULLABLE: dict[str, tuple[type, ...]] = {"status": (int,), "signal": (int,), "started": _NUMBER,
                                                "ended": _NUMBER, "msg": (str,), "cpu": _NUMBER, "rss": (int,)}
_WHYS = frozenset(("exited", "signalled", "timed_out", "oom", "cancelled", "fenced", "start_failed", "no_room", "lost",
                   "lease", "reboot"))


def encode(frame: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return a frame's bytes. ``frame["n"]`` must be there when there is a body, and be its length."""
    return _encode(frame).encode("ascii") + b"\n" + body


class Decoder:
    """Cuts a byte stream into checked frames. Memory stays below one frame, whatever comes.

    :raises ProtocolError: from :meth:`feed`, at the first byte that the protocol does not allow
    """

    def __init__(self) -> None:
        #: A header line that is not complete; or a header whose body is not, with what has come of that.
        self._line = b""
        self._waiting: dict[str, Any] | None = None
        self._parts: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Add bytes and yield each frame that they complete, with its body."""
        if self._line:
            data, self._line = self._line + data, b""
        position = 0
        while True:
            if self._waiting is None:
                end = data.find(b"\n", position)
                if end < 0:
                    self._line = data[position:]
                    if len(self._line) > MAX_LINE:
                        raise ProtocolError(f"a frame of more than {MAX_LINE:,} bytes")
                    return
                header = parse_header(data[position:end])
                position = end + 1
                if "n" not in header:
                    yield header, b""
                    continue
                self._waiting, self._missing = header, header["n"]
            part = data[position:position + self._missing]
            position += len(part)
            self._missing -= len(part)
            self._parts.append(part)
            if self._missing:
                return
            header, body = self._waiting, b"".join(self._parts)
            self._waiting = None
            self._parts.clear()
            yield header, body


def parse_header(line: bytes) -> dict[str, Any]:
    """Return the checked header of one frame.

    :raises ProtocolError: it is not JSON, not an object, of no known type, or a key is missing or of a wrong type
    """
    if len(line) > MAX_LINE:
        raise ProtocolError(f"a frame of {len(line):,} bytes", why=f"the limit is {MAX_LINE:,}")
    try:
        frame: dict[str, Any] = _decode(line.decode("ascii"))
    except (ValueError, RecursionError):
        raise ProtocolError("something that is not a frame", why=_sample(line)) from None
    shape = _SHAPES.get(frame.get("t", "")) if isinstance(frame, dict) and isinstance(frame.get("t"), str) else None
    if shape is None:
        raise ProtocolError("a frame of an unknown type", why=_sample(line))
    # The exact type, here and below: bool is an int to Python, not to the protocol, and this is done for every job.
    for key, types in shape.items():
        if type(frame.get(key)) not in types:
            raise ProtocolError(f"a {frame['t']} frame with a bad {key}", why=_sample(line))
    if "id" in shape and not _UID.match(frame["id"]):
        raise ProtocolError(f"a {frame['t']} frame with a bad id", why=_sample(line))
    if frame["t"] == "out":
        if frame["s"] not in (1, 2) or not 0 <= frame["n"] <= MAX_BODY or frame["off"] < 0:
            raise ProtocolError("an out frame with a bad range", why=_sample(line))
    elif "n" in frame:
        raise ProtocolError(f"a {frame['t']} frame with a body", why=_sample(line))
    if frame["t"] == "ended":
        _check_end(frame, line)
    return frame


def _check_end(frame: dict[str, Any], line: bytes) -> None:
    for key, types in _ENDED_NULLABLE.items():
        if frame.setdefault(key, None) is not None and type(frame[key]) not in types:
            raise ProtocolError(f"an ended frame with a bad {key}", why=_sample(line))
    status, signal, why = frame["status"], frame["signal"], frame["why"]
    if (
        why not in _WHYS or frame["out"] < 0 or frame["err"] < 0
        or (status is not None and not 0 <= status <= 255)
        or (signal is not None and not 1 <= signal <= 64)
        or (why == "exited" and status is None) or (why == "signalled" and signal is None)
    ):
        raise ProtocolError("an ended frame that cannot be", why=_sample(line))


def _sample(data: bytes) -> str:
    return repr(data[:120])
