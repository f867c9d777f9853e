"""What ``sshjobs exec`` does with its own standard input: values, or input of every job. It is never just ignored."""

from __future__ import annotations

import array
import contextlib
import fcntl
import io
import os
import select
import stat
import sys
import termios
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

from sshjobs.cli.failures import complain
from sshjobs.errors import UsageError

if TYPE_CHECKING:
    from sshjobs.inputs.arguments import Source

#: Seconds after which it is said what is waited for.
SILENCE = 1.0


class StandardInput:
    """Our standard input, and what it is for.

    :param given: ``--stdin -`` says that it is for the jobs
    """

    def __init__(self, *, given: bool):
        self._given = self._for_jobs = given

    def sources(self, *, wanted: bool, per_host: bool) -> list[Source]:
        """Return the source of values where none is named: standard input, or none for a command that stands alone.

        :param wanted: there are placeholders, so that values must come from somewhere
        :param per_host: each host has the job; without placeholders it gets the bytes, as over ssh
        """
        from sshjobs.inputs.arguments import Source

        if wanted and self._given:
            raise UsageError("standard input cannot be both the values and the input of the jobs",
                             hint="name the values after :::, or in a file after ::::")
        if wanted and sys.stdin.isatty():
            complain("reading values from the terminal, one a line; Ctrl-D ends them")
        if wanted or (not per_host and not self._given and _is_file_or_pipe()):
            return [Source(file="-")]
        self._for_jobs = self._given or (per_host and _is_file_or_pipe())
        return []

    def check(self, sources: Sequence[Source]) -> None:
        """Make sure that something reads what comes in.

        :raises UsageError: there is something, and nothing reads it
        """
        reads = any(source.file == "-" for source in sources)
        if reads and self._given:
            raise UsageError("standard input cannot be both the values and the input of the jobs", hint="name - once")
        if not reads and not self._for_jobs and _waits():
            raise UsageError("nothing reads standard input, and there is something in it",
                             hint="--stdin - gives it to each job, < /dev/null leaves it out")

    def for_jobs(self) -> BinaryIO | None:
        """Return what is to be given to every job, ``None`` where that is nothing. Waits for its first byte."""
        if not self._for_jobs:
            return None
        with contextlib.suppress(OSError, ValueError):
            if not select.select([0], [], [], SILENCE)[0]:
                complain("waiting for standard input, which each job is given; < /dev/null leaves it out")
        stream = io.BufferedReader(io.FileIO(0, closefd=False))
        return stream if stream.peek(1) else None


def _is_file_or_pipe() -> bool:
    """Tell whether standard input is a file or a pipe: no terminal, and not /dev/null."""
    try:
        return not stat.S_ISCHR(os.fstat(0).st_mode)
    except OSError:
        return False


def _waits() -> bool:
    """Tell whether something is there to be read at once, without reading it."""
    try:
        info = os.fstat(0)
        if stat.S_ISREG(info.st_mode):
            return os.lseek(0, 0, os.SEEK_CUR) < info.st_size
        if stat.S_ISFIFO(info.st_mode) or stat.S_ISSOCK(info.st_mode):
            count = array.array("i", [0])
            fcntl.ioctl(0, termios.FIONREAD, count)
            return count[0] > 0
    except OSError:
        pass
    return False
