"""Checks for values from the link, by type. They are used for frames and for the keys of jobs."""

MYPY = False
if MYPY:
    from typing import Any

MAX_PATH = 4096
#: In a list of files, the mode of a symbolic link.
LINK = -1
#: The mode of a read-only file that is placed as a hard link and not copied.
FIXED = -2

_DIGITS = "0123456789"
_HEX = "0123456789abcdef"


def to_bytes(text: str) -> bytes:
    """Return text from the link as the bytes that it stands for.

    :raises UnicodeEncodeError: surrogates that do not stand for bytes
    """
    return text.encode("utf-8", "surrogateescape")


def is_int(value: "Any") -> bool:
    return type(value) is int


def is_count(value: "Any") -> bool:
    return type(value) is int and value >= 0


def is_seconds(value: "Any") -> bool:
    return type(value) in (int, float) and 0 <= value < 1e12


def is_bool(value: "Any") -> bool:
    return type(value) is bool


def is_text(value: "Any") -> bool:
    """True for text that can be an argument of a program: no NUL in it."""
    return type(value) is str and "\0" not in value


def is_id(value: "Any") -> bool:
    """True for an attempt's uid: ``<job number>.<attempt number>``, both from 1 and without leading zeros."""
    if type(value) is not str or len(value) > 32:
        return False
    job, _, attempt = value.partition(".")
    return _is_number(job) and _is_number(attempt)


def _is_number(digits: str) -> bool:
    return digits != "" and digits[0] != "0" and not digits.strip(_DIGITS)


def is_hex(value: "Any", size: int) -> bool:
    return type(value) is str and len(value) == size and not value.strip(_HEX)


def is_sha(value: "Any") -> bool:
    """True for a sha256 in lower-case hex digits."""
    return is_hex(value, 64)


def is_blob(value: "Any") -> bool:
    return value is None or is_sha(value)


def is_inner_path(value: "Any") -> bool:
    """True for a relative path that stays inside its directory and names something in it."""
    if not is_text(value) or not 0 < len(value) <= MAX_PATH:
        return False
    return all(part not in ("", ".", "..") for part in value.split("/"))


def is_inner_link(path: "Any", target: "Any") -> bool:
    """True for what a link at an inner path may lead to: a relative path that stays inside the same directory."""
    if not is_text(target) or not 0 < len(target) <= MAX_PATH or target.startswith("/"):
        return False
    depth = path.count("/")
    for part in target.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:
            return False
    return True


def is_files(value: "Any") -> bool:
    """True for what a launch may place in a working directory: a list of (path, digest or null, mode), and of
    (path, target, :data:`LINK`) and (path, digest, :data:`FIXED`)."""
    return type(value) is list and all(
        type(item) is list and len(item) == 3 and is_inner_path(item[0]) and type(item[2]) is int
        and (is_inner_link(item[0], item[1]) if item[2] == LINK else is_sha(item[1]) if item[2] == FIXED
             else is_blob(item[1]) and 0 <= item[2] <= 0o7777)
        for item in value)
