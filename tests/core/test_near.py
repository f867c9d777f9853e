"""Jobs that had better run where their files are: they do when that host is free, and wait for nothing."""

from __future__ import annotations

import random
from typing import Any

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule

HOSTS = [Host(name) for name in "abcd"]


def schedule(slots: int = 1, seed: int = 7) -> Schedule:
    made = Schedule(HOSTS, random.Random(seed))
    for host in HOSTS:
        made.hosts.up(host.name, slots)
    return made


def jobs(number: int, **keys: Any) -> list[Job]:
    return list(jobs_from([JobSpec("true", name=f"j{n}", **keys) for n in range(number)], HOSTS))


def all_now(made: Schedule) -> dict[str, str]:
    return {job.name: host for job, host in iter(made.next, None)}


def test_each_job_goes_to_the_host_that_has_its_files_when_all_are_free():
    for seed in range(20):
        made, some = schedule(seed=seed), jobs(4)
        for job, host in zip(some, "dbac", strict=True):
            made.add(job, near=host)
        assert all_now(made) == {"j0": "d", "j1": "b", "j2": "a", "j3": "c"}


def test_a_host_takes_a_job_whose_files_it_has_before_earlier_ones():
    made, some = schedule(), jobs(9)
    for job in some:
        made.add(job, near="b" if job.name == "j6" else None)
    assert all_now(made)["j6"] == "b"


def test_no_job_waits_for_a_host_and_no_host_for_a_job():
    made, some = schedule(), jobs(6)
    for job in some:
        made.add(job, near="a")
    placed = all_now(made)
    assert placed["j0"] == "a" and sorted(placed.values()) == ["a", "b", "c", "d"] and made.waiting == 2
    made.vacate("c", some[[*placed.values()].index("c")])
    assert all_now(made) == {"j4": "c"}


def test_a_job_goes_elsewhere_where_the_host_with_its_files_cannot_be_used_or_is_not_meant():
    made, (away, bound) = schedule(), jobs(2, hosts=["b", "c"])
    made.host_down("b", lasting=False)
    made.add(away, near="b")
    made.add(bound, near="a")
    assert {host for _, host in iter(made.next, None)} == {"c"} and made.waiting == 1
    made.remove_host("a")
    made.vacate("c", away)
    assert all_now(made) == {"j1": "c"}


def test_a_job_is_tried_again_elsewhere_though_its_files_are_there():
    made, (job,) = schedule(), jobs(1)
    job.new_attempt("a", "token")
    made.add(job, near="a")
    assert all_now(made)["j0"] != "a"


def test_a_job_that_is_taken_out_is_forgotten_and_one_that_waits_for_its_time_is_not():
    made, (gone, late, other) = schedule(), jobs(3)
    made.add(gone, near="a")
    made.add(late, 5.0, near="c")
    assert made.remove(gone)
    made.add(other)
    assert [job.name for job, _ in iter(lambda: made.next(1.0), None)] == ["j2"]
    match = made.next(6.0)
    assert match is not None and match[0] is late and (match[1] == "c" or made.hosts.load("c") == 1)
    assert not made._near


def test_what_a_decision_costs_does_not_grow_with_the_jobs_that_have_files_somewhere():
    import sys

    def calls(number: int) -> float:
        made, count = schedule(), 0

        def count_calls(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")
        for job in jobs(number):
            made.add(job, near=random.Random(job.index).choice("abcd"))
        sys.setprofile(count_calls)
        try:
            while (match := made.next()) is not None:
                made.vacate(match[1], match[0])
        finally:
            sys.setprofile(None)
        return count / number
    assert calls(2000) < 1.2 * calls(200)
