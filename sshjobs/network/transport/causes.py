"""Why a host cannot be used: the kinds of causes, each with its message and advice, for all transports."""

from __future__ import annotations

import re
from typing import NamedTuple

from sshjobs.errors import HostError
from sshjobs.model.host import Host

#: So many characters at the end of what a host said are searched for known messages.
LOOKED_AT = 1 << 14
#: So many characters of each line are searched.
LONGEST_LINE = 500
#: Causes that the user's settings give better advice for: see :mod:`sshjobs.network.transport.keyadvice`.
KEY_KINDS = ("host-key-unknown", "host-key-changed")


class Cause(NamedTuple):
    """One cause: whether only a person can help, and how it is worded. ``{ssh}`` stands for ``ssh name``."""

    lasting: bool
    what: str
    hint: str


CAUSES = {
    "host-key-changed": Cause(True, "the host key has changed",
                              "make sure that it is the right machine, then: ssh-keygen -R {host}; {ssh}"),
    "host-key-revoked": Cause(True, "the host key is revoked",
                              "do not log in there; have it given a new key, and the old one taken from its name"),
    "host-key-unknown": Cause(True, "the host key is not known",
                              "check it and accept it once: {ssh}; or take it unseen: "
                              "sshjobs hosts check --accept-new-host-keys --hosts {host}"),
    "jump-key": Cause(True, "its jump host was turned away for its key", "see what is wrong with it: {ssh}"),
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
    "jump": Cause(False, "its jump host cannot reach it",
                  "see ProxyJump and ProxyCommand in ssh_config, and that the machine is up"),
    "no-common-way": Cause(True, "it and this machine know no common algorithm",
                           "see HostKeyAlgorithms, KexAlgorithms, Ciphers and MACs in ssh_config; try: {ssh}"),
    "ssh-failed": Cause(False, "ssh could not connect", "try: {ssh}"),
    "no-files": Cause(False, "too many files are open on this machine", "raise the limit (ulimit -n); trying again"),
    "start-up": Cause(True, "a start-up file there took what is meant for the agent",
                      "see what reads input or starts a shell in ~/.bashrc there, or in the like of its login shell; "
                      "put before it: case $- in *i*) ;; *) return ;; esac"),
    "no-agent": Cause(True, "the agent did not come up on it",
                      "a forced command or a start-up file (~/.bashrc) may be in the way; "
                      "try: {ssh} python3 --version"),
}

# What the account says instead of the agent. The first that matches counts.
_SAID_BY_HOST = [
    # A shell read our first lines, or our Python got what was left of them.
    ("start-up", r"NONCE, ENTRY, GIVEN|invalid literal for int\(\)|: \d{4,5}['’]?: (command )?not found"
                 r"|Unknown command:? ['\"]?\d{4,5}\b|fish: .*\b\d{4,5}\b"),
    ("nologin", r"account is (currently )?not available|nologin"),
    ("no-python", r"python[\w./-]*['’]?: .*(not found|No such file)|(not found|Unknown command|No such file).*python"),
    ("old-python", r"has no attribute 'buffer'|Unknown option: -I"),
]


def host_error(kind: str, host: Host, why: str | None = None, *, name: str | None = None,
               reached: bool = True) -> HostError:
    """Return the error for a kind of cause.

    :param why: details, in the words of the program that noticed it
    :param name: the machine with the trouble where it is not the host itself: its jump host
    :param reached: whether an sshd may have been reached
    """
    cause = CAUSES[kind]
    login = f"ssh {name or host.name}" if name or host.via is None else f"ssh -J {host.via} {host.name}"
    what = f"its jump host {name}: {cause.what}" if name else cause.what
    error = HostError(kind, host.name, what, why=why, lasting=cause.lasting,
                      hint=cause.hint.format(host=name or host.name, ssh=login))
    error.reached = reached
    return error


def only_in_run(host: Host) -> HostError:
    """Return the error for a node of a Slurm allocation, which can be reached only by its run."""
    return HostError("slurm-node", host.name, "a node of an allocation is reached by its run alone", lasting=True)


def asked_once(error: HostError) -> HostError:
    """Return the error for a host that is asked once, unlike in a run: the user has to try again."""
    error.hint = None if error.hint is None else error.hint.replace("trying again", "try again")
    return error


def said_by_host(host: Host, text: str) -> HostError | None:
    """Return the error that a host's text stands for, ``None`` where the text is unknown.

    :param text: what it wrote instead of answering as the agent
    """
    # Cut line by line: a search takes time that grows with the square of a line's length.
    text = "\n".join(line[:LONGEST_LINE] for line in text[-LOOKED_AT:].splitlines())
    for kind, pattern in _SAID_BY_HOST:
        if re.search(pattern, text, re.IGNORECASE):
            return host_error(kind, host, line_with(pattern, text))
    return None


def too_slow(host: Host, seconds: float) -> HostError:
    """Return the error for a host from which nothing came."""
    return HostError("timeout", host.name, "no agent came up in time", why=f"nothing in {seconds:.0f} s",
                     hint="see what a start-up file of the login shell there (~/.bashrc) waits for or reads")


def no_agent(host: Host, text: str, status: int | None) -> HostError:
    """Return the error for a remote command that ended before the agent's first word."""
    return host_error("no-agent", host, last_line(text) or f"the remote command ended with status {status}")


def last_line(text: str) -> str | None:
    """Return the last line with something on it, shortened."""
    lines = [line.strip() for line in text[-LOOKED_AT:].splitlines() if line.strip()]
    return lines[-1][:200] if lines else None


def line_with(pattern: str, text: str) -> str | None:
    """Return the first line in which a pattern is found, shortened; else the last line."""
    for line in text.splitlines():
        if re.search(pattern, line, re.IGNORECASE):
            return line.strip(" @\t")[:200]
    return last_line(text)
