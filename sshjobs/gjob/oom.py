"""Whether the kernel killed for want of memory: the counters of our cgroup, or of the machine."""

from . import files

MYPY = False
if MYPY:
    from typing import Iterator


class Watch:
    """Compares the kernel's counters of such kills between two looks."""

    def __init__(self) -> None:
        self._sources = [source for source in _sources() if _count(*source) is not None][:1]
        self._last = self._now()

    @property
    def tells(self) -> bool:
        """Whether there is a counter that would tell."""
        return bool(self._sources)

    def struck(self) -> bool:
        """True when something near us was killed for want of memory since the last look."""
        before, self._last = self._last, self._now()
        return self._last > before

    def _now(self) -> int:
        return sum(_count(path, word) or 0 for path, word in self._sources)


def _sources() -> "Iterator[tuple[str, str]]":
    for number, controllers, path in _memberships():
        if number == "0":
            yield "/sys/fs/cgroup%s/memory.events" % path, "oom_kill"
        elif "memory" in controllers.split(","):
            yield "/sys/fs/cgroup/memory%s/memory.oom_control" % path, "oom_kill"
    # In a container the path may be the host's, and what is mounted is our own part.
    yield "/sys/fs/cgroup/memory.events", "oom_kill"
    yield "/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"
    yield "/proc/vmstat", "oom_kill"


def _memberships() -> "Iterator[tuple[str, str, str]]":
    try:
        lines = files.contents("/proc/self/cgroup").decode("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        yield number, controllers, path.rstrip("/")


def _count(path: str, word: str) -> "int | None":
    try:
        for line in files.contents(path).decode("ascii").splitlines():
            name, _, value = line.partition(" ")
            if name == word:
                return int(value)
    except (OSError, ValueError):
        pass
    return None
