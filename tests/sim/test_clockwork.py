"""Hosts of clockwork take as long as simulated ones that do all that an agent does."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.gjob.wire import WireError
from sshjobs.inputs.builder import Builder
from sshjobs.model.causes import Cause
from sshjobs.model.host import Host
from sshjobs.model.spec import Job
from sshjobs.model.states import Outcome
from sshjobs.running.manager import Manager
from sshjobs.simulation import Program, World
from sshjobs.simulation.clockwork import Clockwork
from sshjobs.simulation.files import NoFiles
from sshjobs.simulation.network import SimulatedNetwork
from tests.sim.host.calls import simulated
from tests.sim.host.machine import Machine

SLOTS = 2


class Recorded(Manager):
    """Keeps the jobs that have ended."""

    def __init__(self) -> None:
        super().__init__(60.0)
        self.ended: list[Job] = []

    def HandleJobDone(self, job: Job) -> None:
        self.ended.append(job)


def carried_out(results: Path, jobs: Builder, seconds: float | Callable[[], float], *, clockwork: bool,
                hosts: int = 3) -> tuple[float, list[Job]]:
    """Return when a run was over, and its jobs."""
    draw = seconds if callable(seconds) else lambda: seconds
    world = World(1, lambda launch: Program(draw()))
    chosen = [Host(f"h{number}", slots=SLOTS) for number in range(hosts)]
    for host in chosen:
        world.machines[host.name] = (Clockwork(world, host.name, SLOTS, draw) if clockwork
                                     else Machine(world, host.name, SLOTS))
    manager = Recorded()
    with simulated():
        manager.Setup(jobs.MakeJobSpecs(), SimulatedNetwork(str(results), chosen, world, NoFiles()))
        manager.schedule.hosts.queue.rng.seed(1)
        manager.ProcessJobs()
    assert not manager.hosts.watch.away()
    return world.now, manager.ended


@pytest.mark.parametrize("seconds", [0.001, 0.01, 0.05, 3.0, 60.0])
def test_a_run_takes_as_long_as_on_simulated_hosts(tmp_path: Path, seconds: float) -> None:
    jobs = Builder().AddJob(argv=["true"], repeat=300)
    real, _ = carried_out(tmp_path / "real", jobs, seconds, clockwork=False)
    told, ended = carried_out(tmp_path / "told", jobs, seconds, clockwork=True)
    assert told == pytest.approx(real, rel=0.1)
    assert [job.outcome for job in ended] == [Outcome.SUCCEEDED] * 300
    for job in ended:
        last = job.attempts[-1]
        assert last.started is not None and last.ended is not None
        assert last.ended - last.started == pytest.approx(seconds, abs=1e-5)


def test_jobs_held_behind_a_long_one_are_taken_back_and_run_elsewhere(tmp_path: Path) -> None:
    jobs, rng = Builder().AddJob(argv=["true"], repeat=300), random.Random(2)
    took, ended = carried_out(tmp_path, jobs, lambda: 2.0 if rng.random() < 0.05 else 0.01, clockwork=True)
    assert [job.outcome for job in ended] == [Outcome.SUCCEEDED] * 300
    back = [job for job in ended if len(job.attempts) > 1]
    assert back and {job.attempts[0].cause for job in back} == {Cause.TAKEN_BACK}
    assert took < 10.0


def test_jobs_end_at_their_time_limit(tmp_path: Path) -> None:
    jobs = Builder().AddJob(argv=["true"], repeat=6, timeout=2, retries=1).AddJob(argv=["true"], timeout=9)
    took, ended = carried_out(tmp_path, jobs, 5.0, clockwork=True, hosts=1)
    limited = [job for job in ended if job.spec.timeout == 2]
    assert [(job.outcome, len(job.attempts)) for job in limited] == [(Outcome.TIMED_OUT, 2)] * 6
    assert [job.outcome for job in ended if job not in limited] == [Outcome.SUCCEEDED]
    assert 14.0 < took < 20.0


def test_what_never_happens_there_is_an_error_and_no_silence() -> None:
    host = Clockwork(World(1, lambda launch: Program(1.0)), "h", 1, lambda: 1.0)
    with pytest.raises(WireError):
        host.receive(b'{"t":"pause","id":"1.1"}\n')
