"""Putting ``gjob`` on this host as one program, and taking it away again."""

import os
import re
import stat
import sys
import zipfile

from ..places import NEW
from .say import Trouble, reason, write_all

MYPY = False
if MYPY:
    from typing import Any

_VERSION = re.compile(r"""__version__ = "([0-9A-Za-z.+-]{1,50})\"""")


def directory() -> str:
    """Return where users have programs of their own."""
    return os.path.join(os.environ.get("HOME") or os.path.expanduser("~"), ".local", "bin")


def install(data: bytes, version: str, python: "str | None", force: bool) -> "dict[str, Any]":
    """Put the program in place, whole or not at all, and return what was done.

    :param data: the program without its ``#!`` line
    :param python: the interpreter to name there; ``None`` for the ``python3`` of the user who calls it
    :param force: also in the place of a newer one, or of another program of that name
    :raises Trouble: it cannot be put there
    """
    path = os.path.join(directory(), "gjob")
    program = b"#!%s\n%s" % (os.fsencode(python or "/usr/bin/env python3"), data)
    old = None
    if os.path.lexists(path):
        old = installed(path)
        if old is None and not force:
            raise Trouble("%s: another program of that name is there" % path, None, "move it away, or use --force")
        if old is not None and _order(old) > _order(version) and not force:
            raise Trouble("%s: version %s is there, newer than %s" % (path, old, version), None,
                          "use that sshjobs, or --force")
    if old == version and _same(path, program):
        return _told("unchanged", path, version, old)
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        _put(path, program)
    except OSError as error:
        raise Trouble("%s: it cannot be written" % path, reason(error), "make room, or make it writable")
    return _told("installed" if old is None else "updated", path, version, old)


def remove() -> "dict[str, Any]":
    """Take the program away, if it is ours, and return what was done.

    :raises Trouble: it is another's, or cannot be taken away
    """
    path = os.path.join(directory(), "gjob")
    if not os.path.lexists(path):
        return _told("absent", path, None, None)
    old = installed(path)
    if old is None:
        raise Trouble("%s: another program of that name is there" % path, None, "it is left alone")
    try:
        os.unlink(path)
    except OSError as error:
        raise Trouble("%s: it cannot be removed" % path, reason(error), "see who owns it")
    return _told("removed", path, None, old)


def installed(path: str) -> "str | None":
    """Return the version of the ``gjob`` in a file, ``None`` where it is something else."""
    try:
        with zipfile.ZipFile(path) as archive:
            archive.getinfo("sshjobs/gjob/__init__.py")
            match = _VERSION.match(archive.read("sshjobs/__init__.py").decode("utf-8", "replace"))
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile):
        return None
    return match.group(1) if match is not None else None


def _put(path: str, program: bytes) -> None:
    new = "%s.%d" % (path, os.getpid())
    fd = os.open(new, NEW, 0o700)
    try:
        try:
            write_all(fd, program)
            os.fchmod(fd, 0o755)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(new, path)
    except OSError:
        os.unlink(new)
        raise


def _same(path: str, program: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o755 and file.read() == program
    except OSError:
        return False


def _order(version: str) -> "list[int]":
    return [int(number) for number in re.findall(r"[0-9]+", version)]


def _told(did: str, path: str, version: "str | None", old: "str | None") -> "dict[str, Any]":
    # We were started as any command over ssh is: our PATH is the one that such commands have.
    on_path = [os.path.realpath(part) for part in os.environ.get("PATH", "").split(":") if part]
    return {"did": did, "path": path, "version": version, "old": old,
            "on_path": os.path.realpath(os.path.dirname(path)) in on_path,
            "python": "%d.%d.%d" % sys.version_info[:3]}
