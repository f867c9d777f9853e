"""Frames of the link: one line of ASCII JSON and, where it says so, raw bytes after it.

Everything that is received is checked here, type by type and key by key: the rest of the far side relies on it.
"""

from .jobkeys import CHECKS
from .light import dumps, make_loads
from .values import (
    MAX_PATH,
    is_bool,
    is_count,
    is_files,
    is_hex,
    is_id,
    is_inner_path,
    is_int,
    is_seconds,
    is_sha,
    is_text,
)

MYPY = False
if MYPY:
    from typing import Any, Callable, Iterator, Union

    #: A body is good until more is read.
    Body = Union[bytes, memoryview]

#: Longest line, its newline included, and longest body, in bytes.
MAX_LINE = 1 << 20
MAX_BODY = 1 << 20
MAX_SYNC = 1000
VERSION = 1


class WireError(ValueError):
    """What was received is no frame, or one that is not allowed now. The message says why."""


def encode(frame: "dict[str, Any]", body: bytes = b"") -> bytes:
    """Return a frame as bytes. The caller sets ``n`` where there is a body."""
    return dumps(frame).encode("ascii") + b"\n" + body


def _no_constant(word: str) -> "Any":
    raise WireError("%s is not a number" % word)


def _bounded_int(digits: str) -> int:
    if len(digits) > 19:
        raise WireError("a number of %d digits" % len(digits))
    return int(digits)


_loads = make_loads(_bounded_int, _no_constant)


def parse(line: bytes) -> "dict[str, Any]":
    """Return the object on a line, its keys not yet checked.

    :raises WireError: not a JSON object in ASCII
    """
    try:
        frame = _loads(line.decode("ascii"))
    except WireError:
        raise
    except (ValueError, RecursionError) as error:
        raise WireError("not a line of JSON: %s" % error)
    if type(frame) is not dict:
        raise WireError("not a JSON object")
    return frame


class Decoder:
    """Turns bytes, cut anywhere, into frames. Holds at most one unfinished frame."""

    def __init__(self) -> None:
        self._rest = b""
        #: The frame whose body is not complete: (frame, line, size of its body). How much of the body has come.
        self._head: "tuple[dict[str, Any], bytes, int] | None" = None
        self._body = bytearray()
        self._have = 0

    def space(self) -> "memoryview | None":
        """Return the buffer for the rest of an unfinished body, ``None`` where there is none. After reading into it,
        call :meth:`filled`."""
        return None if self._head is None else memoryview(self._body)[self._have:self._head[2]]

    def filled(self, size: int) -> "Iterator[tuple[dict[str, Any], bytes, Body]]":
        """Note that so many bytes were read into the space; yield the frame if it is complete now."""
        self._have += size
        if self._head is not None and self._have == self._head[2]:
            frame, line, size = self._head
            self._head = None
            yield frame, line, memoryview(self._body)[:size]

    def feed(self, data: bytes) -> "Iterator[tuple[dict[str, Any], bytes, bytes]]":
        """Yield each frame that is complete now as (object, its line, its body), checked.

        :raises WireError: after the last good frame; the decoder is of no use from then on
        """
        space = self.space()
        if space is not None:
            part = data[:len(space)]
            space[:len(part)] = part
            for frame, line, body in self.filled(len(part)):
                yield frame, line, bytes(body)
            data = data[len(part):]
        data = self._rest + data if self._rest else data
        position = 0
        while self._head is None:
            end = data.find(b"\n", position) + 1
            if (end or len(data)) - position > MAX_LINE:
                raise WireError("a line longer than %d bytes" % MAX_LINE)
            if not end:
                break
            line = data[position:end]
            position = end
            frame = parse(line)
            check(frame)
            size = frame.get("n", 0)
            if len(data) - position < size:
                self._begin(frame, line, size, data[position:])
                position = len(data)
                break
            position += size
            yield frame, line, data[position - size:position]
        self._rest = data[position:]

    def _begin(self, frame: "dict[str, Any]", line: bytes, size: int, data: bytes) -> None:
        if not self._body:
            # Made once and kept: a buffer of that size is expensive to make.
            self._body = bytearray(MAX_BODY)
        self._head, self._have = (frame, line, size), len(data)
        self._body[:len(data)] = data


def _is_slots(value: "Any") -> bool:
    return value is None or (type(value) is int and 1 <= value <= 100000)


def _is_name(value: "Any") -> bool:
    return is_text(value) and len(value) <= 1000


def _is_ids(value: "Any") -> bool:
    return type(value) is list and all(map(is_id, value))


def _is_run(value: "Any") -> bool:
    return is_hex(value, 32)


def _is_token(value: "Any") -> bool:
    return is_text(value) and 8 <= len(value) <= 64 and value.isalnum()


def _is_root(value: "Any") -> bool:
    return value is None or (is_text(value) and value.startswith("/") and len(value) <= MAX_PATH)


def _is_synced(value: "Any") -> bool:
    return type(value) is list and len(value) <= MAX_SYNC and all(
        type(item) is list and len(item) == 3 and is_id(item[0]) and is_count(item[1]) and is_count(item[2])
        for item in value)


def _is_wanted(value: "Any") -> bool:
    return type(value) is list and len(value) <= MAX_SYNC and all(
        type(item) is list and len(item) == 2 and is_sha(item[0]) and is_count(item[1]) for item in value)


def _is_body_size(value: "Any") -> bool:
    return type(value) is int and 0 <= value <= MAX_BODY


