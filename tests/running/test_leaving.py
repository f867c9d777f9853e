"""Leaving: what was launched goes on, what has ended by then is kept, and it does not take long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from sshjobs.model.spec import JobSpec
from sshjobs.model.states import STATE_DONE
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from tests.sim.play import Play


@contextmanager
def busy_play(jobs: int) -> Iterator[Play]:
    """A run of short jobs on one host with eight slots, of which some have ended and eight run."""
    with Play("leaving", hosts=1, slots=8) as play:
        numbers = count(1)
        play.spec = lambda: JobSpec(argv=["x"], name=f"j{next(numbers)}")  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(0.3)
        play.begin(jobs)
        play.advance(2.0)
        yield play


def test_leaving_takes_a_second_at_most_while_jobs_go_on_ending() -> None:
    with busy_play(400) as play:
        manager = play.manager
        assert manager is not None and manager.unfinished()
        began = play.world.now
        manager.leave()
        manager.ProcessJobs()
        # By the simulated clock.
        assert play.world.now - began <= 1.0
        ended = [job for job in manager.jobs.objects if job.state == STATE_DONE]
        with RunReader.open(play.paths) as reader:
            summary = reader.summary()
        assert (summary.stored_state, summary.counts["done"]) == ("interrupted", len(ended))
        assert ended and len(ended) < 400
        play._dead, play.manager = True, None
        play.finish()


def test_an_end_that_comes_while_the_last_outputs_are_released_is_kept() -> None:
    with busy_play(80) as play:
        manager = play.manager
        assert manager is not None
        first = manager.unfinished()[0]
        # As a cancel of some jobs by somebody without a manager does, while others run.
        manager.until = lambda: first.state == STATE_DONE
        began = play.world.now
        manager.ProcessJobs()
        assert play.world.now - began <= 5.0
        with RunReader.open(play.paths) as reader:
            stored = {row.name: row.state for row in reader.jobs()}
        assert stored == {job.name: job.state for job in manager.jobs.objects}
        play._dead, play.manager = True, None
        play.finish()
