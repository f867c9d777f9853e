"""The network carries launches to hosts and brings back what became of them. One contract, several implementations.

The names here are imported when they are first used: most commands need only the names of the transports.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sshjobs.network.contract import (
        HostClosed,
        HostDown,
        HostUp,
        NetworkContract,
        News,
        RunIdentity,
        Silent,
        Warned,
    )
    from sshjobs.network.network import Network

__all__ = ["HostClosed", "HostDown", "HostUp", "Network", "NetworkContract", "News", "RunIdentity", "Silent", "Warned"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'sshjobs.network' has no attribute {name!r}")
    module = "network" if name == "Network" else "contract"
    value = globals()[name] = getattr(import_module(f"sshjobs.network.{module}"), name)
    return value
