"""What files of :mod:`sshjobs.gjob.sharing.board` say, checked: nothing that stands there is trusted."""

from ..light import dumps, loads
from ..values import is_hex, is_seconds, is_text
from .rules import Holding, Wish

MYPY = False
if MYPY:
    from typing import Any

#: The most bytes of a file, and entries of a list, that are looked at.
MOST_BYTES, MOST_ENTRIES = 1 << 15, 400


def line(text: "dict[str, Any]") -> bytes:
    """Return what is written for something that is held or waited for."""
    return dumps(text).encode("ascii") + b"\n"


def parse(data: bytes) -> "dict[str, Any] | None":
    """Return what stands on a line; ``None`` where it is none of ours."""
    try:
        found = loads(data.partition(b"\n")[0].decode("ascii"))
    except (ValueError, RecursionError):
        return None
    return found if type(found) is dict else None


def _is_word(value: "Any", most: int = 256) -> bool:
    return is_text(value) and len(value) <= most


def _is_amounts(value: "Any") -> bool:
    return type(value) is dict and len(value) <= MOST_ENTRIES and all(
        _is_word(what, 128) and type(value[what]) is int and 0 <= value[what] < 1 << 62 for what in value)


def holding(person: int, text: "dict[str, Any]") -> "Holding | None":
    """Return what somebody says that he holds."""
    if (is_hex(text.get("run"), 32) and _is_word(text.get("name")) and _is_word(text.get("host"))
            and _is_amounts(text.get("amounts")) and is_seconds(text.get("since"))):
        return Holding(person, text["run"], text["amounts"], text["since"], text["name"], text["host"])
    return None


def wish(person: int, path: str, text: "dict[str, Any]") -> "Wish | None":
    """Return what somebody says that he waits for."""
    if (is_hex(text.get("run"), 32) and _is_word(text.get("host")) and _is_amounts(text.get("amounts"))
            and _is_amounts(text.get("figures")) and is_seconds(text.get("since")) and is_seconds(text.get("given"))
            and is_seconds(text.get("share")) and 0 < text["share"] <= 1):
        return Wish(person, text["run"], text["amounts"], text["figures"], text["since"], text["share"],
                    text["given"], path, text["host"])
    return None
