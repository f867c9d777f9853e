"""How often a host is tried: soon after it is back, and never so often that its sshd would mind."""

from __future__ import annotations

import random

import pytest

from sshjobs.errors import HostError
from sshjobs.network.session.backoff import HANDSHAKES, LONGEST, MINUTE, SEARCH, SEARCH_FOR, Backoff


def error(kind: str) -> HostError:
    made = HostError(kind, "node01", "it is away")
    made.reached = kind not in ("refused", "unreachable", "unresolvable", "timeout")
    return made


def attempts(backoff: Backoff, kind: str, takes: float, until: float, *, heard: bool, seed: int = 1) -> list[float]:
    """Return when attempts begin that all end in one way, each after so many seconds."""
    now, rng, begun = 0.0, random.Random(seed), []
    while now < until:
        begun.append(now)
        now += takes
        now += backoff.pause(error(kind), begun[-1], now, rng, heard=now if heard else None)
    return begun


def most(seen: list[float]) -> int:
    return max(sum(1 for other in seen if at <= other < at + MINUTE) for at in seen)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("kind", "takes", "heard"), [("link-lost", 0.3, True), ("link-lost", 11.0, True),
                                                      ("throttled", 0.1, False), ("nonsense", 2.0, True)])
def test_a_host_that_flaps_sees_six_handshakes_a_minute_at_most(kind, takes, heard, seed):
    begun = attempts(Backoff(), kind, takes, 600, heard=heard, seed=seed)
    assert most(begun) <= HANDSHAKES


@pytest.mark.parametrize(("kind", "takes"), [("refused", 0.02), ("unreachable", 3.0), ("timeout", 10.0)])
def test_a_host_that_was_up_is_tried_again_and_again_while_it_cannot_be_reached(kind, takes):
    backoff = Backoff()
    backoff.pause(error("link-lost"), 0.0, 20.0, random.Random(1), heard=1.0)
    begun = attempts(backoff, kind, takes, SEARCH_FOR, heard=False)
    assert max(later - at for at, later in zip(begun, begun[1:], strict=False)) <= max(SEARCH, takes + 0.5) * 1.3


@pytest.mark.parametrize("seed", range(20))
def test_an_sshd_that_meets_some_connections_late_still_sees_six_handshakes_a_minute(seed):
    backoff, rng, now, seen = Backoff(), random.Random(seed), 0.0, []
    while now < 900:
        # Some come through at once, some wait in a network that swallows their first packets, and some end unheard.
        began, late, heard = now, rng.choice((0.0, rng.uniform(0, 10))), rng.random() < 0.7
        seen.append(began + late)
        now = began + late + rng.uniform(0, 3)
        kind = "link-lost" if heard else "throttled"
        now += backoff.pause(error(kind), began, now, rng, heard=rng.uniform(seen[-1], now) if heard else None)
    assert most(seen) <= HANDSHAKES


def test_a_login_that_takes_too_long_counts_as_a_handshake():
    backoff, rng, now, begun = Backoff(), random.Random(1), 0.0, []
    backoff.pause(error("link-lost"), 0.0, 20.0, rng, heard=1.0)
    slow = HostError("timeout", "node01", "no answer in time")
    while now < 300:
        begun.append(now)
        now += 1.0
        now += backoff.pause(slow, begun[-1], now, rng, heard=None)
    assert most(begun) <= HANDSHAKES


def test_a_host_that_was_never_there_is_tried_more_and_more_seldom():
    begun = attempts(Backoff(), "refused", 0.0, 600, heard=False)
    pauses = [later - at for at, later in zip(begun, begun[1:], strict=False)]
    assert pauses[0] < 1
    assert LONGEST * 0.7 <= min(pauses[-10:]) <= max(pauses[-10:]) <= LONGEST * 1.3


def test_a_link_that_was_good_is_renewed_at_once():
    backoff, rng = Backoff(), random.Random(1)
    for began in (0.0, 100.0, 200.0):
        assert backoff.pause(error("link-lost"), began, began + 60.0, rng, heard=began + 0.3) < 1


def test_hosts_do_not_come_back_in_step():
    assert len({attempts(Backoff(), "link-lost", 1.0, 5, heard=True, seed=seed)[1] for seed in range(10)}) == 10
