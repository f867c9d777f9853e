"""A person's word in every circumstance: each request against each of them, with what has to come of it.

On simulated hosts, where a minute costs nothing; the judge of the plays looks on that no promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count, product
from typing import Any
from unittest import mock

import pytest

from sshjobs.errors import LocalError, UsageError
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import FINAL_STATES, STATE_BUSY, Outcome
from sshjobs.running import requests
from sshjobs.running.manager import Manager
from sshjobs.running.unattended import change
from sshjobs.simulation import Program
from sshjobs.store import ManagerIdentity, RunReader
from tests.sim.play import Killed, Play

#: Seconds of a job; and of a look at what happens: longer than the first canary takes to be sent.
TAKES, LOOK = 0.5, 20.0
BROKEN = Program(0.003, 127)
Data = dict[str, Any]


class Stage:
    """A run on h1 and h2 with far more jobs than slots. The first job, ``j1``, fails by itself.

    :ivar refused: what the request was refused with, ``None`` where it was carried out
    :ivar launched: attempts that were launched before the request
    """

    def __init__(self, play: Play):
        self.play, self._numbers = play, count(1)
        self.refused: Exception | None = None
        self.launched: set[str] = set()
        self.waiting: list[str] = []
        self.takes = TAKES
        play.spec = self._spec  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(self.takes, int(launch["id"].startswith("1.")))

    def _spec(self) -> JobSpec:
        return JobSpec(argv=["x"], name=f"j{next(self._numbers)}")

    @property
    def manager(self) -> Manager:
        assert self.play.manager is not None
        return self.play.manager

    def until(self, is_so: Callable[[], bool], step: float = 0.05) -> None:
        """Let time pass until something is so, which is looked at every so many seconds."""
        for _ in range(2000):
            if is_so():
                return
            self.play.advance(step)
        raise AssertionError("it never came to that")

    def ask(self, data: Data) -> Data:
        """Make a request, of the manager or without one; returns the answer."""
        if self.play.alive:
            return requests.carry_out(data, requests.Target.of(self.manager))
        with mock.patch.object(ManagerIdentity, "this_process", self.play.identity):
            return change(self.play.paths, data)

    def rows(self) -> dict[str, tuple[str, str | None, int]]:
        """Return state, outcome and number of attempts of each job, as the store has them."""
        if self.play.alive:
            self.manager.store.commit()
        with RunReader.open(self.play.paths) as reader:
            assert list(reader.contradictions()) == []
            return {job.name: (job.state, job.outcome, len(attempts)) for job, attempts in reader.jobs_with_attempts()}

    def news(self) -> set[str]:
        """Return the attempts that were launched since the request, as ``host/uid``."""
        with RunReader.open(self.play.paths) as reader:
            found = {f"{attempt.host}/{attempt.job}.{attempt.n}" for _, attempts in reader.jobs_with_attempts()
                     for attempt in attempts}
        return found - self.launched

    def on_h1(self) -> set[str]:
        """Return those of them that were launched on h1."""
        return {one for one in self.news() if one.startswith("h1/")}

    def see_to_a_manager(self) -> None:
        """Have somebody resume the run where nobody manages it."""
        if not self.play.alive:
            self.play.resume()

    def more_work(self) -> list[str]:
        """Add jobs, so that there is something to launch; returns their names."""
        names: list[str] = self.ask({"do": "add", "specs": [self._spec().as_dict() for _ in range(12)]})["jobs"]
        return names

    def look(self) -> None:
        """Let a while pass in which all that waits could be launched."""
        self.see_to_a_manager()
        self.play.advance(LOOK)


# -- the requests: what is asked, and what has to come of it ----------------------------------------------------------


def pause(stage: Stage) -> Data:
    return {"do": "pause", "jobs": None}


def nothing_is_launched(stage: Stage) -> None:
    stage.more_work()
    stage.look()
    assert stage.news() == set()
    assert stage.manager.schedule.paused


def unpause(stage: Stage) -> Data:
    stage.ask({"do": "pause", "jobs": None})
    return {"do": "unpause", "jobs": None}


def jobs_are_launched(stage: Stage) -> None:
    stage.more_work()
    stage.look()
    assert {one.partition("/")[0] for one in stage.news()} >= {"h2"}


def drain(stage: Stage) -> Data:
    return {"do": "hosts-drain", "hosts": ["h1"]}


def nothing_is_launched_on_h1(stage: Stage) -> None:
    stage.more_work()
    stage.look()
    assert stage.on_h1() == set() and stage.news()
    assert stage.manager.schedule.hosts.is_drained("h1")


def undrain(stage: Stage) -> Data:
    stage.ask({"do": "hosts-drain", "hosts": ["h1"]})
    stage.play.world.machines["h1"].spoils = None
    return {"do": "hosts-undrain", "hosts": ["h1"]}


def h1_is_used_at_once(stage: Stage) -> None:
    stage.more_work()
    stage.see_to_a_manager()
    # Sooner than any canary.
    stage.play.advance(5.0)
    assert len(stage.on_h1()) > 1


def remove(stage: Stage) -> Data:
    return {"do": "hosts-remove", "hosts": ["h1"]}


def h1_has_left(stage: Stage) -> None:
    stage.more_work()
    stage.look()
    assert stage.on_h1() == set() and stage.news()
    assert list(stage.manager.network.hosts) == ["h2"]


def cancel(stage: Stage) -> Data:
    return {"do": "cancel", "jobs": stage.waiting}


def they_never_start(stage: Stage) -> None:
    stage.look()
    assert {stage.rows()[name] for name in stage.waiting} == {("error", Outcome.CANCELLED, 0)}


def retry(stage: Stage) -> Data:
    stage.play.judge.tried_again += 1
    return {"do": "retry", "jobs": ["j1"]}


def it_is_tried_once_more(stage: Stage) -> None:
    stage.see_to_a_manager()
    stage.until(lambda: stage.rows()["j1"][0] in FINAL_STATES, 1.0)
    assert stage.rows()["j1"] == ("error", "failed", 2)


def add(stage: Stage) -> Data:
    return {"do": "add", "specs": [JobSpec(argv=["x"], name="added").as_dict()]}


def it_runs(stage: Stage) -> None:
    stage.see_to_a_manager()
    stage.until(lambda: stage.rows()["added"][0] in FINAL_STATES, 1.0)
    assert stage.rows()["added"][:2] == ("done", "succeeded")


def withdraw(stage: Stage) -> Data:
    return {"do": "withdraw", "jobs": stage.waiting}


def they_are_gone(stage: Stage) -> None:
    assert not stage.rows().keys() & set(stage.waiting)


def leave(stage: Stage) -> Data:
    return {"do": "leave"}


def the_manager_leaves_and_the_next_one_goes_on(stage: Stage) -> None:
    if stage.play.alive:
        let_leave(stage)
    stage.more_work()
    stage.look()
    assert stage.news()


def let_leave(stage: Stage) -> None:
    """The manager has been told; it is gone within a second of the simulated clock."""
    began = stage.play.world.now
    stage.manager.ProcessJobs()
    assert stage.play.world.now - began <= 1.0
    stage.play._dead, stage.play.manager = True, None


def stop(stage: Stage) -> Data:
    return {"do": "stop"}


def nothing_more_is_launched_and_the_next_manager_goes_on(stage: Stage) -> None:
    if stage.play.alive:
        stage.manager.ProcessJobs()
        stage.play._dead, stage.play.manager = True, None
        assert stage.news() == set()
    stage.more_work()
    stage.look()
    assert stage.news()


REQUESTS: dict[Callable[[Stage], Data], Callable[[Stage], None]] = {
    pause: nothing_is_launched, unpause: jobs_are_launched, drain: nothing_is_launched_on_h1, undrain: h1_is_used_at_once,
    remove: h1_has_left, cancel: they_never_start, retry: it_is_tried_once_more, add: it_runs, withdraw: they_are_gone,
    leave: the_manager_leaves_and_the_next_one_goes_on, stop: nothing_more_is_launched_and_the_next_manager_goes_on,
}

# -- the circumstances ------------------------------------------------------------------------------------------------


def quarantine(stage: Stage) -> None:
    """h1 is in quarantine, and its first canary is not due yet."""
    stage.play.world.machines["h1"].spoils = BROKEN
    stage.until(lambda: stage.manager.hosts.quarantine.is_quarantined("h1"))


def canary(stage: Stage) -> None:
    """h1 is in quarantine and mended, and a canary runs there."""
    quarantine(stage)
    # The first canary takes a while to be sent, and is to find a job that waits.
    for _ in range(4):
        stage.more_work()
    stage.play.world.machines["h1"].spoils = None
    stage.takes = 3.0
    stage.until(lambda: any(job.attempts[-1].started is not None for job in stage.manager.placement.on("h1")))
    stage.takes = TAKES


def no_manager(stage: Stage) -> None:
    """The manager was killed while jobs ran."""
    stage.until(lambda: bool(stage.manager.placement.on("h1")))
    stage.play.befall(lambda play: play.kill_manager())


def full_disk(stage: Stage) -> None:
    """The disk of the manager's machine takes nothing, from the request on."""
    stage.play.advance(TAKES)


