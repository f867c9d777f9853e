"""Describes a directory of fetched files in the form that the store has."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from sshjobs.model.outputs import Brought, line_of

_PIECE = 1 << 20


def brought_in(directory: Path) -> Brought:
    """Return number, size and digest of the files below a directory. Reads all of them, and follows no link.

    :raises OSError: one cannot be read
    """
    files = size = 0
    lines = hashlib.sha256()
    todo = [""]
    while todo:
        path = todo.pop()
        here = directory / path
        try:
            mode = here.lstat().st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(mode):
            names = sorted(os.listdir(here), key=os.fsencode, reverse=True)
            todo += [f"{path}/{name}" if path else name for name in names]
            continue
        files += 1
        if stat.S_ISREG(mode):
            length, sha = _sha256(here)
            size += length
            lines.update(line_of(os.fsencode(path).decode("utf-8", "surrogateescape"), length, sha))
    return Brought(files, size, lines.hexdigest())


def _sha256(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        while data := file.read(_PIECE):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()
