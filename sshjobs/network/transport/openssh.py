"""The user's own ssh program, with all that it knows: ssh_config, ProxyJump, agents, Kerberos, host keys."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil

from sshjobs.errors import HostError
from sshjobs.model.host import Host, Login, login_of, split_login
from sshjobs.network.payload import remote_command
from sshjobs.network.transport.base import Ending, ProcessStream, Stream, Transport
from sshjobs.network.transport.causes import (
    host_error,
    last_line,
    line_with,
    no_agent,
    said_by_host,
    too_many_files,
)
from sshjobs.network.transport.glance import glance_at, is_near
from sshjobs.network.transport.settings import NotAccepted, ask_ssh

#: Seconds for TCP and the exchange of versions, before a host counts as not answering.
CONNECT_TIMEOUT = 10
#: A link without an answer for INTERVAL * COUNT seconds is dead: 30, below the 45 that are promised.
ALIVE_INTERVAL, ALIVE_COUNT = 10, 3

# ssh takes the first value that it meets for an option, so these come before anything in the user's files. All of
# them keep the stream clean or the user safe; everything else (names, keys, jumps, ciphers) stays the user's.
OPTIONS = {
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

# What ssh itself says, and the cause that it stands for. The first that matches counts.
_SAID_BY_SSH = [
    ("jump", r"stdio forwarding failed|administratively prohibited"),
    ("host-key-changed", r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key .*(revoked|has changed)"),
    ("host-key-unknown", r"host key is known for|Host key verification failed"),
    ("unresolvable", r"Could not resolve hostname|Name or service not known|name resolution"),
    ("refused", r"Connection refused"),
    ("timeout", r"timed out|Timeout, server"),
    ("unreachable", r"No route to host|Network is unreachable|Host is down"),
    ("auth", r"Permission denied|Too many authentication failures|No supported authentication"),
    ("bad-config", r"Bad (configuration option|owner or permissions)|keyword .* extra arguments|terminating, \d+"),
    ("throttled", r"Connection (closed|reset) by (?!UNKNOWN).*port \d|Exceeded MaxStartups"),
    ("jump", r"UNKNOWN port 65535"),
    ("throttled", r"kex_exchange_identification"),
]

# Where a name cannot be resolved or the kernel gives up on the connection, no sshd was asked. Only then: the same times
# run out while sshd waits for the rest of a login.
_NOT_REACHED = re.compile(r"\bconnect to ")
_REFUSED = ("unresolvable", "refused")


class OpensshTransport(Transport):
    """One ``ssh`` process a host.

    :param ssh_config: path of a configuration file to use instead of the user's own
    """

    name = "openssh"

    def __init__(self, ssh_config: str | None = None):
        self._ssh_config = ssh_config

    def argv(self, host: Host) -> list[str]:
        """Return the command line for a host. The remote command is constant: no user data is in it."""
        return [*ssh_words(host, self._ssh_config), "--", login_of(host).address, remote_command(host.python)]

    async def open(self, host: Host) -> Stream:
        if shutil.which("ssh") is None:
            raise HostError("no-ssh", host.name, "there is no ssh program on this machine",
                            hint="install the OpenSSH client, or use --transport fabric", lasting=True)
        try:
            return await ProcessStream.start(self.argv(host))
        except OSError as error:
            raise too_many_files(host, error) or HostError("no-ssh", host.name, "ssh cannot be started",
                                                           why=error.strerror) from error

    async def gates(self, host: Host) -> list[str]:
        return await asyncio.get_running_loop().run_in_executor(None, gates_of, host, self._ssh_config)

    def near(self, host: Host) -> bool:
        return is_near(host, self._ssh_config)

    def explain(self, host: Host, ending: Ending, noise: str, *, was_ready: bool) -> HostError:
        if was_ready:
            return HostError("link-lost", host.name, "the connection broke", why=last_line(ending.stderr),
                             hint="trying again")
        if ending.status == 255 and (error := said_by_ssh(host, ending.stderr)) is not None:
            return error
        said = f"{ending.stderr}\n{noise}"
        if (error := said_by_host(host, said)) is not None:
            return error
        if ending.status == 255:
            return host_error("ssh-failed", host, last_line(said))
        return no_agent(host, said, ending.status)


def said_by_ssh(host: Host, text: str) -> HostError | None:
    """Return the error that ssh's own words stand for, ``None`` where they tell nothing known."""
    for kind, pattern in _SAID_BY_SSH:
        if re.search(pattern, text, re.IGNORECASE):
            line = line_with(pattern, text)
            met = kind in ("timeout", "unreachable") and _NOT_REACHED.search(line or "") is not None
            return host_error(kind, host, line, reached=kind not in _REFUSED and not met)
    return None


def ssh_words(host: Host, ssh_config: str | None) -> list[str]:
    """Return the words of an ssh command up to the destination: everything but where and what."""
    words = ["ssh", "-T", "-a", "-x", *_common(ssh_config, login_of(host))]
    if host.via is not None:
        words += ["-o", f"ProxyCommand={_through(split_login(host.via), ssh_config)}"]
    return words


def _common(ssh_config: str | None, login: Login) -> list[str]:
    words = ["-F", ssh_config] if ssh_config is not None else []
    for option, value in OPTIONS.items():
        words += ["-o", f"{option}={value}"]
    if login.user is not None:
        words += ["-l", login.user]
    if login.port is not None:
        words += ["-p", str(login.port)]
    return words


def _through(manager: Login, ssh_config: str | None) -> str:
    # Not -J: the ssh that it starts takes none of our options, so it could ask, or wait for ever.
    words = [*_common(ssh_config, manager), "-W", "[%h]:%p", "--", manager.address]
    # The shell is the user's own, whatever it is; ssh itself replaces %.
    quoted = (word if word == "[%h]:%p" else word.replace("%", "%%") for word in words)
    return "ssh " + " ".join(shlex.quote(word) for word in quoted)


def gates_of(host: Host, ssh_config: str | None) -> list[str]:
    """Return what :meth:`Transport.gates` does, from the user's configuration. Blocks."""
    if host.via is not None:
        return [split_login(host.via).address]
    login = login_of(host)
    hostname = glance_at(ssh_config).hostname(login.address)
    if hostname is not None:
        return [hostname]
    try:
        settings = ask_ssh(login, ssh_config)
    except NotAccepted:
        # The connection itself will tell what is wrong.
        return [login.address]
    jumps = settings.get("proxyjump", ["none"])[0]
    if jumps != "none":
        return [split_login(jump).address for jump in jumps.split(",")]
    # The same command for several hosts is likely to lead through the same machine.
    command = settings.get("proxycommand", ["none"])[0]
    return [command] if command != "none" else settings.get("hostname", [login.address])