def end_of_the_run(stage: Stage) -> None:
    """The run is over, and its manager has left in good order."""
    stage.manager.stays_open = False
    stage.manager.ProcessJobs()
    stage.play._dead, stage.play.manager = True, None


def second(stage: Stage) -> None:
    """The same was asked before."""
    stage.play.advance(TAKES)


CIRCUMSTANCES = (quarantine, canary, no_manager, full_disk, end_of_the_run, second)

#: Requests that take effect even while nothing can be written down.
URGENT = (leave, stop, cancel, pause, unpause)
#: Pairs in which a request is refused: with which words, and nothing of it is done.
REFUSED: dict[tuple[Callable[[Stage], Data], Callable[[Stage], None]], str] = {
    **{(request, full_disk): "can note nothing|cannot be used|full" for request in REQUESTS if request not in URGENT},
    (withdraw, end_of_the_run): "it has started, so it stays in the run",
    (withdraw, second): "no job is called",
}


@contextmanager
def staged(name: str) -> Iterator[Stage]:
    with Play(name, hosts=2) as play:
        stage = Stage(play)
        play.begin(200)
        stage.until(lambda: stage.manager.jobs.objects[0].state in FINAL_STATES)
        yield stage


def prepare(stage: Stage, request: Callable[[Stage], Data], circumstance: Callable[[Stage], None]) -> Data:
    """Bring it about, and return what is to be asked then."""
    circumstance(stage)
    # They come last, so that none of them is launched before the request.
    stage.waiting = ["j2"] if circumstance is end_of_the_run else stage.more_work()[-2:]
    data = request(stage)
    stage.play.store_full = circumstance is full_disk
    if circumstance is second:
        stage.ask(data)
    stage.launched = set()
    stage.launched = stage.news()
    return data


