"""Makes sure, before anything starts, that the files that jobs want to be sent are there."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import PurePath


class PathChecker:
    """Looks at each local path once, however many jobs name it.

    :param base_dir: what relative paths are relative to
    """

    def __init__(self, base_dir: str) -> None:
        self._base_dir = base_dir
        self._known: dict[tuple[str, bool], str | None] = {}

    def complaint(self, path: str, *, directories: bool) -> str | None:
        """Return what is wrong with a path, ``None`` if it can be sent.

        :param directories: whether it may be a directory
        """
        key = (path, directories)
        if key not in self._known:
            self._known[key] = self._look(path, directories)
        return self._known[key]

    def _look(self, path: str, directories: bool) -> str | None:
        if directories and placed_as(path) is None:
            return f"'{path}' has no last name to be placed under; name a file or directory in it"
        full = os.path.join(self._base_dir, path)
        try:
            mode = os.stat(full).st_mode
        except ValueError:
            return f"'{path}' is not a path"
        except OSError as error:
            hint = "~ is not expanded: write the whole path" if path.startswith("~") else f"looked for {full}"
            return f"'{path}' cannot be read: {error.strerror}; {hint}"
        if stat.S_ISDIR(mode):
            if not directories:
                return f"'{path}' is a directory; name a file"
            readable = os.access(full, os.R_OK | os.X_OK)
        elif stat.S_ISREG(mode):
            readable = os.access(full, os.R_OK)
        else:
            return f"'{path}' is a {_kind(mode)}, which cannot be sent; name a regular file"
        return None if readable else f"'{path}' cannot be read: no permission; see chmod"


def placed_as(path: str) -> str | None:
    """Return where a file lands in the working directory, ``None`` where it has no name to land under.

    Its own relative path, or its last name where that is absolute or leads out (``..``).
    """
    pure = PurePath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return pure.name if pure.name not in ("", "..") else None
    return str(pure)


def same_place(paths: Sequence[object]) -> tuple[int, int, str] | None:
    """Return two of the paths, by number, that would land in the same place, and that place."""
    seen: dict[str, int] = {}
    for n, path in enumerate(paths):
        place = placed_as(path) if isinstance(path, str) else None
        if place is not None:
            first = seen.setdefault(place, n)
            if os.path.normpath(str(paths[first])) != os.path.normpath(str(path)):
                return first, n, place
    return None


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "named pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