def parse_listing(text: bytes) -> "list[list[Any]]":
    """Return the list in a file with the ``files`` of a launch, which is used where they are too many for the frame.

    :raises WireError: it is no such list
    """
    files: "Any" = parse(text).get("files")
    if not is_files(files):
        raise WireError("a bad list of files")
    return list(files)


def _is_spec(value: "Any") -> bool:
    if type(value) is not dict or ("argv" in value) == ("script" in value) or ("call" in value and "script" in value):
        return False
    for key in value:
        if key not in CHECKS:
            raise WireError("launch: spec has an unknown key %.50r" % key)
        if not CHECKS[key](value[key]):
            raise WireError("launch: spec has a bad %s" % key)
    return True


#: Patterns of a job, and files of one page, at most.
MAX_PATTERNS, MAX_PAGE = 100, 1000


def _is_patterns(value: "Any") -> bool:
    return type(value) is list and 0 < len(value) <= MAX_PATTERNS and all(
        is_inner_path(one[:-1] if type(one) is str and one.endswith("/") else one) for one in value)


def _is_after(value: "Any") -> bool:
    return value == "" or is_inner_path(value)


def _is_got(value: "Any") -> bool:
    return type(value) is list and len(value) <= MAX_PAGE and all(
        type(item) is list and len(item) == 2 and is_count(item[0]) and is_count(item[1]) for item in value)


def _is_figures(value: "Any") -> bool:
    return type(value) is dict and len(value) <= 40 and all(
        is_text(name) and 0 < len(name) <= 100 and is_count(value[name]) and value[name] < 1 << 62 for name in value)


def _is_share(value: "Any") -> bool:
    return is_seconds(value) and 0 < value <= 1


def _is_load(value: "Any") -> bool:
    return value is None or (is_seconds(value) and value > 0)


def _is_free(value: "Any") -> bool:
    return value is None or is_count(value)


def _is_only(value: "Any") -> bool:
    return value is None or (type(value) is list and len(value) == 2 and value[0] != value[1] and all(
        type(minute) is int and 0 <= minute < 1440 for minute in value))


def _is_at_end(value: "Any") -> bool:
    return value in ("finish", "stop", "pause")


def _is_left(value: "Any") -> bool:
    return value is None or is_seconds(value)


def _is_words(value: "Any") -> bool:
    return type(value) is list and 0 < len(value) <= 100 and all(
        is_text(word) and len(word) <= 10000 and "\0" not in word for word in value)


def _is_batch(value: "Any") -> bool:
    """What a scheduler is told, and how: see ``agent/scheduler.py``."""
    return type(value) is dict and sorted(value) == ["ask", "end", "kind", "limit", "python", "size", "submit"] and (
        value["kind"] in ("slurm", "own") and all(_is_words(value[verb]) for verb in ("submit", "ask", "end"))
        and type(value["size"]) is int and 0 < value["size"] <= 100000
        and (value["limit"] is None or is_seconds(value["limit"]))
        and (value["python"] is None or (is_text(value["python"]) and 0 < len(value["python"]) <= 1000)))


_KEYS: "dict[str, dict[str, Callable[[Any], bool]]]" = {
    "hello": {"v": is_int, "run": _is_run, "name": _is_name, "host": _is_name, "epoch": is_count,
              "slots": _is_slots, "root": _is_root},
    "sync": {"a": _is_synced, "last": is_bool},
    "launch": {"id": is_id, "token": _is_token, "job": _is_name, "index": is_int, "spec": _is_spec},
    "want": {"blobs": _is_wanted},
    "put": {"sha": is_sha, "size": is_count, "crc": is_count, "off": is_count, "n": _is_body_size},
    "fence": {"id": is_id},
    "cancel": {"id": is_id, "grace": is_seconds},
    "pause": {"id": is_id},
    "unpause": {"id": is_id},
    "release": {"ids": _is_ids},
    "pull": {"id": is_id, "seq": is_count, "cwd": CHECKS["cwd"], "patterns": _is_patterns, "after": _is_after},
    "get": {"id": is_id, "files": _is_got, "more": is_bool},
    "drop": {"id": is_id},
    "slots": {"slots": _is_slots},
    "share": {"figures": _is_figures, "share": _is_share},
    "gpus": {},
    "ping": {"seq": is_int},
    "lease": {"at": is_seconds},
    "manners": {"load": _is_load, "free": _is_free, "only": _is_only, "at_end": _is_at_end, "left": _is_left},
    "bye": {},
}
#: Keys that may be missing.
_MORE: "dict[str, dict[str, Callable[[Any], bool]]]" = {
    "hello": {"batch": _is_batch},
    "fence": {"token": _is_token}, "pull": {"keep": is_bool}, "release": {"keep": _is_ids}}


def check(frame: "dict[str, Any]") -> None:
    """Check a frame from the manager: its type, that it has exactly its keys, and each value.

    :raises WireError: naming type and key
    """
    kind = frame.get("t")
    keys = _KEYS.get(kind) if type(kind) is str else None
    if keys is None:
        raise WireError("unknown frame type %.50r" % (kind,))
    for key in keys:
        if key not in frame:
            raise WireError("%s: no %s" % (kind, key))
        if not keys[key](frame[key]):
            raise WireError("%s: bad %s %.50r" % (kind, key, frame[key]))
    more = _MORE.get(frame["t"], {})
    for key in more:
        if key in frame and not more[key](frame[key]):
            raise WireError("%s: bad %s %.50r" % (kind, key, frame[key]))
    unknown = sorted(set(frame) - set(keys) - set(more) - {"t"}) if len(frame) != len(keys) + 1 else []
    if unknown:
        raise WireError("%s: unknown key %.50r" % (kind, unknown[0]))
