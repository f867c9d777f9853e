"""What plays have found: each again, in as few steps as it takes."""

from __future__ import annotations

import pytest

from sshjobs.network.sim import Program
from tests.sim import disasters
from tests.sim.play import Play

WRITES = Program(0.5, 1, None, b"o" * 300, b"e" * 40)


def play_of(name: str, program: Program, *, hosts: int = 1) -> Play:
    """A play in which every attempt does the same."""
    play = Play(name, hosts=hosts)
    play.world.program_of = lambda launch: program
    return play


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("point", ["manager.launch", "manager.commit", "manager.committed", "manager.flush",
                                   "manager.aside", "manager.flushed"])
def test_an_output_is_not_lost_when_the_manager_dies_around_the_next_launch(point: str, power: bool,
                                                                            count: int) -> None:
    with play_of("aside", WRITES) as play:
        play.begin(1)
        play.advance(30.0)
        play.befall(disasters.retry)
        play.traps[point] = count, lambda machine: play.kill_manager(power=power)
        play.advance(5.0)
        play.resume()
        play.advance(30.0)
        play.finish()


def test_a_full_disk_of_the_manager_holds_a_second_attempt_up_and_loses_nothing() -> None:
    with play_of("full", WRITES) as play:
        play.begin(1)
        play.advance(30.0)
        began = dict(play.judge.starts)
        play.files.full = True
        play.befall(disasters.retry)
        room_at = play.world.now + 20.0
        play.world.at(20.0, lambda: setattr(play.files, "full", False))
        play.advance(40.0)
        assert [at >= room_at for uid, at in play.judge.starts.items() if uid not in began] == [True]
        play.finish()
