"""Ports of this machine for tests. Nobody takes one between its choice and its use."""

from __future__ import annotations

import fcntl
import os
import random
import socket
from pathlib import Path

#: Below those that Linux gives to connections, so that none takes one by chance.
_FIRST, _LAST = 15_000, 32_000
#: Files that this process holds, one for each port that it was given: no other test gets that.
_held: list[int] = []


def free_ports(number: int) -> list[int]:
    """Return ports of 127.0.0.1 at which nobody listens, and which no other test gets as long as this process lives."""
    place = Path(f"/tmp/sshjobs-test-ports-{os.getuid()}")
    place.mkdir(mode=0o700, exist_ok=True)
    found: list[int] = []
    while len(found) < number:
        port = random.randrange(_FIRST, _LAST)
        file = os.open(place / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(file)
            continue
        _held.append(file)
        found.append(port)
    return found


def free_port() -> int:
    """Return one of them."""
    return free_ports(1)[0]
