"""Transports: each gives a byte stream to the agent on a host. What is said over it is not their business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sshjobs.errors import UsageError
from sshjobs.network.transport.base import Ending, Stream, Transport
from sshjobs.network.transport.fabric import FabricTransport
from sshjobs.network.transport.local import LocalTransport
from sshjobs.network.transport.openssh import OpensshTransport

#: What ``--transport`` and ``Network(transport=…)`` take.
TRANSPORTS = ("openssh", "fabric", "local")

__all__ = ["TRANSPORTS", "Ending", "FabricTransport", "LocalTransport", "OpensshTransport", "Stream", "Transport",
           "make_transport"]


def make_transport(name: str, *, ssh_config: str | None = None, accept_new: bool = False,
                   connect_kwargs: Mapping[str, Any] | None = None) -> Transport:
    """Return the transport of that name.

    :param accept_new: accept keys of hosts that were never seen, and note them
    :param connect_kwargs: see :class:`FabricTransport`, the only one that takes them
    :raises UsageError: there is none, or the arguments are not for it
    """
    if name not in TRANSPORTS:
        raise UsageError(f"no transport is called {name!r:.60}", hint=f"use {' or '.join(TRANSPORTS)}")
    if connect_kwargs and name != "fabric":
        raise UsageError(f"connect_kwargs are not for the transport {name}", hint="use transport='fabric'")
    if name == "fabric":
        return FabricTransport(ssh_config, connect_kwargs, accept_new=accept_new)
    return OpensshTransport(ssh_config, accept_new=accept_new) if name == "openssh" else LocalTransport()
