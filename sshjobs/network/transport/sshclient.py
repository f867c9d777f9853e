"""Logs in to a host by fabric and paramiko, through its jump hosts, with the user's settings and known hosts.

Imported only where fabric is used: it takes a third of a second. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import fabric
import paramiko

from sshjobs.errors import SshjobsError
from sshjobs.model.host import Host, Login, login_of, split_login
from sshjobs.network.transport.knownhosts import (
    KnownKeys,
    RevokedUnknownError,
    file_names,
    is_revoked,
    known_keys,
    note_key,
)
from sshjobs.network.transport.settings import NotAccepted, SshSettings, settings_of

#: Seconds for TCP, for sshd's first word and for the exchange of keys, each.
CONNECT_TIMEOUT = 10.0
#: Seconds for the login: directories of users may be slow.
AUTH_TIMEOUT = 30.0
#: Jump hosts in a row after which the configuration is taken for a circle.
MAX_JUMPS = 8

#: What a program may supply to log in with.
CREDENTIALS = frozenset({"password", "passphrase", "pkey", "key_filename"})

# Where paramiko's own log goes: it tells every failure again, with tracebacks.
_LOG = "sshjobs.paramiko"
_RSA = ("rsa-sha2-512", "rsa-sha2-256")
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


class KeyRefused(paramiko.SSHException):  # type: ignore[misc]
    """A host showed a key that is not on file.

    :ivar kind: the cause by name
    """

    def __init__(self, kind: str, message: str):
        self.kind = kind
        super().__init__(message)


class JumpFailed(Exception):
    """A jump host could not be used; its cause is the exception's.

    :ivar name: the jump host
    """

    def __init__(self, name: str):
        self.name = name
        super().__init__(name)


class Circle(SshjobsError):
    """Jump hosts that lead to one another."""


class KnownKeysOnly(paramiko.RejectPolicy):  # type: ignore[misc]
    """Rejects every key but those on file. paramiko asks it about each, because it is told of none itself.

    :param accept_new: take the key of a host that has none on file, and note it
    """

    def __init__(self, settings: SshSettings, keys: KnownKeys, *, accept_new: bool):
        self._settings, self._keys, self._accept_new = settings, keys, accept_new

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """:raises KeyRefused: the key is not on file, or another one is, or it is revoked"""
        kind, data, settings = key.get_name(), key.asbytes(), self._settings
        shown = f"{settings.key_name or settings.hostname} showed the {kind} key {key.fingerprint}"
        try:
            if settings.revoked is not None and is_revoked(settings.revoked, kind, data):
                raise KeyRefused("host-key-revoked", f"{shown}, which {settings.revoked} names")
        except RevokedUnknownError as error:
            raise KeyRefused("bad-config", f"the revoked keys cannot be read: {error}") from error
        verdict = self._keys.verdict(kind, data)
        if verdict == "host-key-unknown" and self._accept_new and not self._keys.trusted:
            # As ssh does, the host is used although its key cannot be noted.
            with contextlib.suppress(OSError, IndexError):
                note_key(settings.known_hosts[0], file_names(settings.hostname, settings.port, settings.key_name),
                         kind, data, hashed=settings.hash_known)
        elif verdict != "known":
            raise KeyRefused(verdict, shown)


class SshClient:
    """One login to one host. :meth:`cut` may be called from any thread, everything else from one.

    :param ssh_config: path of a configuration file to use instead of the user's own
    :param given: ``connect_kwargs`` of the program; they count more than the configuration
    :param accept_new: take keys of hosts that have none on file, and note them
    """

    def __init__(self, host: Host, ssh_config: str | None, given: Mapping[str, Any], *, accept_new: bool = False):
        self._accept_new = accept_new
        self._host, self._ssh_config, self._given = host, ssh_config, dict(given)
        self._gateway = self._given.pop("gateway", None)
        self._user = self._given.pop("user", None)
        self._connections: list[fabric.Connection] = []
        self._cable: socket.socket | None = None
        self._proxy: subprocess.Popen[bytes] | None = None
        self._cut = threading.Event()

    def execute(self, command: str) -> paramiko.Channel:
        """Log in and start a command. Returns its channel.

        :raises JumpFailed: a jump host could not be used; otherwise what paramiko and the system raise
        """
        login = login_of(self._host)
        if login.user is None:
            login = login._replace(user=self._user)
        via = self._host.via or self._gateway
        connection = self._open(login, (split_login(via),) if via else (), 0)
        channel = connection.create_session()
        channel.exec_command(command)
        return channel

    def cut(self) -> None:
        """Cut the connection where it leaves this machine. Tasks that wait for something of it get its end."""
        self._cut.set()
        if self._cable is not None:
            # Fails where it is not connected (any more); the event above keeps it from being.
            with contextlib.suppress(OSError):
                self._cable.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End everything, threads included. Idempotent."""
        self.cut()
        for connection in reversed(self._connections):
            # What goes through a jump host wants to take leave of it by the cable that is cut.
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                connection.client.close()
        self._connections.clear()
        if self._cable is not None:
            self._cable.close()
        if self._proxy is not None:
            self._proxy.kill()
            self._proxy.wait()

    # -- inside --------------------------------------------------------------------------------------------------

    def _open(self, login: Login, jumps: tuple[Login, ...], depth: int) -> fabric.Connection:
        """Return an open connection.

        :param jumps: the way there where it is given; else the host's own settings say it
        """
        settings = settings_of(login, self._ssh_config)
        jumps = jumps or tuple(hop for hop in settings.jumps if hop.address != login.address)
        if depth > MAX_JUMPS:
            raise Circle(f"more than {MAX_JUMPS} jump hosts in a row", where=login.address)
        if jumps:
            try:
                gateway = self._open(jumps[-1], jumps[:-1], depth + 1)
            except JumpFailed:
                raise
            except (SshjobsError, paramiko.SSHException, OSError, EOFError) as error:
                raise JumpFailed(jumps[-1].address) from error
            line = gateway.transport.open_channel("direct-tcpip", (settings.hostname, settings.port), ("", 0),
                                                  timeout=_patience(settings))
        else:
            line = self._lay_cable(settings)
        return self._log_in(settings, line)

    def _lay_cable(self, settings: SshSettings) -> socket.socket:
        if settings.proxy_command is not None:
            self._cable, far_end = socket.socketpair()
            with far_end:
                # As ssh does it: by a shell that becomes the command.
                self._proxy = subprocess.Popen(
                    ["sh", "-c", f"exec {settings.proxy_command}"], stdin=far_end.fileno(), stdout=far_end.fileno(),
                    stderr=subprocess.DEVNULL, start_new_session=True)
            return self._cable
        deadline, failure = time.monotonic() + _patience(settings), OSError("no address")
        family = _FAMILIES.get(settings.family, socket.AF_UNSPEC)
        for kind, _, _, _, address in socket.getaddrinfo(settings.hostname, settings.port, family, socket.SOCK_STREAM):
            line = self._cable = socket.socket(kind, socket.SOCK_STREAM)
            try:
                if self._cut.is_set():
                    raise ConnectionAbortedError("cut")
                line.settimeout(max(0.1, deadline - time.monotonic()))
                line.connect(address)
                return line
            except OSError as error:
                line.close()
                failure = error
        raise failure

    def _log_in(self, settings: SshSettings, line: Any) -> fabric.Connection:
        keys = known_keys(settings.known_hosts, settings.hostname, settings.port, settings.key_name)

        def transport(sock: Any, disabled_algorithms: Any = None) -> paramiko.Transport:
            made = paramiko.Transport(sock, disabled_algorithms=disabled_algorithms)
            options = made.get_security_options()
            _restrict(options, settings.algorithms)
            wanted = [name for kind in keys.types for name in (_RSA if kind == "ssh-rsa" else (kind,))]
            first = [name for name in wanted if name in options.key_types]
            options.key_types = [*first, *(name for name in options.key_types if name not in first)]
            return made

        connection = fabric.Connection(
            settings.hostname, user=settings.user, port=settings.port, gateway=False, forward_agent=False,
            config=fabric.Config(ssh_config=paramiko.SSHConfig(), lazy=True),
            connect_kwargs={
                # The first is for everything up to the login; it has to be the longer one.
                "timeout": 2 * _patience(settings), "banner_timeout": _patience(settings), "auth_timeout": AUTH_TIMEOUT,
                "channel_timeout": AUTH_TIMEOUT, **self._credentials(settings), "sock": line,
                "transport_factory": transport,
            })
        self._connections.append(connection)
        connection.client.set_missing_host_key_policy(
            KnownKeysOnly(settings, keys, accept_new=self._accept_new))
        connection.client.set_log_channel(_quiet_log())
        connection.open()
        return connection

    def _credentials(self, settings: SshSettings) -> dict[str, Any]:
        found = {"look_for_keys": False, "allow_agent": settings.use_agent and settings.public_keys,
                 "key_filename": list(settings.identity_files) if settings.public_keys else []}
        if self._given.keys() & CREDENTIALS:
            # A program that brings its own wants these tried, not what lies about here.
            found = {"look_for_keys": False, "allow_agent": False}
        return {**found, **self._given}


