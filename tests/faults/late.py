"""Connections that sshd meets late: those after them come quickly, and still no minute may have more than six."""

from __future__ import annotations

import os
import signal
import time

from tests.faults import ledger
from tests.faults.cuts import MINUTE, TICK, Handshakes, is_up
from tests.faults.scene import Scene
from tests.lab import LabHost, wait_until

#: Seconds for which the network swallows the first packet of a connection, and the two that TCP sends after it.
LATE = 6.0


def flap(scene: Scene) -> tuple[ledger.Findings, int]:
    """Hold the first of many connections up on its way, break each later one as soon as its host is up; for more than a
    minute. Then let the run end, and check it.

    :return: what was found, and the most handshakes that the host's sshd met within a minute
    """
    host, jobs = scene.lab.hosts[0], ledger.Jobs()
    jobs.add("long", [f"sleep {MINUTE + 40}", "note end"])
    manager = scene.begin(jobs)
    wait_until(lambda: scene.is_there() and is_up(scene, host), 60, "the host to be up")
    # So long that the next connection follows at once.
    manager.ended(12.0)
    shakes = Handshakes(scene.lab.hosts)
    host.cut("drop_in")
    break_links(host)
    wait_until(lambda: not is_up(scene, host), 30, "the host to be away")
    manager.ended(LATE)
    host.heal()
    healed = time.monotonic()
    while time.monotonic() < healed + MINUTE + 15 and not manager.ended(TICK):
        shakes.look()
        if is_up(scene, host):
            break_links(host)
            wait_until(lambda: not is_up(scene, host), 30, "the host to be away")
    scene.finish()
    return scene.check(), shakes.most()


def break_links(host: LabHost) -> None:
    """kill -9 of all sessions of a host's sshd."""
    for process in host.processes():
        if process.argv and process.argv[0].startswith(f"sshd: {host.user}@"):
            os.kill(process.pid, signal.SIGKILL)
