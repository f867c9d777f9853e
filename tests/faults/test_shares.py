"""Runs of two persons on the same hosts, with a few kills; and that what they have written is read as it has to be."""

from __future__ import annotations

import os
import random

import pytest

from tests.faults import shares
from tests.faults.shares import Away, Needs, Stay, Waiting


def stay(job: str, begin: float, end: float, needs: Needs, gpus: tuple[str, ...] = (), *, ended: bool = True) -> Stay:
    return Stay("r", job, 1, "h", begin, end, ended, needs, gpus)


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and mounts need root")
def test_two_persons_never_have_more_of_a_host_than_there_is_whoever_is_killed(make_scene, fresh_lab):
    scene = make_scene(seed=random.randrange(1 << 30), lab=fresh_lab(hosts=2, options=shares.OPTIONS))
    found, seen = shares.share_hosts(scene, 5, jobs=90, interval=1.5, timed=False)
    assert found.bad == []
    assert seen.what.total() == 5
    assert seen.most.slots == shares.SLOTS


def test_what_is_taken_at_the_same_time_is_added_up():
    half = Needs(2, 4, 1, 1)
    assert shares.too_much([stay("a", 0, 2, half, ("x",)), stay("b", 1, 3, half, ("y",)), stay("c", 2, 4, half, ("x",))]) == (
        [], Needs(4, 8, 2, 2))
    (wrong,) = shares.too_much([stay("a", 0, 2, Needs(3)), stay("b", 1.9, 3, Needs(2))])[0]
    assert "Needs(slots=5" in wrong
    (wrong,) = shares.too_much([stay("a", 0, 2, Needs(1, 0, 0, 1), ("x",)), stay("b", 1, 3, Needs(1, 0, 0, 1), ("x",))])[0]
    assert "have one GPU" in wrong
    (wrong,) = shares.too_much([stay("a", 0, 2, Needs(1, 0, 0, 1))])[0]
    assert "has the GPUs ()" in wrong


def test_a_wait_counts_while_a_host_that_can_be_used_has_all_that_is_needed():
    jobs = {"a": Needs(3), "b": Needs(2)}
    found = [stay("a", 1, 4, jobs["a"]), stay("b", 9, 10, jobs["b"])]
    here = Away("r", "h", 0, 1)
    # From 4 on there is room; from 5 to 7 its run could use no host.
    assert shares.waits(found, {"r": jobs}, [here, Away("r", "h", 5, 7)]) == [Waiting(2, 9, "r", "b")]
    assert shares.waits(found, {"r": jobs}, [here]) == [Waiting(5, 9, "r", "b")]
    cut_off = [stay("a", 1, 3, jobs["a"], ended=False), stay("b", 8.5, 10, jobs["b"])]
    assert shares.waits(cut_off, {"r": jobs}, [here]) == [Waiting(0.5, 8.5, "r", "b")]