def _patience(settings: SshSettings) -> float:
    return CONNECT_TIMEOUT if settings.connect_timeout is None else settings.connect_timeout


#: What paramiko calls the algorithms that ssh_config has these keywords for.
_CALLED = {"hostkeyalgorithms": "key_types", "kexalgorithms": "kex", "ciphers": "ciphers", "macs": "digests"}


def _restrict(options: Any, algorithms: Mapping[str, Sequence[str]]) -> None:
    """Leave only algorithms that the user's settings allow.

    :raises KeyRefused: paramiko knows none of them
    """
    for keyword, allowed in algorithms.items():
        left = [name for name in getattr(options, _CALLED[keyword]) if name in allowed]
        if not left:
            raise KeyRefused("no-common-way", f"fabric knows nothing of {keyword} {','.join(allowed)[:200]}")
        setattr(options, _CALLED[keyword], left)


def _quiet_log() -> str:
    log = logging.getLogger(_LOG)
    log.propagate = logging.getLogger("sshjobs").isEnabledFor(logging.DEBUG)
    if not log.handlers:
        log.addHandler(logging.NullHandler())
    return _LOG


def kind_of(error: BaseException) -> str:
    """Return the cause by name that an exception of :meth:`SshClient.execute` stands for."""
    match error:
        case KeyRefused():
            return error.kind
        case NotAccepted() | Circle():
            return "bad-config"
        case paramiko.ssh_exception.IncompatiblePeer():
            return "no-common-way"
        case paramiko.ChannelException():
            return "jump"
        case socket.gaierror():
            return "unresolvable"
        case paramiko.SSHException():
            return _kind_of_words(error)
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "refused"
        case EOFError() | ConnectionResetError():
            return "throttled"
        case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH | errno.EHOSTDOWN):
            return "unreachable"
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return "no-files"
    return "ssh-failed"


def may_have_reached(error: BaseException) -> bool:
    """Tell whether an sshd may have been asked before such an exception."""
    # What connect() itself says comes as the system says it; once a connection is there, paramiko words it.
    return not isinstance(error, OSError) or isinstance(error, ConnectionResetError)


def _kind_of_words(error: paramiko.SSHException) -> str:
    """Tell apart what paramiko has one exception for."""
    text = str(error)
    # "No existing session" is what a key exchange leaves that did not end in time.
    if "imeout" in text or "No existing session" in text or isinstance(error.__context__, TimeoutError):
        return "timeout"
    if "protocol banner" in text:
        # It listens, and then hangs up.
        return "throttled"
    if "transport shut down" in text:
        return "ssh-failed"
    refused = isinstance(error, paramiko.AuthenticationException) or "No authentication methods" in text
    return "auth" if refused else "ssh-failed"
