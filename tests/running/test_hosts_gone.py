"""Jobs for hosts that a person has taken out of the run: they are skipped, and harm nothing else."""

from __future__ import annotations

from unittest import mock

import pytest

from sshjobs.errors import UsageError
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.running import requests
from sshjobs.running.unattended import change
from sshjobs.simulation import Program
from sshjobs.store import ManagerIdentity, RunReader
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


@pytest.mark.parametrize("attended", [True, False], ids=["with a manager", "without a manager"])
def test_no_job_is_taken_for_a_host_that_is_to_leave(attended: bool) -> None:
    with Play("leaving", hosts=2) as play:
        play.spec = lambda: JobSpec(argv=["x"], name="j")  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(20.0)
        play.begin(4)
        play.advance(2.0)
        assert play.manager is not None
        requests.carry_out({"do": "hosts-remove", "hosts": ["h2"]}, requests.Target.of(play.manager))
        assert play.manager.hosts.leaving == {"h2"}, "something runs there"
        if not attended:
            play.befall(lambda play: play.kill_manager())
        pinned = {"do": "add", "specs": [JobSpec(argv=["x"], name="pinned", hosts=["h2"]).as_dict()]}
        with pytest.raises(UsageError, match="pinned: no host matches h2; the hosts are h1"):
            if play.manager is None:
                with mock.patch.object(ManagerIdentity, "this_process", play.identity):
                    change(play.paths, pinned)
            else:
                requests.carry_out(pinned, requests.Target.of(play.manager))
        play.finish()


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
