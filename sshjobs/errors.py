"""Every error that a user can meet: one line that says what, where, why and what to do.

A job's failure is data (see :class:`sshjobs.model.states.Outcome`); an exception here is our own inability.
Each class carries the exit code of the command line that it leads to.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

#: Exit codes of the command line.
EXIT_OK = 0
EXIT_JOBS_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_HOST = 3
EXIT_INTERRUPTED = 130

#: Characters that a terminal obeys, that turn the direction of what follows, that nobody sees, or that are none: a
#: pattern, which takes a millisecond to compile.
HIDDEN = (
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]")


#: The longest line that is said about anything, in characters.
MAX_LINE = 1000


def brief(text: str) -> str:
    """Return a text that fits on a line: what matters stands at its beginning and, as what to do, at its end."""
    if len(text) <= MAX_LINE:
        return text
    return f"{text[:MAX_LINE - 300]} … {text[-250:]}"


def printable(text: object) -> str:
    """Return ``text`` on one line and harmless to a terminal: control and direction characters are escaped."""
    text = str(text)
    if text.isascii() and text.isprintable():
        return text
    return re.sub(HIDDEN, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def hidden_in(text: str) -> re.Match[str] | None:
    """Return the first such character of a text, ``None`` where there is none."""
    return None if text.isascii() and text.isprintable() else re.search(HIDDEN, text)


class SshjobsError(Exception):
    """Base of all errors of sshjobs.

    :param what: what happened, in a few words
    :param where: file:line:column, host or path that it is about
    :param why: the cause, as far as it is known
    :param hint: what to do about it
    """

    exit_code = EXIT_JOBS_FAILED

    def __init__(self, what: str, *, where: str | None = None, why: str | None = None, hint: str | None = None):
        self.what, self.where, self.why, self.hint = what, where, why, hint
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        text = f"{text}: {self.why}" if self.why else text
        return brief(printable(f"{text}; {self.hint}" if self.hint else text))


class UsageError(SshjobsError):
    """The command line or an argument cannot be used."""

    exit_code = EXIT_USAGE


class Problem(NamedTuple):
    """One mistake in an input file. ``line`` and ``column`` count from 1; 0 where the file as a whole is meant."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return brief(printable(f"{place}: {self.message}"))


class InputError(UsageError):
    """A jobfile or hosts file has mistakes: all of them, in the order of the file, one line each."""

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class QueueError(SshjobsError):
    """A queue was asked for a state or an object that it does not have."""


class NoHostError(SshjobsError):
    """No host could be used, so nothing can run."""

    exit_code = EXIT_NO_HOST


class HostError(SshjobsError):
    """A host cannot be used at present.

    :param kind: a short fixed word for the cause, such as ``refused`` or ``host-key-changed``
    :param host: the host's name
    :param lasting: true where trying again cannot help before somebody acts (keys, login, python)
    :ivar reached: false where nothing came as far as an sshd, so that trying again costs it nothing
    :ivar waits: true where the host is to come, if late: it is waited for, although it was never there
    :ivar ends_jobs: true where it proves that nothing which was launched there before is alive
    """

    reached = True
    waits = False
    ends_jobs = False

    def __init__(self, kind: str, host: str, what: str, *, why: str | None = None, hint: str | None = None,
                 lasting: bool = False):
        self.kind, self.host, self.lasting = kind, host, lasting
        super().__init__(what, where=host, why=why, hint=hint)


class ProtocolError(SshjobsError):
    """The far side said something that the protocol does not allow."""


class LocalError(SshjobsError):
    """This machine could not do its part: its disk, its memory, its table of open files. No host and no job is to
    blame, so it ends no job and sets no host aside.

    :param passing: false where waiting cannot help before a person acts; ``None`` is what is usual for the class
    """

    passing = True

    def __init__(self, what: str, *, where: str | None = None, why: str | None = None, hint: str | None = None,
                 passing: bool | None = None):
        if passing is not None:
            self.passing = passing
        super().__init__(what, where=where, why=why, hint=hint)

    @classmethod
    def of(cls, error: OSError, what: str, *, where: str | None = None, hint: str | None = None,
           passing: bool | None = None) -> LocalError:
        """Return what the refusal of a call of the system means.

        :param where: the path that it is about, where the error does not name one
        """
        name = error.filename if isinstance(error.filename, (str, bytes)) else None
        place = where if name is None else os.fsdecode(name)
        return cls(what, where=place, why=error.strerror or str(error), hint=hint, passing=passing)

    def waiting(self) -> str:
        """Say the same while it is waited for."""
        hint = f"waiting; {self.hint}" if self.hint else "waiting"
        return str(SshjobsError(self.what, where=self.where, why=self.why, hint=hint))


class StoreError(LocalError):
    """The run's store cannot be read or written."""

    passing = False


class RunExistsError(UsageError):
    """A run of that name is there already."""


class RunNotFoundError(UsageError):
    """There is no such run."""


class RunBusyError(UsageError):
    """Another manager works on the run. ``elsewhere``: on another machine, from where it cannot be asked."""

    elsewhere = False


class RunTimeoutError(SshjobsError, TimeoutError):
    """A run, or the next job of it, has not ended in the time that was to be waited for it. It goes on."""


class CallError(SshjobsError):
    """A call of an :class:`sshjobs.Executor` has no result, for another reason than an exception of its function."""


class CommandError(SshjobsError):
    """A command that a helper ran did not succeed.

    :param status: its exit status, None where it did not start or ran out of time
    """

    def __init__(self, what: str, *, status: int | None = None, where: str | None = None, why: str | None = None,
                 hint: str | None = None):
        self.status = status
        super().__init__(what, where=where, why=why, hint=hint)
