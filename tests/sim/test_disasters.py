"""Whatever dies: nothing lost, nothing doubled, every byte, no orphan, it ends, the state never lies.

A short selection; ``make simulate`` plays 100,000 disasters.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sshjobs.gjob import system
from tests.sim import disasters
from tests.sim.campaign import befall, play_one
from tests.sim.host.calls import CALLS
from tests.sim.judge import Violation
from tests.sim.mutants import ALL as MUTANTS
from tests.sim.mutants import hunt, patched
from tests.sim.play import Play

#: Found soon enough for every run of the tests; `python -m tests.sim.mutants` hunts all.
QUICK = ("retry on ssh's 255", "reuse an attempt number", "release before the outputs are safe", "drop a resend",
         "resume without asking", "offset from the wrong stream", "leave what a job has left", "forget a prefetched job",
         "count no memory")


@pytest.mark.parametrize("first", range(0, 200, 10))
def test_every_promise_is_kept_through_the_disasters_of_a_seed(first):
    broken = [told for told in (play_one(f"test-{number}") for number in range(first, first + 10)) if told.trouble]
    assert not broken, f"{broken[0].trouble}\npython -m tests.sim.campaign --replay {broken[0].seed}"


@pytest.mark.parametrize("seed", ["again-1", "again-2", "again-3", "again-4"])
def test_a_seed_is_played_the_same_way_again(seed):
    first, second = (play_one(seed, tracing=True) for _ in range(2))
    assert len(first.trace) > 50
    assert first == second


@pytest.mark.parametrize("seed", [
    pytest.param("16000936", id="a host leaves while it is in quarantine"),
    pytest.param("16003947", id="a host is declared lost in the moment in which a job's end comes from it"),
])
def test_what_made_a_manager_fail_is_played_again(seed):
    told = play_one(seed)
    assert told.trouble is None, told.trouble


def test_jobs_run_without_any_disaster():
    with Play("peace", hosts=4) as play:
        play.begin(100)
        play.advance(100.0)
        play.finish()
        assert len(play.judge.succeeded) > 50


@pytest.mark.parametrize("name", QUICK)
def test_a_broken_rule_is_found(name):
    plays, told = hunt(name, within=120)
    assert told is not None, f"{name} was not found in {plays} plays"


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=list(MUTANTS))
def test_every_mutant_changes_what_is_shipped(mutant):
    owner, name, how = patched(mutant)
    assert owner.__dict__[name] is not how


def test_there_are_mutants_enough():
    assert len(MUTANTS) >= 25


def test_every_call_of_the_far_side_is_simulated():
    assert set(CALLS) == set(system.CALLS)


def test_a_violation_is_told_with_its_promise():
    with Play("orphan") as play:
        play.begin(1)
        machine = play.machines()[0]
        bystander, runner = machine.spawn("bystander"), machine.spawn("runner")
        with pytest.raises(Violation, match="O: bystander"):
            machine.kill(bystander, 9, runner)


def _befalling(disaster: disasters.Disaster) -> Callable[[Disasters, float], None]:
    def act(self: Disasters, seconds: float) -> None:
        self.play.advance(seconds)
        befall(self.play, disaster)
    act.__name__ = disaster.__name__
    chosen: Callable[[Disasters, float], None] = rule(seconds=st.sampled_from([0.0, 0.01, 0.2, 3.0, 60.0]))(act)
    return chosen


class Disasters(RuleBasedStateMachine):
    """Hypothesis chooses what happens and when, and finds the shortest way to a broken promise."""

    @initialize(seed=st.integers(0, 999), jobs=st.integers(1, 8), latency=st.sampled_from([0.0005, 0.02, 0.1]))
    def begin(self, seed: int, jobs: int, latency: float) -> None:
        self.play = Play(f"rules {seed}", latency=latency)
        self.play.__enter__()
        self.play.world.tracing = True
        self.play.begin(jobs)

    submit = _befalling(disasters.submit)
    lose_ack = _befalling(disasters.lose_ack)
    kill_manager = _befalling(disasters.kill_manager)
    trap_manager = _befalling(disasters.trap_manager)
    kill_agent = _befalling(disasters.kill_agent)
    kill_runner = _befalling(disasters.kill_runner)
    trap_host = _befalling(disasters.trap_host)
    reboot = _befalling(disasters.reboot)
    cancel = _befalling(disasters.cancel)
    retry = _befalling(disasters.retry)
    cut = _befalling(disasters.cut)
    disk_full = _befalling(disasters.fill_host)
    manager_disk_full = _befalling(disasters.fill_manager)
    clock_jump = _befalling(disasters.jump_clock)
    drain = _befalling(disasters.drain)
    hold = _befalling(disasters.hold)
    second_thoughts = _befalling(disasters.have_second_thoughts)
    add_host = _befalling(disasters.add_host)
    remove_host = _befalling(disasters.remove_host)
    lose_host = _befalling(disasters.lose_host)
    slots = _befalling(disasters.change_slots)
    withdraw = _befalling(disasters.withdraw)
    finish = _befalling(disasters.finish)
    leave = _befalling(disasters.leave)
    broken_host = _befalling(disasters.break_host)

    @rule(seconds=st.sampled_from([0.5, 30.0]))
    def start(self, seconds: float) -> None:
        self.play.resume()
        self.play.advance(seconds)

    @rule()
    def heal(self) -> None:
        for machine in self.play.machines():
            machine.reachable, machine.disk.trouble = True, None
        self.play.end_trouble()

    def teardown(self) -> None:
        if hasattr(self, "play"):
            try:
                self.play.finish()
            except Violation:
                print("\n".join(self.play.world.trace))
                raise
            finally:
                self.play.__exit__(None, None, None)


TestDisasters = Disasters.TestCase
TestDisasters.settings = settings(max_examples=40, stateful_step_count=20, deadline=None, derandomize=True,
                                  phases=(Phase.explicit, Phase.generate, Phase.shrink),
                                  suppress_health_check=list(HealthCheck))
