"""``gjob local …``: job directories of this host, named by their paths.

Loaded is what the verb needs: scripts ask for states again and again.
"""

import os

from .args import Words, tell_status
from .jobdir import JobDir, make
from .say import FAILED, OK, say

MYPY = False
if MYPY:
    from typing import Callable

    Verb = Callable[[list[str], str], int]


def _mkdir(words: "list[str]", takes: str) -> int:
    Words(words, takes).need(0, 0)
    say(make(os.curdir))
    return OK


def _start(words: "list[str]", takes: str) -> int:
    from .start import start

    path, *argv = Words(words, takes).need(2)
    start(JobDir(path), argv)
    return OK


def _status(words: "list[str]", takes: str) -> int:
    given = Words(words, takes, "", ["json"])
    for path in given.need(1):
        say(tell_status(path, JobDir(path).standing().facts, given.flag("--json")))
    return OK


def _kill(words: "list[str]", takes: str) -> int:
    from . import control

    path, *args = Words(words, takes).need(1)
    control.kill(JobDir(path), control.signal_number(args))
    return OK


def _pause(words: "list[str]", takes: str) -> int:
    from . import control

    control.pause(JobDir(Words(words, takes).need(1, 1)[0]))
    return OK


def _unpause(words: "list[str]", takes: str) -> int:
    from . import control

    control.unpause(JobDir(Words(words, takes).need(1, 1)[0]))
    return OK


def _is_paused(words: "list[str]", takes: str) -> int:
    from . import control

    paused = control.is_paused(JobDir(Words(words, takes).need(1, 1)[0]))
    say("yes" if paused else "no")
    return OK if paused else FAILED


def _delete(words: "list[str]", takes: str) -> int:
    from . import control

    control.delete(JobDir(Words(words, takes).need(1, 1)[0]))
    return OK


#: By verb: what carries it out, what it takes, what it does.
VERBS: "dict[str, tuple[Verb, str, str]]" = {
    "mkdir": (_mkdir, "", "make a job directory below this one and print its id"),
    "start": (_start, "JOB-DIR COMMAND [ARGUMENT...]", "start a command in it; returns once it runs"),
    "status": (_status, "[--json] JOB-DIR...", "print of each whether it is free, busy, done, error or unknown"),
    "kill": (_kill, "JOB-DIR [-SIGNAL]", "end all that it started, or send that a signal"),
    "pause": (_pause, "JOB-DIR", "stop all that it started"),
    "unpause": (_unpause, "JOB-DIR", "let it go on"),
    "is-paused": (_is_paused, "JOB-DIR", "print yes (exit status 0) or no (1)"),
    "delete": (_delete, "JOB-DIR", "empty it; its id is never used again"),
}
