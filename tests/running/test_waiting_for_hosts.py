"""A job that needs what no host of a run has, where hosts may join: on simulated hosts, with the judge looking on."""

from __future__ import annotations

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import STATE_BUSY, STATE_FREE, Outcome
from sshjobs.network.contract import Warned
from sshjobs.running.requests import host_data
from sshjobs.simulation import Program
from tests.sim.play import Play

WHY = "no host has what it needs (cpus: 3): h1, the nearest, has 2 slots"


def test_a_job_that_no_host_can_have_waits_for_one_that_joins_and_says_so_until_then() -> None:
    with Play("waiting for a host", slots=2) as play:
        play.options = {"stays_open": True}
        play.spec = lambda: JobSpec(argv=["x"], name="large", cpus=3)  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(5.0, 0)
        play.begin(1)
        assert play.manager is not None
        heard: list[str] = []
        play.manager.handle_host = lambda event: heard.append(  # type: ignore[method-assign]
            event.message if isinstance(event, Warned) else "")
        (job,) = play.manager.jobs.objects
        play.advance(30.0)
        assert (job.state, job.reason) == (STATE_FREE, WHY)
        assert [line for line in heard if line] == [f"large waits for a host that may join: {WHY}"], "it is said once"
        play.ask({"do": "hosts-add", "hosts": [host_data(play.new_host(4))]})
        play.advance(3.0)
        assert (job.state, job.reason) == (STATE_BUSY, None)
        play.advance(10.0)
        assert job.outcome is Outcome.SUCCEEDED


def test_a_job_that_waits_for_a_host_is_skipped_once_none_will_come() -> None:
    with Play("waiting no longer", slots=2) as play:
        play.options = {"stays_open": True}
        play.spec = lambda: JobSpec(argv=["x"], name="large", cpus=3)  # type: ignore[method-assign]
        play.begin(1)
        play.advance(30.0)
        assert play.manager is not None
        (job,) = play.manager.jobs.objects
        play.ask({"do": "finish"})
        play.advance(3.0)
        assert (job.outcome, job.reason) == (Outcome.SKIPPED, WHY)