@pytest.mark.parametrize(("request_", "circumstance"), list(product(REQUESTS, CIRCUMSTANCES)),
                         ids=lambda function: function.__name__)
def test_a_persons_word_counts(request_: Callable[[Stage], Data], circumstance: Callable[[Stage], None]) -> None:
    with staged(f"{request_.__name__} {circumstance.__name__}") as stage:
        data = prepare(stage, request_, circumstance)
        words = REFUSED.get((request_, circumstance))
        if words is not None:
            is_refused(stage, data, words, full=circumstance is full_disk)
        elif (request_, circumstance) == (leave, full_disk):
            assert stage.ask(data)["ok"]
            let_leave(stage)
            stage.play.store_full = False
        elif circumstance is full_disk:
            # Who asks for an end changes nothing in the store.
            assert ("full" in stage.ask(data).get("unwritten", "")) == (request_ is not stop)
            stage.play.store_full = False
            REQUESTS[request_](stage)
        elif (request_, circumstance) == (cancel, end_of_the_run):
            # There is nothing left to cancel, and what has ended stays as it ended.
            before = stage.rows()
            assert stage.ask(data)["ok"] and stage.rows() == before
        else:
            assert stage.ask(data)["ok"]
            if circumstance is second and request_ is retry:
                # It waited by then already: one more try, not two.
                assert stage.ask(data)["jobs"] == []
            REQUESTS[request_](stage)
        stage.play.finish()


