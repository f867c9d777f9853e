"""The network: carries launches to hosts, and what became of them back. One contract, several ways.

What is named here is loaded when first used: to know the names of the transports takes nothing else.
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
