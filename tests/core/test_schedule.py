"""Who runs where, who is tried again, and who waits."""

from __future__ import annotations

import random

import pytest

from sshjobs.errors import HostError, UsageError
from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import Outcome
from sshjobs.scheduling.hostwatch import HostWatch
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.retries import retry_wanted
from sshjobs.scheduling.schedule import Schedule


def schedule(*hosts: Host, slots: int = 2) -> Schedule:
    made = Schedule(hosts, random.Random(7))
    for host in hosts:
        made.host_up(host.name, slots)
    return made


def jobs(hosts, *specs: JobSpec):
    return list(jobs_from(specs, hosts))


A, B, C = Host("a", tags=("gpu",)), Host("b1"), Host("b2")


def test_no_host_gets_more_than_its_slots():
    made = schedule(A, B, slots=2)
    for job in jobs([A, B], *[JobSpec("true", name=f"j{n}") for n in range(9)]):
        made.add(job)
    taken = []
    while (match := made.next()) is not None:
        taken.append(match)
    assert sorted(host for _, host in taken) == ["a", "a", "b1", "b1"]
    assert [job.name for job, _ in taken] == ["j0", "j1", "j2", "j3"]
    made.vacate("b1", next(job for job, host in taken if host == "b1"))
    job, host = made.next() or pytest.fail("nothing to launch")
    assert (job.name, host) == ("j4", "b1")


def test_a_job_waits_for_a_host_that_it_may_run_on():
    made = schedule(A, B, C, slots=1)
    specs = [JobSpec("true", name="gpu", hosts=["gpu"]), JobSpec("true", name="glob", hosts=["b*"]),
             JobSpec("true", name="gpu2", hosts=["gpu"]), JobSpec("true", name="any")]
    gpu, *others = jobs([A, B, C], *specs)
    for job in (gpu, *others):
        made.add(job)
    placed = {}
    while (match := made.next()) is not None:
        placed[match[0].name] = match[1]
    assert placed["gpu"] == "a"
    assert placed["glob"].startswith("b")
    assert placed["any"].startswith("b")
    assert made.waiting == 1
    made.vacate("a", gpu)
    job, host = made.next() or pytest.fail("nothing to launch")
    assert (job.name, host) == ("gpu2", "a")


def test_a_host_that_ran_dry_takes_jobs_that_come_later():
    made = schedule(A)
    assert made.next() is None
    (first,) = jobs([A], JobSpec("true", name="x"))
    made.add(first)
    assert made.next() == (first, "a")
    made.vacate("a", first)
    assert made.next() is None
    made.add(first)
    assert made.next() == (first, "a")


def test_hosts_that_match_nothing_are_an_error_that_names_the_hosts():
    with pytest.raises(UsageError, match="no host matches gppu; the hosts are a, b1"):
        schedule(A, B).check(jobs([A, B], JobSpec("true", hosts=["gppu"]))[0])


def test_a_job_whose_hosts_have_left_is_hopeless_and_harms_no_other():
    made = schedule(A, B)
    made.remove_host("a")
    bound, free = jobs([A, B], JobSpec("true", name="bound", hosts=["a"]), JobSpec("true", name="free"))
    made.add(bound)
    made.add(free)
    assert made.hopeless() == [bound]
    assert made.next() == (free, "b1")
    assert made.eligible(bound.spec) == frozenset()


def test_per_host_is_one_job_on_every_host_that_matches():
    made = jobs([A, B, C], JobSpec("true", name="up", per_host=True, hosts=["b*"]))
    assert [(job.name, job.only_host) for job in made] == [("up@b1", "b1"), ("up@b2", "b2")]


def test_equal_names_are_told_apart():
    assert [job.name for job in jobs([A], *[JobSpec("true", name="x")] * 3)] == ["x", "x-2", "x-3"]


def test_a_job_is_hopeless_when_none_of_its_hosts_can_be_used():
    made = schedule(A, B)
    bound, free = jobs([A, B], JobSpec("true", name="bound", hosts=["a"]), JobSpec("true", name="free"))
    made.add(bound)
    made.add(free)
    made.host_down("a", lasting=True)
    assert made.hopeless() == [bound]
    assert made.next() == (free, "b1")


def test_a_job_is_not_launched_on_a_host_that_is_away():
    made = schedule(A)
    (job,) = jobs([A], JobSpec("true"))
    made.add(job)
    made.host_down("a", lasting=False)
    assert made.next() is None
    assert made.hopeless() == []
    made.host_up("a", 1)
    assert made.next() == (job, "a")


def test_a_retry_goes_to_another_host_where_there_is_one():
    made = schedule(A, B, slots=1)
    first, second = jobs([A, B], JobSpec("true", name="first"), JobSpec("true", name="second"))
    first.new_attempt("a", "token")
    made.occupy("b1", first)
    made.add(first)
    made.add(second)
    assert made.next() == (second, "a")


def all_now(made: Schedule) -> list[str]:
    return [job.name for job, _ in iter(made.next, None)]


def test_jobs_of_a_higher_priority_come_first_also_those_that_come_later():
    made = schedule(A, slots=9)
    for job in jobs([A], JobSpec("true", name="low", priority=-1), JobSpec("true", name="usual", hosts=["a"]),
                    JobSpec("true", name="high", priority=7, hosts=["gpu"]), JobSpec("true", name="usual too")):
        made.add(job)
    assert all_now(made) == ["high", "usual", "usual too", "low"]


