"""When hosts may forget what they keep of an attempt, and what is made of an end that comes too late."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import STATE_DONE, STATE_UNKNOWN
from sshjobs.network.contract import HostUp, News
from sshjobs.running.requests import Target, carry_out
from sshjobs.simulation import Program
from tests.sim.play import Play


def test_hosts_keep_outputs_as_long_as_the_disk_here_refuses_to_sync_them() -> None:
    with Play("sync", hosts=2, slots=2) as play:
        numbers = count(1)
        play.spec = lambda: JobSpec(argv=["x"], name=f"j{next(numbers)}")  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(0.3, out=b"output")
        synced = play.files.sync
        refused = 0

        def refuse(top: Path, places: Iterable[tuple[Path, Path]] | None = None) -> None:
            nonlocal refused
            refused += 1
            raise OSError(errno.EIO, "Input/output error")

        play.files.sync = refuse  # type: ignore[method-assign]
        play.begin(4)
        play.advance(30.0)
        manager = play.manager
        assert manager is not None
        assert {job.state for job in manager.jobs.objects} == {STATE_DONE} and refused > 3
        assert len(manager.books.unreleased) == 4, "no host was told to forget"
        play.files.sync = synced  # type: ignore[method-assign]
        play.advance(5.0)
        assert not manager.books.unreleased
        play.finish()


def test_an_attempt_that_is_declared_lost_in_the_moment_in_which_its_host_comes_back_ends_once() -> None:
    with Play("back", hosts=2, slots=1) as play:
        play.spec = lambda: JobSpec(argv=["x"], name="j")  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(200.0 if launch["id"].endswith(".1") else 0.3)
        play.begin(1)
        play.advance(3.0)
        manager = play.manager
        assert manager is not None
        job: Job = manager.jobs.objects[0]
        host = job.attempts[-1].host
        machine = next(machine for machine in play.machines() if machine.name == host)
        machine.reachable = False
        machine.cut(0, 0, heard=True)
        play.advance(30.0)
        assert job.state == STATE_UNKNOWN
        waits, concluded, conclude = manager.network.wait, [], manager._conclude

        def declare_lost() -> None:
            carry_out({"do": "hosts-lost", "hosts": [host]}, Target.of(manager))

        def wait(timeout: float, linger: float = 0.0) -> News:
            news = waits(timeout, linger)
            if any(isinstance(event, HostUp) for event in news.hosts):
                # A person's word is carried out between what has come and its being taken in.
                manager.inbox.post(declare_lost)
            return news

        manager.network.wait = wait  # type: ignore[method-assign]
        manager._conclude = lambda job, attempt: (concluded.append(attempt.n), conclude(job, attempt))[1]  # type: ignore
        play.judge.evidence.given_up[host] = play.world.now
        machine.reachable = True
        play.advance(60.0)
        assert concluded == [1, 2], "each attempt was concluded once"
        assert [attempt.outcome for attempt in job.attempts] == ["lost", "succeeded"]
        play.finish()
