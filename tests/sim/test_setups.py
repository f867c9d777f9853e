"""Setups through disasters: no job starts on a host before its setup has succeeded there, and none is repeated that has."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest

from sshjobs.running.setups import FIRST_NUMBER, Setups
from sshjobs.simulation import Program
from tests.sim import disasters
from tests.sim.campaign import befall
from tests.sim.judge import Violation
from tests.sim.play import Play

#: What befalls a run with a setup, again and again.
BEFALLS = (disasters.kill_manager, disasters.kill_manager, disasters.trap_manager, disasters.reboot, disasters.cut,
           disasters.kill_agent, disasters.kill_runner, disasters.trap_host, disasters.add_host)


class SetupPlay(Play):
    """Every host has to be prepared, which takes a while and succeeds."""

    def begin(self, jobs: int) -> None:
        self.options, self.judge.with_setup = {"setup": ["prepare"]}, True
        super().begin(jobs)

    def program_of(self, launch: dict[str, Any]) -> Program:
        program = super().program_of(launch)
        if int(launch["id"].partition(".")[0]) < FIRST_NUMBER:
            return program
        return program._replace(seconds=0.3, status=0, signal=None)


def play_setups(seed: int) -> Play:
    """Play one seed to its end.

    :raises Violation: a promise was broken
    """
    with SetupPlay(f"setup {seed}") as play:
        play.begin(play.rng.randint(2, 20))
        for _ in range(play.rng.randint(1, 6)):
            play.advance(play.rng.choice((0.05, 0.2, 0.4, 1.0, 10.0)))
            befall(play, play.rng.choice(BEFALLS))
            play.resume()
        play.finish()
    return play


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_hosts_are_prepared_before_their_first_job_and_once_for_each_boot(first):
    prepared = 0
    for seed in range(first, first + 20):
        prepared += len(play_setups(seed).judge.done_setups)
    assert prepared > 20


@pytest.mark.parametrize(("name", "broken"), [
    ("up", lambda self, host, facts: None), ("recall", lambda self, rows: []),
])
def test_a_broken_rule_of_setups_is_found(name, broken):
    with mock.patch.object(Setups, name, broken):
        for seed in range(40):
            try:
                play_setups(seed)
            except (Violation, AssertionError):
                return
    pytest.fail(f"{name} was not found")
