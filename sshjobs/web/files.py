"""Opens files of a run for the pages: only regular files below its directory, and never through a link, which could
lead out of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from sshjobs.store.rundir import RunPaths
from sshjobs.views.wording import TAIL, lines_of

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: Without O_NONBLOCK, opening a pipe in the place of a file would block.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: How many files are listed, how many directory entries are looked at for that, and how deep.
MOST_LISTED, MOST_LOOKED, DEEPEST = 500, 5_000, 12
#: How many bytes of a download are read at a time.
PIECE = 1 << 16


def output_path(paths: RunPaths, job: str, stream: str, attempt: int | None) -> Path:
    """Return the path of a job's output.

    :param attempt: ``None`` for the newest one
    """
    if attempt is not None:
        return paths.attempt(job, attempt) / stream
    return (paths.stdout if stream == "stdout" else paths.stderr)(job)


@contextmanager
def opened(paths: RunPaths, path: Path) -> Iterator[tuple[int, int] | None]:
    """Open a file below a run's directory for the block.

    :return: descriptor and size; ``None`` where there is no such regular file, or a link is on the way to it
    """
    number = _open(paths.root, path.relative_to(paths.root).parts)
    try:
        info = None if number is None else os.fstat(number)
        yield (number, info.st_size) if number is not None and info is not None and stat.S_ISREG(info.st_mode) else None
    finally:
        if number is not None:
            os.close(number)


def outputs_path(paths: RunPaths, job: str, attempt: int | None) -> Path:
    """Return the directory of a job's fetched files.

    :param attempt: ``None`` for the newest one
    """
    return paths.files(job) if attempt is None else paths.attempt(job, attempt) / "files"


def listed(paths: RunPaths, directory: Path) -> tuple[list[tuple[str, int]], bool]:
    """Return the names and sizes of the regular files below a directory of a run, and whether there are more."""
    found: list[tuple[str, int]] = []
    todo: list[tuple[str, ...]] = [()]
    base = directory.relative_to(paths.root).parts
    looked = 0
    while todo:
        here = todo.pop()
        number = _open(paths.root, (*base, *here), _DIRECTORY)
        if number is None:
            continue
        try:
            with os.scandir(number) as entries:
                for entry in sorted(islice(entries, MOST_LOOKED - looked), key=lambda one: one.name):
                    looked += 1
                    if entry.is_dir(follow_symlinks=False) and len(here) < DEEPEST:
                        todo.append((*here, entry.name))
                    elif entry.is_file(follow_symlinks=False):
                        found.append(("/".join((*here, entry.name)), entry.stat(follow_symlinks=False).st_size))
        except OSError:
            pass
        finally:
            os.close(number)
        if looked >= MOST_LOOKED or len(found) > MOST_LISTED:
            return sorted(found)[:MOST_LISTED], True
    return sorted(found), False


def inside(directory: Path, name: str) -> Path | None:
    """Return the path of a file below a directory; ``None`` for a name that leads elsewhere."""
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        return None
    return directory.joinpath(*parts)


def _open(root: Path, parts: tuple[str, ...], flags: int = _FILE) -> int | None:
    try:
        here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
        return os.open(parts[-1], flags, dir_fd=here)
    except (OSError, ValueError):
        return None
    finally:
        os.close(here)


def size(paths: RunPaths, path: Path) -> int:
    """Return the size of a file; 0 where there is none."""
    return size_of(paths, path) or 0


def size_of(paths: RunPaths, path: Path) -> int | None:
    """Return the size of a file; ``None`` where there is none."""
    with opened(paths, path) as found:
        return None if found is None else found[1]


def piece(paths: RunPaths, path: Path, offset: int | None, limit: int) -> tuple[bytes, int, int]:
    """Return a piece of a file, its offset, and the size of the file. A file that does not exist counts as empty.

    :param offset: ``None`` for the end of the file
    """
    with opened(paths, path) as found:
        if found is None:
            return b"", 0, 0
        number, length = found
        begin = max(0, length - limit) if offset is None else min(offset, length)
        return os.pread(number, limit, begin), begin, length


def last_lines(paths: RunPaths, job: str, attempt: int | None, most: int) -> list[str]:
    """Return the last lines that an attempt of a job wrote to stderr, else to stdout.

    :param attempt: ``None`` for the newest
    """
    for stream in ("stderr", "stdout"):
        data, *_ = piece(paths, output_path(paths, job, stream, attempt), None, TAIL)
        if lines := lines_of(data, most):
            return lines
    return []


def whole(paths: RunPaths, path: Path, length: int) -> Iterator[bytes]:
    """Yield the first ``length`` bytes of a file, whatever is written to it meanwhile."""
    with opened(paths, path) as found:
        at = 0
        while found is not None and at < length and (data := os.pread(found[0], min(PIECE, length - at), at)):
            at += len(data)
            yield data
