"""What ssh says where it never came to an sshd, and where it did: only the former costs nothing to try again."""

from __future__ import annotations

import pytest

from sshjobs.model.host import Host
from sshjobs.network.transport.sshlog import said_by_ssh

NOT_REACHED = [
    ("timeout", "ssh: connect to host node01 port 22: Connection timed out"),
    ("refused", "ssh: connect to host node01 port 22: Connection refused"),
    ("unreachable", "ssh: connect to host node01 port 22: No route to host"),
    ("unresolvable", "ssh: Could not resolve hostname node01: Name or service not known"),
    # By way of a jump host that is away itself.
    ("timeout", "ssh: connect to host jump port 22: Connection timed out\nConnection closed by UNKNOWN port 65535"),
]
REACHED = [
    ("timeout", "Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out"),
    ("timeout", "Connection to 10.0.0.1 port 22 timed out"),
    ("timeout", "Timeout, server node01 not responding."),
    ("unreachable", "Read from remote host node01: No route to host"),
    ("throttled", "kex_exchange_identification: read: Connection reset by peer\nConnection reset by 10.0.0.1 port 22"),
    # The jump host was asked.
    ("jump", "channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n"
             "Connection closed by UNKNOWN port 65535"),
    ("jump", "channel 0: open failed: connect failed: Connection timed out\nstdio forwarding failed"),
]


@pytest.mark.parametrize(("kind", "text"), NOT_REACHED)
def test_a_connection_that_was_never_made_asked_no_sshd(kind, text):
    error = said_by_ssh(Host("node01"), text)
    assert error is not None and (error.kind, error.reached) == (kind, False)


@pytest.mark.parametrize(("kind", "text"), REACHED)
def test_a_connection_that_broke_later_did(kind, text):
    error = said_by_ssh(Host("node01"), text)
    assert error is not None and (error.kind, error.reached) == (kind, True)
