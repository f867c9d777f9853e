"""The memory of a job that says how much it needs: enforced by a cgroup where one can be had, else only measured."""

from . import cgroup, files
from .light import signal

MYPY = False
if MYPY:
    from typing import Any

    from .oom import Watch

_UNITS = ((1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"))


class Limit:
    """The memory that a runner's present job may take.

    :param path: the cgroup of the runner; ``None`` where it has none
    :param watch: sees what the kernel kills near us
    :ivar enforced: the kernel ends the job when it takes more
    """

    def __init__(self, path: "str | None", watch: "Watch"):
        self._path, self._watch = path, watch
        self._size = 0
        self._fd = -1
        self._kills = 0
        self.enforced = False

    def begin(self, spec: "dict[str, Any]") -> "list[tuple[str, Any]]":
        """Prepare for the start of a job; return what its process must do first, as in :attr:`Start.before`."""
        self._size, self.enforced = spec.get("memory") or 0, False
        # A call is forked by the fork server, which cannot do that.
        if not self._size or self._path is None or "call" in spec:
            return []
        try:
            fd = cgroup.limited(self._path, self._size)
            files.close_quietly(self._fd)
            self._fd = fd
            self._kills = cgroup.kills(self._path)
        except OSError:
            return []
        self.enforced = True
        return [("write", (self._fd, b"0"))]

    def struck(self) -> bool:
        """True when the kernel has just killed for want of memory, by the limit of the job or near us."""
        near = self._watch.struck()
        try:
            return near or (self.enforced and self._path is not None and cgroup.kills(self._path) > self._kills)
        except OSError:
            return near

    def words(self, why: str, number: "int | None", rss: int) -> "str | None":
        """Return what memory had to do with an end, in words; ``None`` where it had nothing.

        :param number: the signal that ended it
        :param rss: KiB of its largest process
        """
        if why == "signalled" and number == signal.SIGKILL and not self._watch.tells:
            return "probably out of memory: it was killed by signal 9, and this host does not tell why"
        if not self._size:
            return None
        size = _shown(self._size)
        if self.enforced:
            return "it took more than its memory, %s, which a cgroup enforces" % size if why == "oom" else None
        if why == "oom":
            return "its memory, %s, is counted here and not enforced: its largest process had taken %s" % (
                size, _shown(rss << 10))
        if rss << 10 > self._size:
            return "its largest process took %s, more than its memory, %s, which is not enforced here" % (
                _shown(rss << 10), size)
        return None


def _shown(size: int) -> str:
    """Return a size for a person, rounded down."""
    for unit, letter in _UNITS:
        if size >= unit:
            return "%g%s" % (size * 10 // unit / 10.0, letter)
    return "%d bytes" % size
