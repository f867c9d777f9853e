"""What is prefetched while another host has a free slot is asked back: the newest half, after a while, once."""

from __future__ import annotations

import random

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.hosts import HORIZON, MAX_PREFETCHED
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.placement import PATIENCE, Placement
from sshjobs.scheduling.schedule import Schedule

A, B = Host("a"), Host("b")


def full(jobs: int, *, hosts: list[str] | None = None) -> tuple[Schedule, Placement, list[Job]]:
    """Return a schedule of which one host has all jobs, one a slot too many for each after the first, at time 0."""
    schedule = Schedule([A, B], random.Random(7))
    placement = Placement(schedule)
    schedule.host_up("a", 1)
    placed = list(jobs_from([JobSpec("true", name=f"j{n}", hosts=hosts or []) for n in range(jobs)], [A, B]))
    for job in placed:
        job.new_attempt("a", f"t-{job.name}")
        schedule.occupy("a", job)
        placement.enter(job, "a", 0.0)
    placed[0].attempts[-1].started = 1.0
    schedule.host_up("b", 1)
    return schedule, placement, placed


def test_the_newer_half_of_what_is_prefetched_is_asked_back_once_the_wait_is_over() -> None:
    for jobs, back in ((2, 1), (3, 1), (4, 2), (5, 2), (6, 3)):
        _, placement, placed = full(jobs)
        assert placement.to_take_back(PATIENCE) == [], "most start sooner than that"
        assert placement.to_take_back(PATIENCE + 0.01) == placed[:-back - 1:-1]
        assert not set(placement.to_take_back(9.0)) & set(placed[-back:]), "each is asked back once"


def test_nothing_is_asked_back_before_there_was_time_to_start() -> None:
    _, placement, _ = full(5)
    assert placement.patience() == PATIENCE / 2 > 0
    assert placement.to_take_back(0.0) == []


def test_what_may_run_nowhere_else_stays() -> None:
    _, placement, _ = full(5, hosts=["a"])
    assert placement.to_take_back(9.0) == []


def test_nobody_would_gain_where_no_slot_is_free() -> None:
    schedule, placement, _ = full(5)
    schedule.host_down("b", lasting=False)
    assert placement.patience() is None and placement.to_take_back(9.0) == []


def test_a_job_that_has_ended_makes_room_and_may_be_asked_back_again() -> None:
    schedule, placement, placed = full(3)
    (back,) = placement.to_take_back(9.0)
    assert placement.unstarted("a") == placed[1:] and placement.on("a") == placed
    placement.leave(back, back.attempts[-1])
    assert placement.on("a") == placed[:2] and schedule.hosts.load("a") == 2
    assert placement.ask_back([back, placed[1]]) == [back, placed[1]] and placement.ask_back([back]) == []
    first = placed[0].attempts[-1]
    first.ended = 3.5
    placement.leave(placed[0], first)
    assert schedule.durations.on("a") == 2.5


def test_as_many_are_prefetched_as_end_within_the_horizon_and_two_round_trips() -> None:
    spec = JobSpec("true")

    def limit(seconds: float, ended: int = 1000, slots: int = 1, round_trip: float = 0.0) -> int:
        schedule = Schedule([A], random.Random(7))
        schedule.host_up("a", slots)
        schedule.hosts.note_round_trip("a", round_trip)
        for _ in range(ended):
            schedule.note_duration(spec, "a", seconds)
        return schedule.hosts.prefetch_limit("a")

    assert limit(0.01, ended=0) == 0, "nobody knows how long jobs take"
    assert [limit(0.01, ended=number) for number in (1, 3, 100)] == [1, 3, 7], "a few short jobs promise little"
    assert [limit(2.01 * HORIZON), limit(2 * HORIZON), limit(HORIZON * 0.99), limit(HORIZON / 9.5)] == [0, 1, 2, 10]
    assert [limit(2.01 * HORIZON, round_trip=1.0), limit(2 * HORIZON + 4.0, round_trip=1.0)] == [
        int((HORIZON + 2.0) / (2.01 * HORIZON)) + 1, 1]
    assert limit(0.0) == MAX_PREFETCHED and limit(0.0, slots=3) == 3 * MAX_PREFETCHED
    assert limit(HORIZON / MAX_PREFETCHED / 1.5) == MAX_PREFETCHED


def test_a_job_goes_back_to_a_host_where_it_has_failed_if_that_is_the_only_one_up() -> None:
    for other_is_up in (False, True):
        schedule = Schedule([A, B], random.Random(7))
        schedule.host_up("a", 1)
        tried, fresh = jobs_from([JobSpec("true", name="tried"), JobSpec("true", name="fresh")], [A, B])
        tried.new_attempt("a", "t-1")
        schedule.add(tried)
        schedule.add(fresh)
        if other_is_up:
            schedule.host_up("b", 1)
            schedule.occupy("b", tried)
        assert schedule.next() == (fresh if other_is_up else tried, "a")


def test_hosts_are_up_until_the_last_has_gone() -> None:
    schedule = Schedule([A, B], random.Random(7))
    assert not schedule.hosts.any_up()
    schedule.host_up("a", 1)
    schedule.host_up("b", 1)
    schedule.host_down("a", lasting=False)
    assert schedule.hosts.any_up() and schedule.hosts.is_up("b") and not schedule.hosts.is_up("a")
    schedule.host_down("b", lasting=True)
    assert not schedule.hosts.any_up()


def test_a_slot_is_free_while_files_are_brought_and_is_counted_once() -> None:
    schedule, placement, placed = full(3)
    assert schedule.hosts.load("a") == 3
    placement.empty(placed[0], "a")
    placement.empty(placed[0], "a")
    assert schedule.hosts.load("a") == 2
    # A host must not fill up with what waits to be brought: no more than it has slots.
    placement.empty(placed[1], "a")
    assert schedule.hosts.load("a") == 2
    for job, left in zip(placed, (2, 1, 0), strict=True):
        placement.leave(job, job.attempts[-1])
        assert schedule.hosts.load("a") == left
    placement.empty(placed[0], "a")
    assert schedule.hosts.load("a") == 0
