"""LoggingManager: a manager that keeps the seed's log."""

from __future__ import annotations

from typing import TextIO

from sshjobs.model.given import wrong
from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_ERROR
from sshjobs.running.manager import Manager


class LoggingManager(Manager):
    """A manager that writes what happens to jobs into a log, a line each.

    ``LAUNCH <id> w/name <name> as job #<index>``, the same with ``DONE`` or ``FAILED``, and ``WAIT`` followed by a
    dot for each sleep. White space in names is written as ``\\x20``, so that the columns stay columns.

    :param log: where to write; flushed after every event
    """

    def __init__(self, sleep_time_in_secs: float, log: TextIO):
        super().__init__(sleep_time_in_secs)
        if not (callable(getattr(log, "write", None)) and callable(getattr(log, "flush", None))):
            raise wrong("log", log, "a text file that is open for writing")
        self.log = log
        #: The last event was a sleep, whose line is not ended yet.
        self.last_was_sleep = False

    def HandleJobLaunch(self, job: Job) -> None:
        self._write("LAUNCH", job)

    def HandleJobDone(self, job: Job) -> None:
        self._write("FAILED" if job.state == STATE_ERROR else "DONE", job)

    def HandleSleep(self) -> None:
        self.log.write("." if self.last_was_sleep else "WAIT .")
        self.log.flush()
        self.last_was_sleep = True

    def _write(self, word: str, job: Job) -> None:
        name = "".join(f"\\x{ord(c):02x}" if c.isspace() else c for c in job.name)
        newline = "\n" if self.last_was_sleep else ""
        self.log.write(f"{newline}{word} {job.id_ or '-'} w/name {name} as job #{job.index}\n")
        self.log.flush()
        self.last_was_sleep = False
