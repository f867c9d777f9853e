"""Reads an input file with a limit on its size, and reports bytes that are no text with their place."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sshjobs.errors import InputError, Problem

_BOM = b"\xef\xbb\xbf"
#: Characters that YAML does not allow, and carriage returns that editors and YAML count differently.
_BAD = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]|\r(?!\n)"
_NAMES = {"\0": "a NUL byte", "\r": "a carriage return that ends no line"}


def read_input(path: str | Path, limit: int) -> bytes:
    """Return the bytes of a file; a pipe such as ``<(command)`` is read to its end.

    Never hangs on a FIFO that nobody writes to: it counts as empty.

    :param limit: the most bytes it may have
    :raises InputError: missing, a directory, not readable, or larger than ``limit``
    """
    try:
        # Opening a FIFO without a writer would block for ever.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(fd, True)
        with open(fd, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise InputError([Problem(str(path), 0, 0, f"cannot be read: {error.strerror or error}")]) from None
    except ValueError:
        raise InputError([Problem(str(path), 0, 0, "cannot be read: a NUL byte in its name")]) from None
    check_size(data, str(path), limit)
    return data


def check_size(data: bytes, file: str, limit: int) -> None:
    """Refuse more than ``limit`` bytes.

    :raises InputError: too large
    """
    if len(data) > limit:
        message = f"is larger than {limit // 2**20} MiB, the limit; split it into several files"
        raise InputError([Problem(file, 0, 0, message)])


def check_text(data: bytes, file: str) -> bytes:
    """Return the bytes without their byte order mark, after checking that they are UTF-8 text.

    :param file: its name for messages
    :raises InputError: not UTF-8, a control character, or a carriage return that ends no line
    """
    body = data[len(_BOM):] if data.startswith(_BOM) else data
    skipped = len(data) - len(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        hint = "it is UTF-16; save it as UTF-8" if utf16 else "save it as UTF-8"
        message = f"not valid UTF-8 at byte {at + skipped} (0x{body[at]:02x}); {hint}"
        raise InputError([Problem(file, *place_of(body, at), message)]) from None
    if bad := re.search(_BAD, text):
        at = len(text[: bad.start()].encode("utf-8"))
        what = _NAMES.get(bad[0], f"control character U+{ord(bad[0]):04X}")
        message = f"{what} at byte {at + skipped} is not allowed; take it out"
        raise InputError([Problem(file, *place_of(body, at), message)])
    return body


def place_of(data: bytes, offset: int) -> tuple[int, int]:
    """Return line and column, from 1, of a byte; columns count characters."""
    start = data.rfind(b"\n", 0, offset) + 1
    return data.count(b"\n", 0, offset) + 1, len(data[start:offset].decode("utf-8", "replace")) + 1
