"""How many files this process may have open: the session with each host takes some of them."""

from __future__ import annotations

import resource

from sshjobs.errors import UsageError
from sshjobs.network.session.output_files import MAX_OPEN

#: Files for a host: three pipes of its ssh, or the sockets of a fabric connection.
_FOR_A_HOST = 3
#: Other files: store, log, sockets, libraries, and a child process that is just being started.
_BESIDES = 64

#: The soft limit as it was before this process raised it, ``None`` where it has not.
_before: int | None = None


def make_room(hosts: int) -> None:
    """Raise the soft limit of this process as far as is needed for sessions with so many hosts.

    A limit that is high enough is left alone: other child processes inherit it.

    :raises UsageError: the hard limit, which only an administrator can raise, is too low for them
    """
    global _before
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = hosts * _FOR_A_HOST + _BESIDES
    # Output files are not counted: near the limit some are closed for others, which is only slower.
    wanted = needed + hosts + MAX_OPEN
    if resource.RLIM_INFINITY not in (soft, hard):
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        wanted = soft
    else:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # Some systems have a limit below the hard one (macOS).
            wanted = soft
        else:
            _before = soft if _before is None else _before
    if wanted != resource.RLIM_INFINITY and wanted < needed:
        raise UsageError(f"{hosts:,} hosts take {needed:,} open files, and this process may have {wanted:,}",
                         hint="raise the hard limit (ulimit -Hn; LimitNOFILE= of a service), or name fewer hosts")


def give_back(pid: int) -> None:
    """Let a child process have the soft limit that this process was started with, where the system can (Linux).

    Programs that use ``select`` fail with many files; a job on this machine is to find what its user set.
    """
    if _before is not None and hasattr(resource, "prlimit"):
        try:
            hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_before, hard))
        except (ProcessLookupError, PermissionError):
            pass  # It is gone, or became another user's: a set-uid ssh, which has what it needs.
