"""The few parts of ``json``, ``socket``, ``struct``, ``signal``, ``hashlib`` and ``ctypes`` that an agent needs.

Agents start on many hosts at once, often on machines that share their cores, and importing those modules would take a
third of the start. The C modules behind them do the same; where a Python has those under other names, the whole module
is imported.
"""

import gc

MYPY = False
if MYPY:
    import signal as signal
    import socket as socket
    import struct as struct
    from collections import deque as deque
    from typing import Any, Callable
else:
    try:
        import _signal as signal
        import _socket as socket
        import _struct as struct
        from _collections import deque
    except ImportError:
        import signal
        import socket
        import struct
        from collections import deque

__all__ = ["accept", "c_function", "collect_garbage", "deque", "dumps", "loads", "make_dumps", "make_loads",
           "new_sha256", "sha256", "signal", "socket", "struct"]


def accept(listening: "socket.socket") -> "socket.socket":
    """Return the next connection of a listening unix socket of packets.

    :raises OSError: nobody is waiting any more
    """
    fd, _ = listening._accept()  # type: ignore[attr-defined]  # what socket.socket.accept calls
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fd)


def sha256(data: bytes) -> str:
    """Return the digest of something small, in hex digits."""
    for name in ("_sha256", "_sha2", "hashlib"):  # to Python 3.11, from 3.12, and anywhere
        try:
            return str(__import__(name).sha256(data).hexdigest())
        except ImportError:
            continue
    raise ImportError("no sha256")


def new_sha256() -> "Any":
    """Return a sha256 for large files, to be fed piece by piece: hashlib's is the fastest."""
    import hashlib

    return hashlib.sha256()


def c_function(name: str) -> "Callable[..., int]":
    """Return a function of the C library that takes ints and returns one.

    :raises ImportError: this Python calls no such functions
    :raises AttributeError: there is none of that name
    """
    try:
        from _ctypes import FUNCFLAG_CDECL, CFuncPtr, dlopen, dlsym
    except ImportError:
        import ctypes

        return getattr(ctypes.CDLL(None), name)  # type: ignore[no-any-return]

    class Function(CFuncPtr):
        _flags_ = FUNCFLAG_CDECL

    try:
        return Function(dlsym(dlopen(None, 0), name))  # type: ignore[arg-type]
    except OSError as error:
        raise AttributeError(str(error))


def collect_garbage(does: bool) -> None:
    """Have Python look for garbage, or not. What is there when that begins stays out of it: to look at all that is
    loaded takes a millisecond when an agent starts, and processes then copy what they share."""
    if does:
        getattr(gc, "freeze", gc.collect)()  # Python 3.6 cannot leave anything out
        gc.enable()
    else:
        gc.disable()


class _Rules:
    """What json's scanner wants to know of its decoder."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float

    def __init__(self, parse_int: "Callable[[str], int]", parse_constant: "Callable[[str], Any]"):
        self.parse_int, self.parse_constant = parse_int, parse_constant
        self.memo: "dict[str, str]" = {}


def make_loads(parse_int: "Callable[[str], int]",
               parse_constant: "Callable[[str], Any]") -> "Callable[[str], Any]":
    """Return a function like ``json.loads`` with such hooks.

    :raises ValueError: the function does, for what is not JSON
    """
    try:
        from _json import make_scanner

        rules: "Any" = _Rules(parse_int, parse_constant)
        scan = make_scanner(rules)
        if scan('{"a":[1,"b"]}', 0) != ({"a": [1, "b"]}, 13):
            raise ImportError
    except (ImportError, AttributeError, TypeError):
        import json

        decoder = json.JSONDecoder(parse_int=parse_int, parse_constant=parse_constant)
        return decoder.decode

    def scanned(text: str) -> "Any":
        text = text.strip(" \t\r\n")
        try:
            found, end = scan(text, 0)
        except StopIteration as stop:
            raise ValueError("nothing that JSON knows at %s" % stop.value)
        except SystemError:  # the scanner raises its error by the json module, which is not loaded here
            raise ValueError("a text, a list or an object is not ended, or a comma or a colon is missing")
        if end != len(text):
            raise ValueError("more than one JSON value")
        return found

    return scanned


def _constant(word: str) -> float:
    return float(word)


loads = make_loads(int, _constant)


def make_dumps() -> "Callable[[Any], str]":
    """Return a function like ``json.dumps`` of an object or a list: ASCII, no spaces."""
    try:
        from _json import encode_basestring_ascii, make_encoder

        encoder = make_encoder({}, _unknown, encode_basestring_ascii, None, ":", ",", False, False, True)
        if "".join(encoder({"a": [1, "b", None]}, 0)) != '{"a":[1,"b",null]}':
            raise ImportError
    except (ImportError, AttributeError, TypeError):
        import json

        return json.JSONEncoder(separators=(",", ":")).encode
    return lambda value: "".join(encoder(value, 0))


def _unknown(value: object) -> object:
    raise TypeError("JSON knows no %s" % type(value).__name__)


dumps = make_dumps()
