"""Files of a run as pages show them: only regular files below its directory, and never through a link, since whoever
can write there could lead us out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sshjobs.store.rundir import RunPaths

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK a pipe in the place of a file would be waited at.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Bytes that a download is read by.
PIECE = 1 << 18


def output_path(paths: RunPaths, job: str, stream: str, attempt: int | None) -> Path:
    """Return where a job's output is, of its newest attempt or an earlier one."""
    if attempt is not None:
        return paths.attempt(job, attempt) / stream
    return (paths.stdout if stream == "stdout" else paths.stderr)(job)


@contextmanager
def opened(paths: RunPaths, path: Path) -> Iterator[tuple[int, int] | None]:
    """Open a file below a run's directory for the block.

    :return: descriptor and size; ``None`` where there is no regular file of that name, or a link on the way to it
    """
    number = _open(paths.root, path.relative_to(paths.root).parts)
    try:
        info = None if number is None else os.fstat(number)
        yield (number, info.st_size) if number is not None and info is not None and stat.S_ISREG(info.st_mode) else None
    finally:
        if number is not None:
            os.close(number)


def _open(root: Path, parts: tuple[str, ...]) -> int | None:
    try:
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        return os.open(parts[-1], _FILE, dir_fd=here)
    except OSError:
        return None
    finally:
        os.close(here)


def size(paths: RunPaths, path: Path) -> int:
    """Return how long a file is, 0 where there is none."""
    with opened(paths, path) as found:
        return 0 if found is None else found[1]


def piece(paths: RunPaths, path: Path, offset: int | None, limit: int) -> tuple[bytes, int, int]:
    """Return a piece of a file, where it begins, and how long the file is. A file that is not there is empty.

    :param offset: ``None`` for the end of the file
    """
    with opened(paths, path) as found:
        if found is None:
            return b"", 0, 0
        number, length = found
        begin = max(0, length - limit) if offset is None else min(offset, length)
        return os.pread(number, limit, begin), begin, length


def whole(paths: RunPaths, path: Path, length: int) -> Iterator[bytes]:
    """Yield the first so many bytes of a file, whatever is written to it meanwhile."""
    with opened(paths, path) as found:
        at = 0
        while found is not None and at < length and (data := os.pread(found[0], min(PIECE, length - at), at)):
            at += len(data)
            yield data
