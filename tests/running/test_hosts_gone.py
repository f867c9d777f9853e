"""Jobs for hosts that a person has taken out of the run: they are skipped, and harm nothing else."""

from __future__ import annotations

import pytest

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from tests.sim.play import Play


@pytest.mark.parametrize("others", [0, 3], ids=["alone", "with others"])
@pytest.mark.parametrize("attended", [True, False], ids=["with a manager", "without a manager"])
def test_a_job_whose_only_host_leaves_is_skipped_and_the_run_ends(attended: bool, others: int) -> None:
    with Play("gone", hosts=2) as play:
        specs = iter([JobSpec(argv=["x"], name="pinned", hosts=["h2"]),
                      *(JobSpec(argv=["x"], name=f"j{number}") for number in range(others))])
        play.spec = lambda: next(specs)  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(0.1)
        play.begin(1 + others)
        if not attended:
            play.befall(lambda play: play.kill_manager())
        play.ask({"do": "hosts-remove", "hosts": ["h2"]})
        play.resume()
        play.advance(30.0)
        play.finish()
        with RunReader.open(play.paths) as reader:
            row = reader.job("pinned")
            assert reader.summary().counts["done"] == others
    assert row is not None and row.outcome == Outcome.SKIPPED
    assert row.reason == "no host that it may run on is left in the run"


def test_a_retry_of_such_a_job_is_skipped_again_and_changes_no_other() -> None:
    with Play("gone", hosts=2) as play:
        play.spec = lambda: JobSpec(argv=["x"], name="pinned", hosts=["h2"])  # type: ignore[method-assign]
        play.begin(1)
        play.ask({"do": "hosts-remove", "hosts": ["h2"]})
        play.advance(5.0)
        play.ask({"do": "retry", "jobs": ["pinned"]})
        play.advance(5.0)
        manager = play.manager
        assert manager is not None
        assert [job.outcome for job in manager.jobs.objects] == [Outcome.SKIPPED]
        play.finish()
