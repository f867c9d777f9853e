"""Access control: the checks that every request has to pass first, and the headers that every answer has.

A request from a browser is not trusted: any page open in the same browser can send one. So on every route the Host has
to be one of ours (otherwise a foreign name was made to point at this machine), an Origin has to be our own, and every
request carries the token: once in the body of a login, then as a cookie that scripts cannot read and other sites cannot
send. Programs send it as a bearer token.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: How many bytes the body of a request has at most.
MAX_BODY = 1 << 20
_CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Policy(Enum):
    """What a route requires of a request."""

    #: Only our own Host and Origin: files of the pages themselves, and the login.
    OPEN = "open"
    #: The token.
    READ = "read"
    #: The token, our own Origin (or a bearer token), and a server that is not read-only.
    ACT = "act"


@dataclass(frozen=True)
class Access:
    """Which requests this server accepts.

    :param token: 64 hex digits; a browser that has it may do all that the server may
    :param hosts: the values of the Host header that stand for this server, with port
    :param secure: the server is reached by https
    :param read_only: no request may change anything
    :param cookie: the name of the cookie; contains the port, since browsers keep cookies by host alone
    """

    token: str
    hosts: frozenset[str]
    secure: bool
    read_only: bool
    cookie: str

    @property
    def cookie_value(self) -> str:
        """The value of the cookie. It proves knowledge of the token without containing it, and outlives a restart of
        the server."""
        return hmac.new(self.token.encode(), b"cookie", sha256).hexdigest()

    def refuse(self, scope: Scope, policy: Policy) -> tuple[int, str] | None:
        """Return status and reason where a request is refused; ``None`` where it may pass."""
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return 421, "this server is not reached by that name; see: sshjobs serve --allowed-host"
        # Behind a proxy that does https for us, the browser's scheme is not the one that we see.
        own = {f"http://{host[0].lower()}", f"https://{host[0].lower()}"}
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in own:
            return 403, "a page of another site may not ask here"
        if headers.get("sec-fetch-site") not in (None, "same-origin", "none"):
            return 403, "a page of another site may not ask here"
        if policy is Policy.OPEN:
            return None
        bearer = headers.get("authorization", "")
        by_bearer = bearer[:7].lower() == "bearer " and _equal(bearer[7:], self.token)
        if not by_bearer and not _equal(_cookie(headers, self.cookie), self.cookie_value):
            return 401, "open the address that sshjobs serve has printed"
        if policy is Policy.ACT:
            if self.read_only:
                return 403, "this server is for reading only"
            if not by_bearer and origin is None:
                return 403, "the request does not say which page it comes from"
        return None


def _cookie(headers: Headers, name: str) -> str:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load("; ".join(headers.getlist("cookie")))
    except CookieError:
        return ""
    return cookies[name].value if name in cookies else ""


def _equal(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())


class Guard:
    """Wraps one route: refuses requests that may not pass, limits the body, and adds our headers to the answer."""

    def __init__(self, app: ASGIApp, access: Access, policy: Policy):
        self._app, self._access, self._policy = app, access, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._access.refuse(scope, self._policy)
        if refused is not None:
            status, reason = refused
            await JSONResponse({"error": reason}, status)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)
