"""Leases through disasters: what a host that is away has ended by itself runs elsewhere, and never in both places.

Not played: agent and runner of a job killed while their host is cut off. Then nobody ends it, as docs/jobfile.md says.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import pytest

from sshjobs.gjob.lease import Heard, Leases
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.scheduling.hostwatch import HostWatch
from sshjobs.simulation import Program
from tests.sim import disasters
from tests.sim.host.machine import Machine
from tests.sim.judge import Violation
from tests.sim.play import Play

#: A play takes a second or two, and these are up to 160 of them.
pytestmark = pytest.mark.timeout(500)

#: How long a host is cut off: mostly for longer than leases and margins last.
AWAY = (5.0, 30.0, 60.0, 90.0, 150.0)


class LeasePlay(Play):
    """Long jobs, most of them with a lease."""

    def spec(self) -> JobSpec:
        spec = super().spec()
        spec.lease = self.rng.choice((None, 3.0, 8.0, 20.0, 20.0))
        spec.timeout = None
        return spec

    def program_of(self, launch: dict[str, Any]) -> Program:
        rng = random.Random(f"{self.seed} {launch['id']}")
        program = super().program_of(launch)
        return program._replace(seconds=rng.choice((0.5, 5.0, 40.0, 120.0)))


def isolate(play: Play, dies: Callable[[Play, Machine], None]) -> None:
    """A host is cut off, with or without a word, and perhaps one of ours dies there."""
    machine = play.rng.choice(play.machines())
    play.world.say(f"{machine.name}: is cut off")
    machine.reachable = False
    machine.cut(play.rng.choice((0, 50, 1 << 40)), 0, heard=play.rng.random() < 0.5)
    if play.rng.random() < 0.5:
        dies(play, machine)
    play.world.at(play.rng.choice(AWAY), lambda: setattr(machine, "reachable", True))


def play_leases(seed: int) -> Play:
    """Play one seed to its end.

    :raises Violation: a promise was broken
    """
    with LeasePlay(f"lease {seed}") as play:
        # Agents die or runners do, not both: see above.
        dies = play.rng.choice((disasters.kill_agent, disasters.kill_runner))
        play.begin(12)
        # An agent that has run nothing goes without a trace; what was on its way to it may have run, for all we know.
        play.advance(2.0)
        for _ in range(6):
            play.advance(play.rng.choice((0.3, 3.0, 20.0, 60.0)))
            alone = partial(isolate, dies=dies)
            play.befall(play.rng.choice((alone, alone, alone, dies, disasters.kill_manager, disasters.cut)))
        play.finish()
        return play


def test_no_job_with_a_lease_runs_twice_at_a_time():
    ran_out = 0
    for seed in range(1, 61):
        play = play_leases(seed)
        ran_out += sum(1 for outcome in play.judge.recorded.values() if outcome is Outcome.LOST)
    assert ran_out > 30


def _found(where: type, what: str, how: Any, first: int = 1) -> bool:
    """Tell whether a play finds a broken rule.

    :param first: the seed that found it last; where the code has changed since, that may be another
    """
    with mock.patch.object(where, what, how):
        for seed in (first, *range(1, 161)):
            try:
                play_leases(seed)
            except Violation as violation:
                assert str(violation)[0] in "DO"
                return True
    return False


def test_a_manager_that_reckons_too_short_is_found():
    def over(self: HostWatch, host: str, lease: float, now: float) -> bool:
        since = self.away_since(host)
        return since is not None and now - since > lease / 2
    assert _found(HostWatch, "lease_is_over", over)


def test_a_runner_that_does_not_look_at_leases_is_found():
    assert _found(Heard, "covers", lambda self, lease: True, first=4)


def test_an_agent_that_does_not_look_at_leases_is_found():
    assert _found(Leases, "covers", lambda self, uid: True, first=34)
