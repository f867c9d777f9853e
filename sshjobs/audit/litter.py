"""What interrupted runs left on this machine: sockets at which nobody answers, half-made directories."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sshjobs.network.transport.sshlog import NAME
from sshjobs.running.control import CONTROL_SOCKET, is_kept, socket_directories
from sshjobs.store.rundir import MARKER

#: After how many seconds without a change something counts as left behind.
QUIET = 3600.0
#: The same for a socket: its manager listens right after making it.
SOCKET_QUIET = 60.0
_ASIDE = re.compile(r"\..+\.[0-9a-f]{8}\Z")
_SCRATCH = re.compile(r"sshjobs-(?:check|simulate)-\w+\Z")


def litter(results: Path) -> Iterator[tuple[Path, str]]:
    """Yield each path that can be removed, with what it is. Changes nothing.

    :param results: the directory of the runs
    """
    for directory in socket_directories():
        for path in _listed(directory):
            if CONTROL_SOCKET.fullmatch(path.name) and _idle(path, SOCKET_QUIET) and not is_kept(path):
                yield path, "socket of a manager that is gone"
    for path in _listed(results):
        if not _is_ours(path) or not _idle(path, QUIET) or not (path / MARKER).is_file():
            continue
        if _ASIDE.fullmatch(path.name):
            yield path, "rest of a run that was removed"
        elif not (path / "run.db").exists():
            yield path, "run whose start was cut short"
    for path in _listed(Path(tempfile.gettempdir())):
        words = NAME.fullmatch(path.name)
        if words is not None and _is_ours(path, stat.S_ISREG) and not _lives(int(words[1])):
            yield path, "what an ssh said to a process that is gone"
        if _SCRATCH.fullmatch(path.name) and _is_ours(path) and _idle(path, QUIET):
            yield path, "scratch directory"


def remove(path: Path) -> int:
    """Remove a path and return how many files that were; 0 where it could not be removed."""
    if not path.is_dir():
        with contextlib.suppress(OSError):
            path.unlink()
            return 1
        return 0
    files = sum(len(names) for _, _, names in os.walk(path))
    shutil.rmtree(path, ignore_errors=True)
    return 0 if path.exists() else max(1, files)


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _is_ours(path: Path, kind: Callable[[int], bool] = stat.S_ISDIR) -> bool:
    try:
        info = path.lstat()
    except OSError:
        return False
    return kind(info.st_mode) and info.st_uid == os.getuid()


def _idle(path: Path, seconds: float) -> bool:
    """Tell whether neither a path nor an entry of that directory has changed for so many seconds."""
    times = []
    for one in (path, *(_listed(path) if path.is_dir() else ())):
        with contextlib.suppress(OSError):
            times.append(one.lstat().st_mtime)
    return bool(times) and time.time() - max(times) >= seconds
