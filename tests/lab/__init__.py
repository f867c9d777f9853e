"""Hosts to test on, as real as one machine allows, with a network that can be cut and a power switch.

::

    with Lab(hosts=4) as lab:
        host = lab.host("node01")
        host.ssh("hostname")  # or: ssh -F {lab.ssh_config} node01 hostname
        host.cut("drop"), host.heal(), host.reboot(), host.break_python()

Each host has network, mount, pid and uts namespaces of its own, a process 1, users, home, /tmp,
/run, boot id, host key and a stock sshd. It shares kernel, clock, cgroups and the rest of the file system
with this machine: root on a host can harm it, the user ``lab`` cannot. By hand: ``python -m tests.lab --hosts 4``.
"""

from __future__ import annotations

import os
from typing import Any

from tests.lab.base import CUTS, BaseLab, HostOptions, LabError, LabHost, LabUnsupported
from tests.lab.loopback import LoopbackLab
from tests.lab.namespaces import Lab, NamespaceHost
from tests.lab.proxy import DelayProxy
from tests.lab.waiting import wait_until

__all__ = [
    "CUTS",
    "BaseLab",
    "DelayProxy",
    "HostOptions",
    "Lab",
    "LabError",
    "LabHost",
    "LabUnsupported",
    "LoopbackLab",
    "NamespaceHost",
    "open_lab",
    "wait_until",
]


def open_lab(hosts: int = 4, **more: Any) -> BaseLab:
    """A lab of the best kind that this machine allows: namespaces, else sshd on loopback addresses.

    :raises LabUnsupported: for root when namespaces do not work, so that CI cannot go on with less unseen.
    """
    try:
        return Lab(hosts, **more)
    except LabUnsupported:
        if os.geteuid() == 0:
            raise
        return LoopbackLab(hosts, **more)
