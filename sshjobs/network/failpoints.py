"""Failpoints: named moments at which a test ends or stops this process, to find out what is lost by that.

``SSHJOBS_FAILPOINTS=exit_seen:kill@3`` kills the process with SIGKILL when it gets there for the third time; ``stop``
stops it with SIGSTOP. Several are separated by commas. Without the variable nothing happens and nothing is spent.
"""

from __future__ import annotations

import os
import signal

#: Between the commit of an intent and the hand-over of its launch; after that; after the bytes went to the transport;
#: while output is written; after the end of an attempt was heard and before it is committed; after that and before the
#: host may forget.
NAMES = ("after_intent", "after_flush", "after_send", "output", "exit_seen", "before_release")
#: The same where files that jobs left are brought: after a piece was written; after all were put in their place.
OF_FILES = ("file", "files_here")
_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
#: By name: what is sent to this process, and how many times it still passes before that.
_armed: dict[str, tuple[signal.Signals, int]] = {}


def arm(text: str) -> None:
    """Set the failpoints to those of a text, and unset all others.

    :raises ValueError: the text is none
    """
    _armed.clear()
    for word in filter(None, text.split(",")):
        name, _, rest = word.partition(":")
        action, _, times = rest.partition("@")
        if name not in NAMES + OF_FILES or action not in _ACTIONS:
            raise ValueError(f"no failpoint is written {word!r}")
        _armed[name] = _ACTIONS[action], int(times or "1")


def reach(name: str) -> None:
    """Pass a failpoint: do what it is armed for."""
    if not _armed or name not in _armed:
        return
    number, left = _armed[name]
    if left > 1:
        _armed[name] = number, left - 1
        return
    del _armed[name]
    os.kill(os.getpid(), number)


arm(os.environ.get("SSHJOBS_FAILPOINTS", ""))
