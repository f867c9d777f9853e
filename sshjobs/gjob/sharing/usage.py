"""What runs have used of a host: a small log of each user, beside what that user holds there.

Each line tells what one run has used since its line before. It is written by the agent every few minutes and when the
run ends, so what an agent had not written when it was killed is missing.
"""

import os

from .. import files, system
from ..light import dumps
from .rules import MEMORY, SLOTS, UNIT

MYPY = False
if MYPY:
    from typing import Any

#: Seconds between two lines of a run; bytes after which a log is put aside, in the place of the one before.
EVERY, MOST = 300.0, 1 << 19
#: Names of the logs: the newer first.
NAMES = ("usage", "usage.1")
#: What takes less is not worth a line, in seconds of a slot.
_LEAST = 1.0
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK


class Meter:
    """Adds up what one run uses.

    :param directory: of the user
    :param run: the run's 32 hex digits; ``name`` is what its user calls it
    """

    def __init__(self, directory: str, run: str, name: str):
        self._directory, self._run, self._name = directory, run, name
        self._slots = self._memory = self._units = 0.0
        self._jobs = 0

    def add(self, amounts: "dict[str, int]", seconds: float) -> None:
        """Note that something was held for so long."""
        seconds = max(0.0, seconds)
        self._slots += amounts.get(SLOTS, 0) * seconds
        self._memory += amounts.get(MEMORY, 0) / (1 << 30) * seconds
        self._units += sum(what.startswith(UNIT) for what in amounts) * seconds

    def count_job(self) -> None:
        """Note that a job has begun."""
        self._jobs += 1

    def write(self) -> None:
        """Write down what was added up. Where it cannot be written, that is all that is lost."""
        if self._slots < _LEAST:
            return
        line = dumps({"at": round(system.time()), "run": self._run, "name": self._name, "jobs": self._jobs,
                      "slots": round(self._slots, 1), "memory": round(self._memory, 1),
                      "units": round(self._units, 1)}).encode("ascii") + b"\n"
        try:
            path = "%s/%s" % (self._directory, NAMES[0])
            fd = system.open(path, _APPEND, 0o644)
            try:
                system.fchmod(fd, 0o644)
                system.write(fd, line)
                if system.fstat(fd).st_size > MOST:
                    system.rename(path, "%s/%s" % (self._directory, NAMES[1]))
            finally:
                files.close_quietly(fd)
        except OSError:
            return
        self._slots = self._memory = self._units = 0.0
        self._jobs = 0


def checked(line: "dict[str, Any]") -> "dict[str, Any] | None":
    """Return a line of a log, ``None`` for one that none of ours has written."""
    numbers: "list[Any]" = [line.get(key) for key in ("at", "jobs", "slots", "memory", "units")]
    if any(type(number) not in (int, float) or not 0 <= number < 1e12 for number in numbers):
        return None
    if type(line.get("run")) is not str or type(line.get("name")) is not str:
        return None
    return line
