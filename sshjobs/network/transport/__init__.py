"""Transports: each gives a byte stream to the agent on a host. What is said over it is not their business."""

from __future__ import annotations

from sshjobs.errors import UsageError
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.transport.local import LocalTransport
from sshjobs.network.transport.openssh import OpensshTransport

#: What ``--transport`` and ``Network(transport=…)`` take.
TRANSPORTS = ("openssh", "local")

__all__ = ["TRANSPORTS", "Ending", "LocalTransport", "OpensshTransport", "Stream", "Transport", "make_transport"]


def make_transport(name: str, *, ssh_config: str | None = None) -> Transport:
    """Return the transport of that name.

    :raises UsageError: there is none
    """
    if name == "openssh":
        return OpensshTransport(ssh_config)
    if name == "local":
        return LocalTransport()
    raise UsageError(f"no transport is called {name!r}", hint=f"use {' or '.join(TRANSPORTS)}")
