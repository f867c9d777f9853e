"""Hosts whose users have different login shells."""

from __future__ import annotations

import shutil

from tests.lab import HostOptions, Lab
from tests.lab.needed import needed_lab

SHELLS = ("bash", "dash", "zsh", "csh", "tcsh", "fish")


def shell_hosts() -> Lab:
    """Return a lab of hosts whose users have one of these shells each, in this order; it is to be started."""
    each = {f"node{n:02d}": HostOptions(shell=str(shutil.which(shell))) for n, shell in enumerate(SHELLS, 1)}
    return needed_lab(len(SHELLS), each=each)
