"""Transports: each opens a byte stream to the agent on a host, and knows nothing of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sshjobs.errors import UsageError

if TYPE_CHECKING:
    from sshjobs.network.transport.base import Transport

#: The values of ``--transport`` and ``Network(transport=…)``, each with its module in this package and its class. They
#: are imported when they are used: every ``--help`` needs the names.
TRANSPORTS = {
    "openssh": ("openssh", "OpensshTransport"),
    "fabric": ("fabric", "FabricTransport"),
    "local": ("local", "LocalTransport"),
}


def transport_class(name: str) -> type[Transport]:
    """Return the class of the transport of that name.

    :raises UsageError: there is none
    """
    if name not in TRANSPORTS:
        raise UsageError(f"no transport is called {name!r:.60}", hint=f"use {' or '.join(TRANSPORTS)}")
    module, found = TRANSPORTS[name]
    transport: type[Transport] = getattr(import_module(f"{__name__}.{module}"), found)
    return transport


def make_transport(name: str, *, ssh_config: str | None = None, accept_new: bool = False,
                   connect_kwargs: Mapping[str, Any] | None = None) -> Transport:
    """Return the transport of that name.

    :param ssh_config: path of a configuration file to use instead of the user's own
    :param accept_new: accept keys of hosts that were never seen, and note them
    :param connect_kwargs: see :class:`FabricTransport`, the only one that takes them
    :raises UsageError: there is none, or the arguments are not for it
    """
    return transport_class(name)(ssh_config, accept_new=accept_new, connect_kwargs=connect_kwargs)
