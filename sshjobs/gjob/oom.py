"""Whether the kernel killed for want of memory: the counters of our cgroup, or of the machine."""

from . import files

MYPY = False
if MYPY:
    from typing import Iterator


class Watch:
    """Compares the kernel's counter of such kills between two looks."""

    def __init__(self) -> None:
        self._source = next((path for path in _sources() if _count(path) is not None), None)
        self._last = self._now()

    @property
    def tells(self) -> bool:
        """Whether there is a counter that would tell."""
        return self._source is not None

    def struck(self) -> bool:
        """True when something near us was killed for want of memory since the last look."""
        before, self._last = self._last, self._now()
        return self._last > before

    def _now(self) -> int:
        return 0 if self._source is None else _count(self._source) or 0


def _sources() -> "Iterator[str]":
    """Yield the files that may have a counter ``oom_kill``, the closest to us first."""
    for number, controllers, path in _memberships():
        if number == "0":
            yield "/sys/fs/cgroup%s/memory.events" % path
        elif "memory" in controllers.split(","):
            yield "/sys/fs/cgroup/memory%s/memory.oom_control" % path
    # In a container the path may be the host's, and what is mounted is our own part.
    yield "/sys/fs/cgroup/memory.events"
    yield "/sys/fs/cgroup/memory/memory.oom_control"
    yield "/proc/vmstat"


def _memberships() -> "Iterator[tuple[str, str, str]]":
    try:
        lines = files.contents("/proc/self/cgroup").decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        yield number, controllers, path.rstrip("/")


def _count(path: str) -> "int | None":
    try:
        for line in files.contents(path).decode("ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
    except (OSError, ValueError):
        pass
    return None
