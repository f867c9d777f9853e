"""What a host is and has: the facts in the frame ``welcome``. All is cheap to find out, or has a time limit."""

import os
import sys

from .. import files, procs, system, wire
from ..gputool import gpu_tool, nvidia_smi
from . import logout

MYPY = False
if MYPY:
    from typing import Any, Iterator

    from ..door import Door
    from ..places import Places
    from .link import Link

#: Seconds after which nvidia-smi is not waited for any longer.
GPU_LIMIT = 2.0
_NVIDIA = "/proc/driver/nvidia/gpus"
#: What cgroup version 1 says where there is no limit.
_NO_LIMIT = 1 << 60


def welcome(link: "Link", door: "Door", places: "Places", about: "dict[str, Any]", resumed: bool) -> None:
    """Say what this host is, and at once what a person is to know of it.

    :param about: the facts that do not change
    :param resumed: something of the run was here before
    """
    link.say(t="welcome", v=wire.VERSION, pid=system.getpid(), root=places.root, resumed=resumed,
             **dict(about, **passing(places.base)))
    if door.notice is not None:
        link.say(t="warn", msg=door.notice)
        door.notice = None
    if not resumed and logout.ends_everything():
        link.say(t="warn", msg=logout.WARNING)


def gather() -> "dict[str, Any]":
    """Return the facts that do not change while the host is up."""
    return {
        "boot": procs.boot_id(), "pidns": procs.pid_namespace(), "machine": _line("/etc/machine-id") or "",
        "hostname": system.hostname(), "python": "%d.%d.%d" % sys.version_info[:3], "cores": cores(),
        "memory": memory(), "gpus": gpus(), "gpu_tool": os.path.basename(gpu_tool() or "") or None,
        "home": os.fsdecode(system.environ().get(b"HOME", b"")),
    }


def passing(base: str) -> "dict[str, Any]":
    """Return the facts of this moment. ``disk`` is what a user without privileges can still write."""
    return {"clock": system.time(), "disk": (room(base) or (0, 0))[0]}


def room(base: str) -> "tuple[int, int] | None":
    """Return how many bytes a user without privileges can still write, and how large the disk is, 0 where that is not
    told; None where nothing is."""
    try:
        disk = system.statvfs(base)
    except OSError:
        return None
    # File systems without an end say more than any number has room for.
    return min(disk.f_bavail * disk.f_frsize, _NO_LIMIT), disk.f_blocks * disk.f_frsize


def load() -> "float | None":
    """Return how many processes have run or waited to, on average over the last minute."""
    try:
        return float(files.contents("/proc/loadavg").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def available() -> "int | None":
    """Return how many bytes of memory are free for new processes."""
    return _meminfo(b"MemAvailable:")


def _meminfo(name: bytes) -> "int | None":
    """Return a line of /proc/meminfo in bytes."""
    try:
        for line in files.contents("/proc/meminfo").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def cores() -> int:
    """Return how many cores we may use, at least 1: those we are pinned to, or fewer by a quota of the cgroup."""
    count = system.cores()
    for directory in _cgroups("cpu"):
        words = (_line(directory + "/cpu.max") or "").split()
        if not words:
            words = [_line(directory + "/cpu.cfs_quota_us") or "", _line(directory + "/cpu.cfs_period_us") or ""]
        if len(words) == 2 and words[0].isdigit() and words[1].isdigit() and int(words[1]) > 0:
            count = min(count, -(-int(words[0]) // int(words[1])))
    return max(1, count)


def memory() -> int:
    """Return how many bytes of memory we may use: the machine's, or fewer by a limit of the cgroup."""
    size = _meminfo(b"MemTotal:") or 0
    for directory in _cgroups("memory"):
        limit = _line(directory + "/memory.max") or _line(directory + "/memory.limit_in_bytes") or ""
        if limit.isdigit() and int(limit) < _NO_LIMIT:
            size = min(size, int(limit)) if size else int(limit)
    return size


def gpus() -> "list[str]":
    """Return the names of the GPUs. The driver's own list is read where there is one; nvidia-smi can take seconds."""
    try:
        devices = sorted(system.listdir(_NVIDIA))
    except OSError:
        return _ask_nvidia_smi()
    names = []
    for device in devices:
        try:
            text = files.contents("%s/%s/information" % (_NVIDIA, device)).decode("utf-8", "replace")
            names += [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Model:")]
        except OSError:
            continue
    return names


def _ask_nvidia_smi() -> "list[str]":
    program = nvidia_smi()
    if program is None:
        return []
    said = system.ask([program, "-L"], GPU_LIMIT).decode("utf-8", "replace")
    # GPU 0: NVIDIA H200 (UUID: GPU-…)
    return [line.partition(": ")[2].partition(" (UUID")[0] for line in said.splitlines() if line.startswith("GPU ")]


def _cgroups(controller: str) -> "Iterator[str]":
    """Yield the directories of our cgroup and of those above it, for both versions."""
    yield "/sys/fs/cgroup"
    yield "/sys/fs/cgroup/" + controller
    try:
        lines = files.contents("/proc/self/cgroup").decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number != "0" and controller not in controllers.split(","):
            continue
        while path not in ("", "/"):
            yield "/sys/fs/cgroup%s%s" % ("" if number == "0" else "/" + controller, path)
            path = os.path.dirname(path)


def _line(path: str) -> "str | None":
    try:
        return files.contents(path, follow=True).partition(b"\n")[0].decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return None
