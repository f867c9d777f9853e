"""Why a host cannot be used: the causes by name, each with what is said and what to do, whatever the transport."""

from __future__ import annotations

import errno
import re
from typing import NamedTuple

from sshjobs.errors import HostError
from sshjobs.model.host import Host

#: How much of what a host said is looked through for its words: the end of it.
LOOKED_AT = 1 << 14


class Cause(NamedTuple):
    """One cause: whether only a person can help, and how it is worded. ``{ssh}`` stands for ``ssh name``."""

    lasting: bool
    what: str
    hint: str


CAUSES = {
    "host-key-changed": Cause(True, "the host key has changed",
                              "make sure that it is the right machine, then: ssh-keygen -R {host}; {ssh}"),
    "host-key-unknown": Cause(True, "the host key is not known", "check it and accept it once: {ssh}"),
    "unresolvable": Cause(False, "the name cannot be resolved",
                          "correct the name, or give it a HostName in ssh_config"),
    "refused": Cause(False, "the connection was refused", "see that sshd runs there, and the port"),
    "timeout": Cause(False, "no answer in time", "see that the machine is up and reachable"),
    "unreachable": Cause(False, "there is no way to it", "see that the machine and the network are up"),
    "auth": Cause(True, "the login was refused",
                  "make `{ssh}` work without a question (key, agent, or a live ControlMaster)"),
    "bad-config": Cause(True, "ssh does not accept its configuration", "correct the named line; try: ssh -G {host}"),
    "throttled": Cause(False, "sshd closed the connection at once", "it may be too busy (MaxStartups); trying again"),
    "nologin": Cause(True, "the login shell lets nobody in", "give the account a login shell"),
    "no-python": Cause(True, "there is no python on it",
                       "install Python 3.6 or newer there, or set python=PATH in the hosts file"),
    "old-python": Cause(True, "its python is too old", "set python=PATH of Python 3.6 or newer in the hosts file"),
    "jump": Cause(False, "its jump host cannot reach it", "see ProxyJump in ssh_config, and that the machine is up"),
    "ssh-failed": Cause(False, "ssh could not connect", "try: {ssh}"),
    "no-files": Cause(False, "too many files are open on this machine", "raise the limit (ulimit -n); trying again"),
    "no-agent": Cause(True, "the agent did not come up on it",
                      "a forced command or a start-up file may be in the way; try: {ssh} python3 --version"),
}

# What the account says instead of the agent. The first that matches counts.
_SAID_BY_HOST = [
    ("nologin", r"account is (currently )?not available|nologin"),
    ("no-python", r"python[\w./-]*['’]?: .*(not found|No such file)|(not found|Unknown command|No such file).*python"),
    ("old-python", r"has no attribute 'buffer'|Unknown option: -I"),
]


def host_error(kind: str, host: Host, why: str | None = None, *, name: str | None = None,
               reached: bool = True) -> HostError:
    """Return the error for a cause.

    :param why: details, in the words of whoever noticed it
    :param name: the machine that it is about where that is not the host: its jump host
    :param reached: whether an sshd may have been asked
    """
    cause = CAUSES[kind]
    login = f"ssh {name or host.name}" if name or host.via is None else f"ssh -J {host.via} {host.name}"
    what = f"its jump host {name}: {cause.what}" if name else cause.what
    error = HostError(kind, host.name, what, why=why, lasting=cause.lasting,
                      hint=cause.hint.format(host=name or host.name, ssh=login))
    error.reached = reached
    return error


def said_by_host(host: Host, text: str) -> HostError | None:
    """Return the error that the text of a host stands for, ``None`` where it says nothing known.

    :param text: what it wrote instead of answering as the agent
    """
    text = text[-LOOKED_AT:]
    for kind, pattern in _SAID_BY_HOST:
        if re.search(pattern, text, re.IGNORECASE):
            return host_error(kind, host, line_with(pattern, text))
    return None


def too_many_files(host: Host, error: OSError) -> HostError | None:
    """Return the error for a connection that could not be tried for want of open files here, ``None`` for others."""
    if error.errno not in (errno.EMFILE, errno.ENFILE):
        return None
    return host_error("no-files", host, error.strerror, reached=False)


def no_agent(host: Host, text: str, status: int | None) -> HostError:
    """Return the error for a remote command that ended before the agent's first word."""
    return host_error("no-agent", host, last_line(text) or f"the remote command ended with status {status}")


def last_line(text: str) -> str | None:
    """Return the last line with something on it, shortened."""
    lines = [line.strip() for line in text[-LOOKED_AT:].splitlines() if line.strip()]
    return lines[-1][:200] if lines else None


def line_with(pattern: str, text: str) -> str | None:
    """Return the first line that a pattern is found in, shortened; else the last line."""
    for line in text.splitlines():
        if re.search(pattern, line, re.IGNORECASE):
            return line.strip(" @\t")[:200]
    return last_line(text)
