"""Who owns a run. A run that another user has made, or could have changed, may be read but never resumed or changed.

A run's store says what is run, on which hosts, and by which ssh configuration. A user who can write
it, or put another one in its place, can run commands as the user who resumes it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sshjobs.errors import UsageError

if TYPE_CHECKING:
    from sshjobs.store.rundir import RunPaths


class NotYoursError(UsageError):
    """A run or a directory of runs belongs to another user, or others may change it."""


def owner_of(paths: RunPaths) -> str | None:
    """Return the name of the user that a run belongs to, ``None`` where that is this user."""
    for path in (paths.root, paths.store):
        try:
            found = os.stat(path)
        except OSError:
            continue
        if found.st_uid != os.geteuid():
            return user_name(found.st_uid)
    return None


def user_name(uid: int) -> str:
    """Return the name of a user, or the uid of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def check_own(paths: RunPaths) -> None:
    """Check that a run is this user's: its directory, its store, and the directory that it is in.

    :raises NotYoursError: it is not, or others may change it
    """
    owner = owner_of(paths)
    if owner is not None:
        raise NotYoursError(f"the run belongs to user {owner}", where=str(paths.root),
                            why="what it says is not carried out in your name",
                            hint="look at it with status and logs; or do this as that user")
    check_own_results(paths.root.parent)
    # A link that another user has made may lead elsewhere later, whatever it leads to now.
    _check(paths.root, links=True)
    _check(paths.store, links=False)


def check_own_results(results: Path) -> None:
    """Check that nobody else can replace the runs in a directory.

    :raises NotYoursError: it belongs to another user, or others may change it
    """
    try:
        found = os.stat(results)
    except OSError:
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise NotYoursError(f"the results directory belongs to user {user_name(found.st_uid)}", where=str(results),
                            hint="choose one of your own: --results DIR")
    # In a sticky directory such as /tmp nobody can remove or rename files of others.
    if not found.st_mode & stat.S_ISVTX:
        _check_mode(results, found)


def check_own_file(path: Path) -> None:
    """Check that a file belongs to this user or to root, and that nobody else can change it.

    :raises NotYoursError: it is not
    """
    found = os.stat(path)
    if found.st_uid not in (os.geteuid(), 0):
        raise NotYoursError(f"the file belongs to user {user_name(found.st_uid)}", where=str(path),
                            hint="have one of your own")
    if stat.S_ISREG(found.st_mode):
        _check_mode(path, found)


def _check(path: Path, *, links: bool) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        # Opening it will tell.
        return
    if stat.S_ISLNK(found.st_mode):
        if not links or found.st_uid not in (os.geteuid(), 0):
            raise NotYoursError("it is a symbolic link", where=str(path), hint="put what it leads to in its place")
        found = os.stat(path)
    _check_mode(path, found)


def _check_mode(path: Path, found: os.stat_result) -> None:
    if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid)):
        raise NotYoursError("others may write to it", where=str(path),
                            why=f"its mode is {stat.S_IMODE(found.st_mode):04o}",
                            hint=f"see whether all in it is yours, then: chmod go-w {path}")


def _is_private(gid: int) -> bool:
    """Return whether a group is this user's alone: many systems give each user a group of the same name."""
    try:
        group = grp.getgrgid(gid)
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}
