"""Hosts that close through disasters: nothing is started there when their time is over, whoever is dead or away."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from tests.sim import disasters
from tests.sim.host.machine import Machine
from tests.sim.host.process import Process
from tests.sim.judge import Violation
from tests.sim.play import Play
from tests.sim.test_leases import isolate

pytestmark = pytest.mark.timeout(300)

#: Virtual seconds that a runner takes to begin with what it was given; that what runs gets to end.
BEGINS, ENDS = 1.0, 10.0


class ClosingPlay(Play):
    """Hosts that close in a minute or two, for three minutes, each by a clock of its own.

    :param at_end: what becomes of jobs then
    """

    def __enter__(self) -> ClosingPlay:
        super().__enter__()
        return self

    def __init__(self, seed: str, at_end: str, **keys: Any):
        self.at_end = at_end
        self.always_until: float | None = None
        super().__init__(seed, **keys)
        seen, asked = self.judge.on_start, self.judge.may_be_ended

        def on_start(machine: Machine, process: Process) -> None:
            if not self._is_open(machine, machine.clock()) and not self._is_open(machine, machine.clock() - BEGINS):
                raise self.judge.broken(f"{process.uid} starts on {machine.name}, which is closed")
            seen(machine, process)

        def may_be_ended(process: Process) -> bool:
            return asked(process) or (at_end == "stop" and not self._is_open(process.machine, process.machine.clock()))
        self.judge.on_start, self.judge.may_be_ended = on_start, may_be_ended  # type: ignore[method-assign]

    def new_host(self, slots: int) -> Host:
        super().new_host(slots)
        minute = int(self.world.machines[self.hosts[-1].name].clock() % 86400) // 60
        host = self.hosts[-1] = replace(self.hosts[-1], only=((minute + 5) % 1440, (minute + 2) % 1440), at_end=self.at_end)
        return host

    def _is_open(self, machine: Machine, at: float) -> bool:
        if self.always_until is not None:
            return self.world.now < self.always_until + BEGINS
        first, last = next(host.only for host in self.hosts if host.name == machine.name) or (0, 0)
        minute = int(at % 86400) // 60
        return first <= minute < last if first < last else minute >= first or minute < last

    def program_of(self, launch: dict[str, Any]) -> Program:
        rng = random.Random(f"{self.seed} {launch['id']}")
        return super().program_of(launch)._replace(seconds=rng.choice((0.5, 5.0, 40.0, 90.0)), stray=False, stubborn=False)

    def spec(self) -> Any:
        spec = super().spec()
        spec.timeout = None
        return spec

    def closed_at(self) -> float:
        """Return a moment when all hosts have been closed for as long as what runs gets."""
        return self.world.now + 120.0 + ENDS - min(machine.clock() % 60.0 for machine in self.machines())

    def causes(self) -> set[str | None]:
        """Return why attempts have ended so."""
        with RunReader.open(self.paths) as reader:
            return {attempt.cause for _, attempts in reader.jobs_with_attempts() for attempt in attempts}


def play(seed: int, at_end: str, dies: Callable[[Play, Machine], None] | None) -> ClosingPlay:
    """Play one seed to its end.

    :raises Violation: a promise was broken
    """
    with ClosingPlay(f"closing {seed}", at_end) as made:
        made.begin(12)
        made.advance(2.0)
        for _ in range(6):
            made.advance(made.rng.choice((3.0, 20.0, 40.0)))
            cut = partial(isolate, dies=dies or (lambda play, machine: None))
            made.befall(made.rng.choice((cut, cut, disasters.kill_manager, disasters.cut)))
            made.wants_manager = True
        made.finish()
        return made


@pytest.mark.parametrize("dies", [None, disasters.kill_agent, disasters.kill_runner], ids=["nobody", "agents", "runners"])
@pytest.mark.parametrize("at_end", ["finish", "stop", "pause"])
def test_nothing_starts_on_a_host_that_is_closed(at_end: str, dies: Callable[[Play, Machine], None] | None) -> None:
    for seed in range(1, 6):
        play(seed, at_end, dies)


def test_an_agent_that_does_not_mind_the_time_is_found() -> None:
    from unittest import mock

    from sshjobs.gjob.agent.manners import Manners

    def look(self: Manners, now: float) -> bool:
        self.at = now + 60.0
        return True

    with mock.patch.object(Manners, "look", look), pytest.raises(Violation, match="which is closed"):
        for seed in range(1, 40):
            play(seed, "finish", None)


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("at_end", ["stop", "pause"])
def test_what_runs_at_the_end_is_stopped_or_paused_whether_anybody_hears_of_it_or_not(at_end: str, connected: bool) -> None:
    with ClosingPlay("ends", at_end) as made:
        made.program_of = lambda launch: Program(100.0)  # type: ignore[method-assign]
        made.world.program_of = made.program_of
        made.begin(6)
        closed = made.closed_at()
        made.advance(10.0)
        for machine in made.machines():
            if not connected:
                machine.reachable = False
                machine.cut(0, 0, heard=False)
        mains = [process for machine in made.machines() for process in machine.processes.values() if process.kind == "main"]
        assert len(mains) == 6
        made.advance(closed - made.world.now)
        if at_end == "stop":
            assert not any(process.alive for process in mains)
        else:
            assert all(process.alive and process.left is not None for process in mains if process.ends_at > 0)
        made.finish()
        assert (Cause.CLOSED.value in made.causes()) is (at_end == "stop")
        with RunReader.open(made.paths) as reader:
            assert reader.summary().counts["done"] == 6


def test_a_run_whose_hosts_are_all_given_back_ends_and_says_so() -> None:
    with ClosingPlay("lent", "finish", hosts=1) as made:
        made.hosts[0] = replace(made.hosts[0], only=None, until=made.world.time() + 100.0)
        made.world.program_of = lambda launch: Program(30.0)
        made.always_until = 100.0
        numbers, one = count(1), JobSpec(argv=["x"], name="j")
        made.spec = lambda: one.named(f"j{(n := next(numbers))}", n)  # type: ignore[method-assign]
        made.begin(20)
        made.advance(300.0)
        made.finish()
        with RunReader.open(made.paths) as reader:
            rows = list(reader.jobs())
        assert {row.outcome for row in rows} == {"succeeded", "skipped"}
        assert sum(row.outcome == "succeeded" for row in rows) == 6, "three times two slots: the fourth would not be over"
        assert all("it was lent until" in (row.reason or "") for row in rows if row.outcome == "skipped")
