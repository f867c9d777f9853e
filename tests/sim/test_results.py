"""Results through disasters: what a job left is kept with its end, whoever dies meanwhile, and is never another's."""

from __future__ import annotations

from typing import Any

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from tests.sim import disasters
from tests.sim.play import Play


class ResultPlay(Play):
    """Jobs that say at the end of their output which attempt they were."""

    def spec(self) -> JobSpec:
        spec = super().spec()
        spec.timeout = None
        return spec

    def program_of(self, launch: dict[str, Any]) -> Program:
        program = super().program_of(launch)
        return program._replace(out=program.out + b"\n::result::\nuid=x%s\n" % launch["id"].encode())


def test_what_a_job_left_comes_with_its_end():
    told = 0
    for seed in range(1, 13):
        with ResultPlay(f"result {seed}") as play:
            play.begin(12)
            for _ in range(5):
                play.advance(play.rng.choice((0.3, 1.0, 3.0)))
                play.befall(play.rng.choice((disasters.kill_agent, disasters.kill_runner, disasters.kill_manager,
                                             disasters.cut)))
            play.finish()
            with RunReader.open(play.paths) as reader:
                jobs = reader.load([job.name for job in reader.jobs()])
            for attempt in (attempt for job in jobs for attempt in job.attempts):
                assert attempt.result in ({}, {"uid": f"x{attempt.uid}"}), f"seed {seed}"
                if attempt.outcome in (Outcome.SUCCEEDED, Outcome.FAILED) and attempt.started is not None:
                    assert attempt.result, f"seed {seed}: {attempt}"
                    told += 1
    assert told > 100