def test_no_more_jobs_of_an_entry_run_at_a_time_than_may():
    made = schedule(A, B, slots=9)
    few = Builder().AddJob("true", name="few", repeat=5, max_parallel=2).AddJob("true", name="any", repeat=2).MakeJobSpecs()
    for job in jobs([A, B], *few):
        made.add(job)
    taken = list(iter(made.next, None))
    assert [job.name for job, _ in taken] == ["few-1", "few-2", "any-1", "any-2"]
    assert made.waiting == 3
    for job, host in taken[2:]:
        made.vacate(host, job)
    assert made.next() is None
    job, host = taken[0]
    made.vacate(host, job)
    assert all_now(made) == ["few-3"]


def test_hosts_that_ran_dry_go_on_with_an_entry_as_soon_as_one_of_its_jobs_has_ended():
    made = schedule(A, B, slots=1)
    few = [JobSpec("true", name="few", per_host=True, max_parallel=1)]
    for job in jobs([A, B], *few):
        made.add(job)
    ((first, host),) = iter(made.next, None)
    made.vacate(host, first)
    ((second, other),) = iter(made.next, None)
    assert {first.name, second.name} == {"few@a", "few@b1"} and {host, other} == {"a", "b1"}


def test_a_job_of_a_limited_entry_that_is_taken_out_of_its_line_or_back_leaves_room_for_another():
    made = schedule(A, slots=9)
    one, two, three = jobs([A], *Builder().AddJob("true", name="x", repeat=3, max_parallel=1).MakeJobSpecs())
    for job in (one, two, three):
        made.add(job)
    assert all_now(made) == ["x-1"]
    assert made.remove(two)
    made.vacate("a", one)
    made.add(one)
    assert all_now(made) == ["x-3"] or all_now(made) == ["x-1"]
    assert made.waiting == 1


def test_a_job_that_an_earlier_manager_launched_counts_for_its_entry():
    made = schedule(A, slots=9)
    one, two = jobs([A], *Builder().AddJob("true", name="x", repeat=2, max_parallel=1).MakeJobSpecs())
    one.new_attempt("a", "token")
    made.occupy("a", one)
    made.add(two)
    assert made.next() is None
    made.vacate("a", one)
    assert made.next() == (two, "a")


def test_jobs_that_wait_for_others_of_their_entry_keep_no_prefetched_job_from_an_idle_host():
    made = schedule(A, B, slots=1)
    limited = jobs([A, B], *Builder().AddJob("true", name="x", repeat=3, max_parallel=1, hosts=["a"]).MakeJobSpecs())
    made.occupy("a", limited[0])
    made.add(limited[1])
    made.occupy("a", jobs([A, B], JobSpec("true"))[0])
    assert made.overfull() == "a"


@pytest.mark.parametrize(("spec", "outcomes", "wanted"), [
    (JobSpec("true"), ["failed"], False),
    (JobSpec("true", retries=1), ["failed"], True),
    (JobSpec("true", retries=1), ["failed", "failed"], False),
    (JobSpec("true", retries=1), ["lost", "failed"], True),
    (JobSpec("true"), ["lost"], True),
    (JobSpec("true"), ["lost"] * 3, True),
    (JobSpec("true"), ["lost"] * 4, False),
    (JobSpec("true", host_retries=0), ["lost"], False),
    (JobSpec("true", once=True), ["lost"], False),
    (JobSpec("true", once=True, retries=5), ["failed"], False),
    (JobSpec("true", once=True), ["never_started"], True),
    (JobSpec("true", retries=5), ["cancelled"], False),
    (JobSpec("true", retries=5), ["succeeded"], False),
])
def test_what_is_tried_again(spec, outcomes, wanted):
    (job,) = jobs([A], spec)
    for n, outcome in enumerate(outcomes):
        job.new_attempt("a", str(n)).outcome = Outcome(outcome)
    assert retry_wanted(job, Outcome(outcomes[-1])) is wanted


def test_a_job_that_comes_after_a_host_had_nothing_is_launched_at_once():
    made = schedule(A, B, slots=1)
    assert made.next() is None
    (one, two, three) = jobs([A, B], JobSpec("true", name="x"), JobSpec("true", name="y", hosts=["b1"]), JobSpec("true", name="z"))
    made.add(two)
    assert made.next() == (two, "b1")
    made.add(one)
    assert made.next() == (one, "a")
    made.vacate("a", one)
    (four,) = jobs([A, B], JobSpec("true", name="w", hosts=["b1"]))
    made.add(four)
    assert made.next() is None, "what waits may not run on the host that is free"
    made.add(three)
    assert made.next() == (three, "a") and made.waiting == 1


def test_hosts_are_sated_with_more_than_half_of_what_may_be_prefetched():
    made = schedule(A, slots=2)
    assert not made.hosts.is_sated()
    for _ in range(100):
        made.note_duration(JobSpec("true"), "a", 0.0065)
    limit = made.hosts.prefetch_limit("a")
    assert limit == 2 * 10
    (job,) = jobs([A], JobSpec("true"))
    for load in range(1, 30):
        made.occupy("a", job)
        assert made.hosts.is_sated() is (load > 2 + 10)
    made.host_down("a", lasting=False)
    assert not made.hosts.is_sated(), "none is there"


def test_a_host_that_is_added_again_gets_as_many_tries_as_one_that_is_new():
    watch, away = HostWatch(["h"]), HostError("timeout", "h", "nothing came for a while")
    for _ in range(2):
        assert [watch.down("h", away, 1.0) for _ in range(4)] == [False, False, True, True]
        assert not watch.usable("h")
        watch.add("h")
        assert watch.usable("h")
    watch.know(["h"])
    assert [watch.down("h", away, 1.0) for _ in range(4)] == [False] * 4, "it was reached before"
