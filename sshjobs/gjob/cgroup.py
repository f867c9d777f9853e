"""A delegated cgroup (version 2): one more way to find all processes of a job, which none of them can leave unseen.

Where our own cgroup was delegated to us (``Delegate=`` of a unit, or a directory that we own), each runner moves into a
child of it. Its jobs start there, at no extra cost. This matters once agent and runner are both dead: nothing else
would find a process that wiped its environment and left its parents. Outside our own cgroup nothing is written, no
controller is switched on, and where anything fails, sshjobs does without.

Where a delegated cgroup, ours or one above it, has the memory controller enabled for its children, the cgroups of
runners are made there. Beside each there is a second one, for jobs that say how much memory they need: see
:mod:`memory`.
"""

import os

from . import files, room, system

MYPY = False
if MYPY:
    from .places import Places

_PREFIX = "sshjobs-"
_XATTRS = ("user.delegate", "trusted.delegate")
#: The cgroup for a runner's jobs with a memory limit has the name of the runner's own and this suffix.
_LIMITED = "-m"
#: At most so many cgroups above ours are looked at.
_MOST_ABOVE = 16


def own() -> "str | None":
    """Return the directory of our own cgroup; ``None`` where it cannot be told."""
    try:
        lines = os.fsdecode(files.contents("/proc/self/cgroup")).splitlines()
        paths = [line[3:] for line in lines if line.startswith("0::")]
        if not paths or paths[0] == "/" or "/.." in paths[0]:
            return None
        return _directory(paths[0])
    except (OSError, ValueError):
        return None



def _is_given(directory: str) -> bool:
    try:
        return system.access(directory + "/cgroup.procs", os.W_OK) and _is_ours(directory)
    except (OSError, ValueError):
        return False


def home() -> "str | None":
    """Return the directory in which cgroups of runners are made: going up from our own, the first delegated one with
    the memory controller for its children; else our own, if it was delegated to us."""
    mine = directory = own()
    for _ in range(_MOST_ABOVE):
        if directory is None or len(directory) <= 1:
            break
        if _hands_memory_on(directory) and _is_given(directory):
            return directory
        directory = os.path.dirname(directory)
    return mine if mine is not None and _is_given(mine) else None


def _hands_memory_on(directory: str) -> bool:
    try:
        return b"memory" in files.contents(directory + "/cgroup.subtree_control").split()
    except (OSError, ValueError):
        return False


def _directory(path: str) -> "str | None":
    """Return the directory of a cgroup by its path, ``None`` where no mount shows it."""
    for line in os.fsdecode(files.contents("/proc/self/mountinfo")).splitlines():
        fields, _, kind = line.partition(" - ")
        root, place = fields.split()[3:5]
        if kind.split()[0] == "cgroup2" and (path + "/").startswith(root.rstrip("/") + "/"):
            return place + path[len(root.rstrip("/")):]
    return None


def _is_ours(directory: str) -> bool:
    """True where the cgroup was delegated to this user. Root owns every cgroup: for root only systemd's mark counts."""
    if system.getuid():
        return system.stat(directory).st_uid == system.getuid()
    for name in _XATTRS:
        try:
            if system.getxattr(directory, name) == b"1":
                return True
        except OSError:
            continue
    return False


def _tag(places: "Places") -> str:
    return "%s%s-%s-" % (_PREFIX, os.path.basename(places.run)[:8], os.path.basename(places.base)[:8])


def enter(places: "Places", start: int) -> "str | None":
    """Move this process, a runner, into a child cgroup of its own; return its directory, ``None`` where there is none.

    :param start: when this process started: with its pid it is a name that is never used again
    """
    parent = home()
    if parent is None:
        return None
    path = "%s/%s%d-%d" % (parent, _tag(places), system.getpid(), start)
    try:
        system.mkdir(path, 0o755)
    except OSError:
        return None
    try:
        _write(path + "/cgroup.procs", b"%d" % system.getpid())
    except OSError:
        remove(path)
        return None
    return path


def _is_child(path: str) -> bool:
    """True if a runner of ours made that cgroup. A record may be so old that something else has the path now."""
    try:
        found = system.stat(path + "/cgroup.procs")
        return os.path.basename(path).startswith(_PREFIX) and found.st_uid == system.getuid()
    except OSError as error:
        if room.passes(error):
            raise
        return False


def pids(path: "str | None") -> "list[int]":
    """Return the processes in a runner's cgroup; none where it is gone.

    :raises OSError: that cannot be seen now
    """
    if path is None or not _is_child(path):
        return []
    found: "list[int]" = []
    for one in (path, path + _LIMITED):
        try:
            # 0 stands for a process that this pid namespace does not see.
            found += [int(word) for word in files.contents(one + "/cgroup.procs").split() if word != b"0"]
        except OSError as error:
            if room.passes(error):
                raise
    return found


def kill(path: "str | None") -> None:
    """Kill all processes in the cgroup of a dead runner in one stroke. Does nothing where the kernel is too old."""
    for one in (path, path + _LIMITED) if path is not None and _is_child(path) else ():
        try:
            _write(one + "/cgroup.kill", b"1")
        except OSError:
            pass


def leave(path: "str | None", back: "str | None") -> None:
    """Move this process, a runner, back and remove its cgroup, if its last job has left nothing there.

    :param back: the cgroup that it was in before
    """
    if path is not None and back is not None:
        try:
            _write(back + "/cgroup.procs", b"%d" % system.getpid())
        except OSError:
            return
        remove(path)


def remove(path: "str | None") -> None:
    """Remove the cgroups of a runner, if nothing is left in them."""
    for one in (path, path + _LIMITED) if path is not None else ():
        try:
            system.rmdir(one)
        except OSError:  # a job was allowed to leave processes in it, or it does not exist
            pass


def limited(path: str, size: int) -> int:
    """Make a cgroup with a memory limit beside that of a runner. A process joins it by writing 0 to the descriptor
    that is returned.

    :param size: the limit in bytes
    :raises OSError: it cannot be made
    """
    one = path + _LIMITED
    try:
        system.mkdir(one, 0o755)
    except FileExistsError:  # from an earlier job
        pass
    # No swap: a job over its limit would only become endlessly slow.
    for name, data, must in (("memory.swap.max", b"0", False), ("memory.oom.group", b"1", False),
                             ("memory.max", b"%d" % size, True)):
        try:
            _write("%s/%s" % (one, name), data)
        except OSError:  # a kernel without that, or without swap
            if must:
                raise
    return system.open(one + "/cgroup.procs", os.O_WRONLY)


def kills(path: str) -> int:
    """Return how often the kernel has killed in there for want of memory.

    :raises OSError: it does not tell
    """
    for line in files.contents(path + _LIMITED + "/memory.events").splitlines():
        name, _, value = line.partition(b" ")
        if name == b"oom_kill" and value.isdigit():
            return int(value)
    return 0


def clean_up(places: "Places") -> None:
    """Remove the empty cgroups that runners of this run have left."""
    parent = home()
    if parent is not None:
        try:
            names = system.listdir(parent)
        except OSError:
            return
        for name in names:
            if name.startswith(_tag(places)):
                try:
                    system.rmdir(parent + "/" + name)
                except OSError:  # a job was allowed to leave processes in it
                    pass


def _write(path: str, data: bytes) -> None:
    fd = system.open(path, os.O_WRONLY)
    try:
        system.write(fd, data)
    finally:
        files.close_quietly(fd)
