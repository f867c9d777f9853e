"""The network: carries launches to hosts, and what became of them back. One contract, several ways."""

from __future__ import annotations

from sshjobs.network.contract import HostDown, HostUp, NetworkContract, News, RunIdentity, Silent, Warned
from sshjobs.network.network import Network

__all__ = ["HostDown", "HostUp", "Network", "NetworkContract", "News", "RunIdentity", "Silent", "Warned"]
