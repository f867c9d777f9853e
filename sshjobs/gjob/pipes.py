"""Outputs of a job that opens them anew (``> /dev/stderr``): pipes, because a file would be emptied by that.

The job holds each pipe open for reading and writing itself. So it never waits for a reader to come, and it goes on
when its runner and the agent die: what it says waits in the pipe, and then so does it, until an agent goes on. What
comes through a pipe goes into the file that other jobs write to directly, so nobody else needs to know.
"""

import os

from . import files, system
from .places import NEW

MYPY = False
if MYPY:
    from typing import Any

    from .places import Places

#: What a job's text has in it that opens its own outputs anew.
_NAMES = ("/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd", "/proc/$")
_MOST = 1 << 20


def are_wanted(spec: "dict[str, Any]") -> bool:
    """True where a job is to have pipes: it asks for them, or its text names its own outputs. What is left running at
    its end (``leftovers: keep``) may not: nobody would read any more."""
    if spec.get("leftovers") == "keep":
        return False
    if spec.get("output") == "pipe":
        return True
    texts = [spec["script"]] if "script" in spec else spec["argv"]
    return any(("/dev/" in text or "/proc/" in text) and any(name in text for name in _NAMES) for text in texts)


class Pipes:
    """Moves what comes through the pipes of one attempt into its files. Only one process at a time may do that.

    :ivar fds: the ends to read from, as long as something may come
    """

    def __init__(self, places: "Places", uid: str):
        self._paths = [places.stream(uid, number) + ".pipe" for number in (1, 2)]
        self._outputs = [places.stream(uid, number) for number in (1, 2)]
        self._targets: "dict[int, int]" = {}

    @property
    def fds(self) -> "list[int]":
        return list(self._targets)

    def make(self) -> "list[int]":
        """Make pipes and files; return the two ends that the job is to have, which the caller closes.

        :raises OSError: there is no room for them; nothing stays open
        """
        given: "list[int]" = []
        try:
            for path, output in zip(self._paths, self._outputs):
                system.mkfifo(path, 0o600)
                given.append(system.open(path, os.O_RDWR | os.O_NOFOLLOW))
                system.widen(given[-1])
                self._open(path, output, NEW)
        except OSError:
            for fd in given:
                files.close_quietly(fd)
            self.close()
            raise
        return given

    def find(self) -> bool:
        """Go on with pipes whose runner is dead; False where there are none.

        :raises OSError: they cannot be opened now
        """
        for path, output in zip(self._paths, self._outputs):
            try:
                self._open(path, output, os.O_WRONLY | os.O_NOFOLLOW | os.O_CREAT)
            except FileNotFoundError:
                continue
        return bool(self._targets)

    def _open(self, path: str, output: str, flags: int) -> None:
        reading = system.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            # At the end of what is there: moved to, it is not opened for appending, which the kernel does not move to.
            writing = system.open(output, flags, 0o600)
            system.seek_end(writing)
        except OSError:
            files.close_quietly(reading)
            raise
        self._targets[reading] = writing

    def move(self) -> None:
        """Move all that waits.

        :raises OSError: there is no room for it; it waits on
        """
        for reading, writing in list(self._targets.items()):
            try:
                while system.splice(reading, writing, _MOST):
                    pass
            except BlockingIOError:
                continue
            # Nobody can write to it any more.
            del self._targets[reading]
            files.close_quietly(reading)
            files.close_quietly(writing)

    def close(self) -> None:
        """Close all descriptors and remove the pipes; the files stay."""
        for reading, writing in self._targets.items():
            files.close_quietly(reading)
            files.close_quietly(writing)
        self._targets.clear()
        for path in self._paths:
            try:
                system.unlink(path)
            except OSError:
                pass
