"""What ssh itself says, apart from what a host says: its log, and the causes that its words stand for.

Both come on the same standard error unless ssh is given a file for its own (``-E``). A host may write there whatever it
likes, so only what stands in that file is believed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import tempfile
from typing import ClassVar

from sshjobs.errors import HostError
from sshjobs.model.host import Host
from sshjobs.network.transport.causes import host_error, last_line

#: What these files are called, with the pid of who made them; ``sshjobs gc`` removes those of processes that are gone.
NAME = re.compile(r"sshjobs-ssh-(\d{1,9})-\w+")
#: How much of a log is read: the beginning of it tells the cause.
KEPT = 1 << 16
#: At this level ssh says why it gives up, and that it has logged in.
LOG_LEVEL = "VERBOSE"

# What ssh says, line by line, and the cause that it stands for. Each from the beginning of the line: what a host has
# chosen (its version, its reason to hang up) stands behind words of ssh's. Not compiled before there is something to
# explain: every run loads this.
_SAID = (
    ("host-key-changed", r"@ +WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed"),
    ("host-key-revoked", r"@ +WARNING: REVOKED HOST KEY|Host key .* revoked by file|.* host key for .* was revoked"),
    ("bad-config", r"Error checking host key .* in revoked keys file|.* line \d+: |.*terminating, \d+ bad"
                   r"|Bad owner or permissions|Can't open user config file"),
    ("host-key-unknown", r"No .* host key is known for|Certificate invalid|Host key verification failed"),
    ("unresolvable", r"ssh: Could not resolve hostname"),
    ("refused", r"ssh: connect to host .*: Connection refused"),
    ("timeout", r"ssh: connect to host .* timed out|Connection (to .* )?timed out|Timeout, server"),
    ("unreachable", r"(ssh: connect to|Read from remote) host .*: "
                    r"(No route to host|Network is unreachable|Host is down)"),
    ("auth", r"([^:]*: )?Permission denied \(|Received disconnect from .*(Too many authentication failures"
             r"|No supported authentication)"),
    ("no-common-way", r"Unable to negotiate with"),
    ("jump", r"Connection (closed|reset) by UNKNOWN port|channel \d+: open failed|stdio forwarding failed"),
    ("throttled", r"(kex|ssh)_exchange_identification|Connection (closed|reset) by|Received disconnect from"),
)
_LOGGED_IN = "Authenticated to "
#: What it says at the end of each connection.
_FAREWELL = ("Transferred: ", "Bytes per second: ", _LOGGED_IN)
# Where a name cannot be resolved or the kernel gives up on the connection, no sshd was asked. Only then: the same times
# run out while sshd waits for the rest of a login.
_NOT_REACHED = ("ssh: connect to ", "ssh: Could not resolve")
#: Not told about a machine on the way there, which may have written it itself: what they advise is about trust.
_TRUST = ("host-key-changed", "host-key-revoked")


class SshLog:
    """The file that one ssh is told to write its own words to.

    :ivar path: of the file; where none can be made, nothing of ssh's is kept
    """

    #: Those that are there: a process that leaves in a hurry removes them at its very end.
    _all: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        try:
            descriptor, self.path = tempfile.mkstemp(prefix=f"sshjobs-ssh-{os.getpid()}-")
            os.close(descriptor)
            self._all.add(self.path)
        except OSError:
            self.path = os.devnull

    def take(self) -> str:
        """Return what ssh has said, and remove the file."""
        if self.path not in self._all:
            return ""
        self._all.discard(self.path)
        with contextlib.suppress(OSError):
            with open(self.path, "rb") as file:
                said = file.read(KEPT)
            os.unlink(self.path)
            return said.decode("utf-8", "replace")
        return ""


@atexit.register
def _remove_all() -> None:
    for path in SshLog._all:
        with contextlib.suppress(OSError):
            os.unlink(path)


def cause_of(text: str) -> tuple[str, str] | None:
    """Return the cause that words of ssh stand for, and the line that tells it; ``None`` where they tell none.

    The first line counts: what a host makes ssh write comes after what ssh has found out by itself.
    """
    for line in text.splitlines():
        for kind, pattern in _SAID:
            if re.match(pattern, line):
                if kind == "throttled" and "by UNKNOWN port" in text:
                    kind = "jump"
                return kind, line.strip(" @\t")[:200]
    return None


def said_by_ssh(host: Host, log: str, *, name: str | None = None) -> HostError | None:
    """Return the error that ssh's own words stand for, ``None`` where they tell nothing known.

    :param name: the jump host whose ssh it was
    """
    found = cause_of(log)
    if found is None:
        return None
    kind, line = found
    return host_error(kind, host, line, name=name, reached=not line.startswith(_NOT_REACHED))


def said_on_the_way(host: Host, log: str, stderr: str) -> HostError | None:
    """Return the error of a way that the user's configuration leads (ProxyJump, ProxyCommand), where the log tells
    that it never reached the host; ``None`` otherwise.

    :param stderr: what the ssh of a jump host may have written, or a jump host itself
    """
    found = cause_of(log)
    if found is None or found[0] != "jump":
        return None
    kind, line = cause_of(stderr) or ("jump", last_line(stderr) or found[1])
    if kind in _TRUST:
        return host_error("jump-key", host, line)
    return host_error(kind, host, line, reached=not line.startswith(_NOT_REACHED))


def logged_in(log: str) -> bool:
    """Tell whether ssh has logged in, so that the host may have written what is on standard error."""
    return any(line.startswith(_LOGGED_IN) for line in log.splitlines())


def last_words(log: str) -> str | None:
    """Return the last line of a log that tells something about the end."""
    return last_line("\n".join(line for line in log.splitlines() if not line.startswith(_FAREWELL)))