def is_refused(stage: Stage, data: Data, words: str, *, full: bool) -> None:
    """The request is refused, and everything is as before."""
    stage.play.store_full = False
    before = stage.rows(), [host.drained for host in stage.manager.network.hosts.values()] if stage.play.alive else None
    stage.play.store_full = full
    with pytest.raises(LocalError if full else UsageError, match=words):
        stage.ask(data)
    stage.play.store_full = False
    assert before == (
        stage.rows(), [host.drained for host in stage.manager.network.hosts.values()] if stage.play.alive else None)


def test_a_canary_that_runs_is_no_job_to_be_withdrawn() -> None:
    with staged("canary") as stage:
        canary(stage)
        (job,) = stage.manager.placement.on("h1")
        assert job.state == STATE_BUSY
        with pytest.raises(UsageError, match=f"{job.name}: it is on its way to a host, or runs there; first: sshjobs cancel"):
            stage.ask({"do": "withdraw", "jobs": [job.name]})
        stage.play.finish()


def test_a_canary_that_is_cancelled_leaves_its_host_in_quarantine_and_is_followed_by_another() -> None:
    with staged("canary") as stage:
        canary(stage)
        (job,) = stage.manager.placement.on("h1")
        stage.launched = stage.news()
        stage.ask({"do": "cancel", "jobs": [job.name]})
        stage.until(lambda: job.state in FINAL_STATES)
        assert job.outcome is Outcome.CANCELLED and stage.manager.hosts.quarantine.is_quarantined("h1")
        stage.more_work()
        stage.look()
        assert stage.on_h1() and not stage.manager.hosts.quarantine.is_quarantined("h1")
        stage.play.finish()


# -- a manager that dies while it carries a request out ---------------------------------------------------------------


def dying_at(stage: Stage, point: str, data: Data) -> None:
    """Make a request of a manager that is killed when its store is at this point."""
    stage.play.traps[point] = 1, lambda machine: stage.play.kill_manager()
    with pytest.raises(Killed):
        stage.ask(data)
    assert not stage.play.alive


@pytest.mark.parametrize("request_", [one for one in REQUESTS if one not in (leave, stop)], ids=lambda function: function.__name__)
def test_what_was_written_of_a_request_holds_though_the_manager_died_before_it_took_effect(
        request_: Callable[[Stage], Data]) -> None:
    with staged(f"{request_.__name__} written") as stage:
        data = prepare(stage, request_, lambda stage: stage.play.advance(TAKES))
        stage.manager.store.commit()
        dying_at(stage, "manager.changed", data)
        stage.see_to_a_manager()
        REQUESTS[request_](stage)
        stage.play.finish()


@pytest.mark.parametrize("request_", [one for one in REQUESTS if one not in (leave, stop)], ids=lambda function: function.__name__)
def test_nothing_is_done_of_a_request_that_was_not_written_when_the_manager_died(
        request_: Callable[[Stage], Data]) -> None:
    with staged(f"{request_.__name__} not written") as stage:
        data = prepare(stage, request_, lambda stage: stage.play.advance(TAKES))
        stage.manager.store.commit()
        before = stored(stage)
        dying_at(stage, "manager.change", data)
        assert stored(stage) == before
        stage.play.finish()


def stored(stage: Stage) -> tuple[Any, ...]:
    """Return what a request may change in the store."""
    with RunReader.open(stage.play.paths) as reader:
        jobs = [(row.name, row.state, row.paused) for row in reader.jobs()]
        hosts = [(row.host.name, row.host.drained, row.host.removed) for row in reader.hosts()]
        return jobs, hosts, reader.summary().options.get("paused")
