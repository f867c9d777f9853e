"""The user's own ssh program, with all that it knows: ssh_config, ProxyJump, agents, Kerberos, host keys."""

from __future__ import annotations

import re
import shutil

from sshjobs.errors import HostError
from sshjobs.host import Host
from sshjobs.network.payload import remote_command
from sshjobs.network.transport.base import Ending, ProcessStream, Stream, Transport

#: Seconds for TCP and the exchange of versions, before a host counts as not answering.
CONNECT_TIMEOUT = 10
#: A link without an answer for INTERVAL * COUNT seconds is dead: 30, below the 45 that are promised.
ALIVE_INTERVAL, ALIVE_COUNT = 10, 3

# ssh takes the first value that it meets for an option, so these come before anything in the user's files. All of
# them keep the stream clean or the user safe; everything else (names, keys, jumps, ciphers) stays the user's.
_OPTIONS = {
    # Older clients do not know the options below; they do not have what those switch off either.
    "IgnoreUnknown": "ForkAfterAuthentication,StdinNull,SessionType",
    "BatchMode": "yes",
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": str(CONNECT_TIMEOUT),
    "ServerAliveInterval": str(ALIVE_INTERVAL),
    "ServerAliveCountMax": str(ALIVE_COUNT),
    # A master of the user's is used where it lives; ours would outlive us.
    "ControlMaster": "no",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "EscapeChar": "none",
    "ForkAfterAuthentication": "no",
    "StdinNull": "no",
    "SessionType": "default",
    "LogLevel": "ERROR",
}

# (kind, lasting, what ssh says, what we say, what to do). The first that matches counts.
_CAUSES: list[tuple[str, bool, str, str, str]] = [
    ("host-key-changed", True, r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key .*(revoked|has changed)",
     "the host key has changed", "make sure that it is the right machine, then: ssh-keygen -R {host}; ssh {host}"),
    ("host-key-unknown", True, r"host key is known for|Host key verification failed",
     "the host key is not known", "check it and accept it once: ssh {host}"),
    ("unresolvable", False, r"Could not resolve hostname|Name or service not known|name resolution",
     "the name cannot be resolved", "correct the name, or give it a HostName in ssh_config"),
    ("refused", False, r"Connection refused", "the connection was refused", "see that sshd runs there, and the port"),
    ("timeout", False, r"timed out|Timeout, server", "no answer in time", "see that the machine is up and reachable"),
    ("unreachable", False, r"No route to host|Network is unreachable|Host is down", "there is no way to it",
     "see that the machine and the network are up"),
    ("auth", True, r"Permission denied|Too many authentication failures|No supported authentication",
     "the login was refused", "make `ssh {host}` work without a question (key, agent, or a live ControlMaster)"),
    ("bad-config", True, r"Bad (configuration option|owner or permissions)|keyword .* extra arguments|terminating, \d+",
     "ssh does not accept its configuration", "correct the named line; try: ssh -G {host}"),
    ("throttled", False, r"kex_exchange_identification|Connection (closed|reset) by .*port|Exceeded MaxStartups",
     "sshd closed the connection at once", "it may be too busy (MaxStartups); trying again"),
    ("nologin", True, r"not available|nologin", "the login shell lets nobody in", "give the account a login shell"),
    ("no-python", True,
     r"python[\w./-]*['’]?: .*(not found|No such file)|(not found|Unknown command|No such file).*python",
     "there is no python on it", "install Python 3.6 or newer there, or set python=PATH in the hosts file"),
    ("old-python", True, r"has no attribute 'buffer'|Unknown option: -I",
     "its python is too old", "set python=PATH of Python 3.6 or newer in the hosts file"),
    ("jump", False, r"stdio forwarding failed|administratively prohibited|UNKNOWN port 65535",
     "its jump host cannot reach it", "see ProxyJump in ssh_config, and that the machine is up"),
]


class OpensshTransport(Transport):
    """One ``ssh`` process a host.

    :param ssh_config: path of a configuration file to use instead of the user's own
    """

    name = "openssh"

    def __init__(self, ssh_config: str | None = None):
        self._ssh_config = ssh_config

    def argv(self, host: Host) -> list[str]:
        """Return the command line for a host. The remote command is constant: no user data is in it."""
        argv = ["ssh", "-T", "-a", "-x"]
        if self._ssh_config is not None:
            argv += ["-F", self._ssh_config]
        for option, value in _OPTIONS.items():
            argv += ["-o", f"{option}={value}"]
        if host.user is not None:
            argv += ["-l", host.user]
        if host.port is not None:
            argv += ["-p", str(host.port)]
        return [*argv, "--", address_of(host), remote_command(host.python)]

    async def open(self, host: Host) -> Stream:
        if shutil.which("ssh") is None:
            raise HostError("no-ssh", host.name, "there is no ssh program on this machine",
                            hint="install the OpenSSH client", lasting=True)
        try:
            return await ProcessStream.start(self.argv(host))
        except OSError as error:
            raise HostError("no-ssh", host.name, "ssh cannot be started", why=error.strerror) from error

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        if was_ready:
            return HostError("link-lost", host.name, "the connection broke", why=_last_line(ending.stderr),
                             hint="trying again")
        said = f"{ending.stderr}\n{noise}"
        for kind, lasting, pattern, what, hint in _CAUSES:
            if re.search(pattern, said, re.IGNORECASE):
                return HostError(kind, host.name, what, why=_line_with(pattern, said), lasting=lasting,
                                 hint=hint.format(host=host.name))
        if ending.status == 255:
            return HostError("ssh-failed", host.name, "ssh could not connect", why=_last_line(said),
                             hint=f"try: ssh {host.name}")
        return HostError("no-agent", host.name, "the agent did not come up on it",
                         why=_last_line(said) or f"the remote command ended with status {ending.status}",
                         hint="a forced command or a start-up file may be in the way; try: "
                              f"ssh {host.name} python3 --version", lasting=True)


def address_of(host: Host) -> str:
    """Return what ssh is to be given as the destination: the name without user and port."""
    name = host.name.rpartition("@")[2]
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name if host.port is None or name.count(":") != 1 else name.partition(":")[0]


def _last_line(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else None


def _line_with(pattern: str, text: str) -> str | None:
    for line in text.splitlines():
        if re.search(pattern, line, re.IGNORECASE):
            return line.strip(" @\t")[:200]
    return _last_line(text)
