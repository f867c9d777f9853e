"""Checks, before anything starts, that the files to be sent exist and can be sent."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import PurePath

from sshjobs.gjob.patterns import Patterns
from sshjobs.gjob.values import is_inner_link
from sshjobs.model.sent import Sent, item, sent


class PathChecker:
    """Checks each local path once, however many jobs name it.

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

    def complaint_of_used(self, path: str) -> str | None:
        """Return what is wrong with a file or directory in ``uses``, ``None`` for nothing."""
        full = os.path.join(self._base_dir, path)
        try:
            mode = os.stat(full).st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                return f"'{path}' is a {_kind(mode)}; name a file or a directory"
        except ValueError:
            return f"'{path}' is not a path"
        except OSError as error:
            hint = _expanded_elsewhere(path) or f"looked for {full}; say {{text: …}} of what is not on this machine"
            return f"'{path}' cannot be read: {error.strerror}; {hint}"
        readable = os.access(full, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0))
        return None if readable else f"'{path}' cannot be read: no permission; see chmod"

    def complaint_of(self, item: Sent) -> str | None:
        """Return what is wrong with an item of ``files``, ``None`` if it can be sent."""
        # With ``to`` it needs no name of its own, and excluded files may be anything.
        if item.to is None and not item.exclude:
            return self.complaint(item.path, directories=True)
        if item.place is None:
            return f"'{item.path}' has no last name to be placed under; write where: to: NAME"
        full = os.path.join(self._base_dir, item.path)
        if item.exclude and os.path.isdir(full):
            return self._look_into(item.path, full, Patterns(item.exclude))
        return self.complaint(item.path, directories=True)

    def _look(self, path: str, directories: bool) -> str | None:
        if directories and placed_as(path) is None:
            return f"'{path}' has no last name to be placed under; name a file or directory in it"
        full = os.path.join(self._base_dir, path)
        try:
            mode = os.stat(full).st_mode
        except ValueError:
            return f"'{path}' is not a path"
        except OSError as error:
            hint = _expanded_elsewhere(path) or f"looked for {full}"
            return f"'{path}' cannot be read: {error.strerror}; {hint}"
        if stat.S_ISDIR(mode):
            if not directories:
                return f"'{path}' is a directory; name a file"
            return self._look_into(path, full)
        elif stat.S_ISREG(mode):
            readable = os.access(full, os.R_OK)
        else:
            return f"'{path}' is a {_kind(mode)}, which cannot be sent; name a regular file"
        return None if readable else f"'{path}' cannot be read: no permission; see chmod"


    def _look_into(self, path: str, full: str, left_out: Patterns | None = None) -> str | None:
        """Return the first thing that is wrong with a directory or anything in it.

        :param left_out: patterns of files that are not sent
        """
        root, waiting = os.path.realpath(full), [full]
        while waiting:
            directory = waiting.pop()
            try:
                entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
            except OSError as error:
                return f"'{_within(path, full, directory)}' cannot be read: {error.strerror}; see chmod"
            for entry in entries:
                if left_out is not None and left_out.of(os.path.relpath(entry.path, full)):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif complaint := _complaint_about(entry, os.path.relpath(entry.path, full), root):
                    return f"'{_within(path, full, entry.path)}' {complaint}"
        return None


def _expanded_elsewhere(path: str) -> str | None:
    """Return what to do about a path that only a shell would expand."""
    if path.startswith("~"):
        return "~ is not expanded: write the whole path"
    if "$" in path:
        return "variables are not expanded: write the whole path"
    if any(letter in path for letter in "*?["):
        return "patterns are not expanded: name each file, or the directory that they are in"
    return None


def _within(path: str, full: str, inner: str) -> str:
    """Return the name, for messages, of something in a directory that was named as ``path``."""
    return path + inner[len(full):]


def _complaint_about(entry: os.DirEntry[str], inner: str, root: str) -> str | None:
    """Return what is wrong with an entry that is no directory, at ``inner`` in the sent directory ``root``."""
    if entry.is_symlink():
        target = os.readlink(entry.path)
        if not os.path.exists(entry.path):
            return f"is a link to {target}, which is not there; correct it, or take it out"
        real = os.path.realpath(entry.path)
        if os.path.isabs(target) or os.path.commonpath([root, real]) != root or not is_inner_link(inner, target):
            return f"is a link to {target}, which leads out of the directory that is sent; put a copy in its place"
        return None
    mode = entry.stat(follow_symlinks=False).st_mode
    if not stat.S_ISREG(mode):
        return f"is a {_kind(mode)}, which cannot be sent; take it out"
    return None if os.access(entry.path, os.R_OK) else "cannot be read: no permission; see chmod"


def placed_as(path: str) -> str | None:
    """Return the path of a file in the working directory, ``None`` if it has no name there.

    That is its own relative path, or its last name if that path is absolute or leads out (``..``).
    """
    pure = PurePath(path)
    if pure.is_absolute() or ".." in pure.parts:
        return pure.name if pure.name not in ("", "..") else None
    return str(pure)


def same_place(items: Sequence[object]) -> tuple[int, str] | None:
    """Return the number of an item that has the same place as another, and the message; ``None`` if there is none."""
    seen: dict[str, tuple[int, str]] = {}
    for n, value in enumerate(items):
        one = sent_item(value)
        place = None if one is None else one.place
        if one is not None and place is not None:
            first, path = seen.setdefault(os.path.normpath(place), (n, one.path))
            if first != n and os.path.normpath(path) != os.path.normpath(one.path):
                return n, f"'{path}' and '{one.path}' would both be placed as '{place}'"
    return None


def sent_item(value: object) -> Sent | None:
    """Return an item of ``files`` that is on this machine; ``None`` for other items, and wrong ones."""
    try:
        found = sent([item(value)])
    except ValueError:
        return None
    return found[0] if found else None


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "named pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"
