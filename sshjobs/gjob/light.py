"""Large standard modules, the small parts of them that an agent needs.

An agent starts on many hosts at once, often on machines that share their cores; ``json``, ``socket``, ``signal`` and
``hashlib`` with all that they import would be a third of its start. What Python keeps in C behind them is the same;
where a Python has it under another name, the whole module is taken.
"""

MYPY = False
if MYPY:
    import signal as signal
    import socket as socket
    from collections import deque as deque
    from typing import Any, Callable
else:
    try:
        import _signal as signal
        import _socket as socket
        from _collections import deque
    except ImportError:
        import signal
        import socket
        from collections import deque

__all__ = ["accept", "deque", "dumps", "loads", "make_dumps", "make_loads", "new_sha256", "sha256", "signal", "socket"]


def accept(listening: "socket.socket") -> "socket.socket":
    """Return the connection of the next that knocks at a unix socket of packets.

    :raises OSError: there is none any more
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
    """Return what makes a digest of much, piece by piece: by hashlib, which is the fastest."""
    import hashlib

    return hashlib.sha256()


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
        except SystemError:  # it says where by the module that is not loaded here
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
