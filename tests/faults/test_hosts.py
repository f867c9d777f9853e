"""Hosts whose user is killed off as a whole, and whose network loses packets."""

from __future__ import annotations

import os
import signal

import pytest

from tests.faults import ledger
from tests.lab import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and nft need root")]

#: One packet in ten is swallowed on its way in and on its way out.
LOSS = """
table inet loss {
    chain in { type filter hook input priority 0; iifname "eth0" numgen random mod 10 0 drop; }
    chain out { type filter hook output priority 0; oifname "eth0" numgen random mod 10 0 drop; }
}
"""


def test_everything_of_the_user_killed_at_once_is_told_as_lost_and_runs_again(make_scene, fresh_lab):
    # As at a logout where the system ends all that a user has: job, runner and agent together, without a boot.
    lab = fresh_lab(hosts=2)
    scene = make_scene(seed=131, lab=lab)
    scene.begin(ledger.mixed(40, 131, pace=2))
    wait_until(lambda: scene.is_there() and len(scene.ledger()) > 8, 60, "jobs to run")
    host = lab.hosts[0]
    # It takes itself along.
    host.run(["python3", "-c", f"import os; os.kill(-1, {int(signal.SIGKILL)})"], user=host.user)
    scene.finish()
    found = scene.check()
    assert found.bad == []
    assert found.repeated > 0


def test_networks_that_lose_every_tenth_packet_lose_no_job_and_double_none(make_scene, fresh_lab):
    lab = fresh_lab(hosts=2)
    scene = make_scene(seed=132, lab=lab)
    scene.begin(ledger.mixed(30, 132, pace=1))
    wait_until(lambda: scene.is_there() and len(scene.ledger()) > 2, 60, "jobs to run")
    for host in lab.hosts:
        done = host.run(["nft", "-f", "-"], input=LOSS)
        assert done.returncode == 0, done.stderr
    scene.finish()
    found = scene.check()
    assert found.bad == []
    assert found.repeated == 0
