"""Serving the pages: the address, the token, TLS, and the server's life from its first word to its end."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import secrets
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from sshjobs.errors import UsageError
from sshjobs.store.rundir import write_private
from sshjobs.web.acting import Ask
from sshjobs.web.app import make_app
from sshjobs.web.connections import BoundedProtocol
from sshjobs.web.guard import Access
from sshjobs.web.sources import Sources

#: Names that a Host header may say, with or without a port; paths that are the same in an address and in a request.
_NAME = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_BASE = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.~-]+)+")
#: Seconds that answers under way get when the server stops.
STOP_PATIENCE = 3


@dataclass(frozen=True)
class Settings:
    """How pages are served.

    :param host: address to listen at; anything but loopback needs ``certfile`` or ``insecure``
    :param port: 0 for any that is free
    :param base: path below which a proxy serves us, ``/something``
    :param allowed_hosts: further names that we are reached by
    :param certfile: certificate in PEM form, with its key in the same file or in ``keyfile``
    :param root: directory of the pages' files, ``None`` for our own
    :param hosts_file: where wildcards look for hosts that are to be added
    """

    host: str = "127.0.0.1"
    port: int = 8181
    base: str = ""
    allowed_hosts: tuple[str, ...] = ()
    read_only: bool = False
    insecure: bool = False
    keyfile: str | None = None
    certfile: str | None = None
    poll_seconds: float = 10.0
    root: Path | None = None
    hosts_file: Path | None = None
    managers: Mapping[str, Ask] = field(default_factory=dict)

    def check(self) -> None:
        """:raises UsageError: it would be open to others, or cannot be"""
        if not _is_loopback(self.host) and self.certfile is None and not self.insecure:
            raise UsageError("others could read what passes", where=self.host,
                             hint="give --certfile (and --keyfile), or --insecure if the network is yours alone")
        if self.keyfile is not None and self.certfile is None:
            raise UsageError("a key without a certificate", where=self.keyfile, hint="give --certfile too")
        if self.base and not _BASE.fullmatch(self.base):
            raise UsageError("the base path cannot be used", where=self.base, hint="write it like /sshjobs")
        for name in self.allowed_hosts:
            # What no browser says there would let nobody in, and an empty one those who say nothing.
            if not _NAME.fullmatch(name):
                raise UsageError("no browser calls a server so", where=name or "--allowed-host",
                                 hint="write it like lab.example, or lab.example:8443")
        if not self.poll_seconds >= 0:
            raise UsageError("the poll interval must be 0 or more", why=f"got {self.poll_seconds!r}")


class WebServer:
    """A server that is bound and not yet serving; :meth:`serve` blocks until :meth:`stop` or a signal.

    :raises UsageError: the address cannot be had, or would be open to others
    """

    def __init__(self, sources: Sources, settings: Settings):
        settings.check()
        self._settings = settings
        context = _tls(settings)
        self._socket = _bind(settings.host, settings.port)
        self.port = int(self._socket.getsockname()[1])
        self.token = _token()
        self.secure = context is not None
        self._access = access = Access(self.token, frozenset(self._names()), self.secure, settings.read_only,
                        f"sshjobs-{self.port}")
        app = make_app(sources, access, base=settings.base, managers=settings.managers,
                       poll_seconds=settings.poll_seconds, root=settings.root, hosts_file=settings.hosts_file)
        config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="on", server_header=False,
                                date_header=False, http=BoundedProtocol, timeout_keep_alive=20,
                                timeout_graceful_shutdown=STOP_PATIENCE, backlog=256,
                                ssl_context_factory=None if context is None else lambda *_: context)
        self._server = uvicorn.Server(config)
        self._events = app.state.events  # type: ignore[attr-defined]

    def _names(self) -> Iterable[str]:
        """Yield what the Host header may say."""
        host = self._settings.host
        names = ["localhost", "127.0.0.1", "[::1]"] if _is_loopback(host) or _is_any(host) else []
        names.append(socket.gethostname() if _is_any(host) else f"[{host}]" if ":" in host else host)
        for name in names:
            yield f"{name.lower()}:{self.port}"
        for name in self._settings.allowed_hosts:
            yield name.lower()
            if ":" not in name:
                yield f"{name.lower()}:{self.port}"

    @property
    def url(self) -> str:
        """The address to open, without the token."""
        host = self._settings.host
        name = socket.gethostname() if _is_any(host) else f"[{host}]" if ":" in host else host
        return f"{'https' if self.secure else 'http'}://{name}:{self.port}{self._settings.base}/"

    @property
    def login_url(self) -> str:
        """The same with the token, in the part of an address that no browser sends anywhere."""
        return f"{self.url}#token={self.token}"

    def serve(self, *, when_up: Callable[[], None] | None = None) -> None:
        """Serve until stopped. In the main thread Ctrl-C and SIGTERM stop it."""
        import asyncio

        async def run() -> None:
            serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))
            while not self._server.started and not serving.done():
                await asyncio.sleep(0.01)
            if when_up is not None and self._server.started:
                when_up()
            # Streams of events would be waited for: they end as soon as the server is to stop.
            while not self._server.should_exit and not serving.done():
                await asyncio.sleep(0.1)
            await self._events.close()
            await serving

        asyncio.run(run())

    def stop(self) -> None:
        """Stop serving; may be called from any thread."""
        self._server.should_exit = True


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.certfile is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certfile, settings.keyfile)
    except (OSError, ValueError) as error:
        # Of the two files the one that is missing is the one to name.
        missing = isinstance(error, FileNotFoundError) and os.path.exists(settings.certfile)
        raise UsageError("the certificate cannot be used",
                         where=settings.keyfile if missing else settings.certfile, why=_tls_words(error),
                         hint="give a PEM file with a certificate and its key, or the key as --keyfile") from error
    return context


def _tls_words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "certificate or key cannot be read").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or "0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unusable(host, port, error) from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except (OSError, OverflowError) as error:
        made.close()
        raise _unusable(host, port, error) from error
    return made


def _unusable(host: str, port: int, error: Exception) -> UsageError:
    not_ours = isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL
    return UsageError("the address cannot be used", where=f"{host}:{port}",
                      why=getattr(error, "strerror", None) or str(error),
                      hint="give one of this machine with --host" if not_ours
                      else "choose another with --port; 0 takes any that is free")


def _is_any(host: str) -> bool:
    return host in ("", "0.0.0.0", "::")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token() -> str:
    """Return this user's token, which outlives servers, so that a browser need not log in again after each start."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(home) / "sshjobs" / "web-token"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists():
            info = path.lstat()
            text = path.read_text("ascii", "replace").strip()
            if info.st_uid == os.getuid() and not info.st_mode & 0o077 and len(text) == 64:
                return text
            path.unlink()
        token = secrets.token_hex(32)
        write_private(path, token + "\n")
    except OSError:
        # Without a place to keep it, it holds as long as this server.
        return secrets.token_hex(32)
    return token
