"""Connections by ssh that a command begins as soon as its input is known to be right: ssh logs in while the rest of
what a run needs is still being loaded.

Each is taken by the transport that opens a stream to the same host in the same way; what nobody takes ends with the
command.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

from sshjobs.errors import SshjobsError
from sshjobs.model.host import Host, login_of
from sshjobs.network.payload import remote_command
from sshjobs.network.transport.base import spawned
from sshjobs.network.transport.sshcall import SshCall, asks

#: With more hosts none is begun: how many may log in at a time depends on the ways to them then, and to find that out
#: takes a moment (:mod:`sshjobs.network.handshakes`).
MOST_HOSTS = 8


class Begun(NamedTuple):
    """A call of ssh and its process."""

    call: SshCall
    process: subprocess.Popen[bytes]


#: By the way to a host.
_begun: dict[tuple[Hashable, ...], Begun] = {}


@contextlib.contextmanager
def connecting(hosts: Sequence[Host], transport: str | None, ssh_config: str | None, *,
               accept_new: bool) -> Iterator[None]:
    """Begin to log in to hosts that are reached by the ssh program; end what was not taken when the block is left.

    Whatever is in the way of that shows when a stream is opened as usual.
    """
    path = None if ssh_config is None else os.path.abspath(ssh_config)
    try:
        # Where ssh has to be asked first, that takes as long as what is gained.
        if transport in (None, "openssh") and len(hosts) <= MOST_HOSTS and not asks(path):
            for host in hosts:
                if not host.local and not host.slurm:
                    _begin(host, path, accept_new)
        yield
    finally:
        while _begun:
            call, process = _begun.popitem()[1]
            with process:
                process.kill()
            call.close()


def _begin(host: Host, ssh_config: str | None, accept_new: bool) -> None:
    call: SshCall | None = None
    try:
        call = SshCall.prepare(host, ssh_config, accept_new=accept_new)
        _begun[_way(host, ssh_config, accept_new)] = Begun(call, spawned(call.argv(remote_command(host.python))))
    except (OSError, SshjobsError):
        if call is not None:
            call.close()


def taken(host: Host, ssh_config: str | None, *, accept_new: bool) -> Begun | None:
    """Take the connection to a host that was begun in this way, if there is one: once."""
    return _begun.pop(_way(host, ssh_config, accept_new), None)


def _way(host: Host, ssh_config: str | None, accept_new: bool) -> tuple[Hashable, ...]:
    return login_of(host), host.via, host.python, ssh_config, accept_new
