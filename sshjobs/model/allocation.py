"""Hosts that are nodes of a Slurm allocation: how they are called, and which of them belong together.

Which nodes Slurm gives is known only later, so they are called by the number of their ``slurm:`` word and their own:
``slurm1-1``, ``slurm1-2``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

from sshjobs.model.host import Host

#: What a ``slurm:`` word may ask for.
KEYS = ("partition", "nodes", "time", "login", "account", "qos", "constraint", "gres", "mode")

_NAME = r"(?:slurm|batch)([1-9][0-9]{0,5})-([1-9][0-9]{0,5})"


def host_name(number: int, node: int, *, own: bool = False) -> str:
    """Return how the host is called that is a node of an allocation; both count from 1.

    :param own: it stands for a scheduler of the user's own
    """
    return f"{'batch' if own else 'slurm'}{number}-{node}"


def in_batches(host: Host) -> bool:
    """Tell whether a scheduler carries out each job of a host by itself: it is no machine."""
    return any(key == "mode" for key, _ in host.slurm)


def allocation_of(host: Host) -> str:
    """Return how the allocation of a host is called: ``slurm1``."""
    return host.name.rpartition("-")[0]


def node_of(host: Host) -> int:
    """Return which of the nodes of its allocation a host is, from 0."""
    return int(host.name.rpartition("-")[2]) - 1


def renumbered(hosts: Iterable[Host], taken: Collection[str]) -> list[Host]:
    """Return hosts, their allocations with numbers that no name of ``taken`` has, in the same order."""
    last = max((int(match[1]) for name in taken if (match := re.fullmatch(_NAME, name))), default=0)
    numbers, found = dict[str, int](), list[Host]()
    for host in hosts:
        if host.slurm and last:
            number = numbers.setdefault(allocation_of(host), last + len(numbers) + 1)
            host = replace(host, name=host_name(number, node_of(host) + 1, own=host.name.startswith("batch")))
        found.append(host)
    return found
