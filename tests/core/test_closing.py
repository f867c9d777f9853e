"""Hosts that close: what is not likely to be over by then goes elsewhere, or waits."""

from __future__ import annotations

import random

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.durations import Durations
from sshjobs.scheduling.schedule import Schedule

A, B = Host("a"), Host("b")
LONG, SHORT = JobSpec(["long"], name="long"), JobSpec(["short"], name="short")


def schedule(*hosts: Host, slots: int = 2) -> Schedule:
    made = Schedule(hosts, random.Random(7))
    for host in hosts:
        made.host_up(host.name, slots)
    return made


def learn(made: Schedule, spec: JobSpec, *seconds: float, host: str = "a") -> None:
    for one in seconds:
        made.note_duration(spec, host, one)


def add(made: Schedule, spec: JobSpec, number: int = 1) -> list[Job]:
    jobs = [Job(spec, name=f"{spec.name}-{n}-{random.random()}") for n in range(number)]
    for job in jobs:
        made.add(job)
    return jobs


def launched(made: Schedule, now: float) -> list[tuple[str, str]]:
    found = []
    while (match := made.next(now)) is not None:
        found.append((match[0].spec.name or "", match[1]))
    return found


@pytest.fixture
def one() -> Schedule:
    made = schedule(A)
    made.closings.set("a", 100.0)
    learn(made, LONG, *[60.0] * 9, 90.0)
    learn(made, SHORT, 5.0)
    return made


def test_nine_of_ten_are_to_be_over_in_time(one: Schedule) -> None:
    add(one, LONG, 2)
    assert launched(one, 39.0) == [("long", "a")] * 2


def test_what_would_not_be_over_waits_and_what_would_goes_first(one: Schedule) -> None:
    add(one, LONG, 2)
    add(one, SHORT, 1)
    assert launched(one, 41.0) == [("short", "a")]
    assert one.waiting == 2 and list(one.closings.late) == ["a"]
    assert launched(one, 99.0) == []
    one.close("a", True)
    one.closings.set("a", None)
    assert launched(one, 200.0) == []
    one.close("a", False)
    assert launched(one, 300.0) == [("long", "a")] and not one.closings.late


def test_it_goes_to_a_host_that_does_not_close(one: Schedule) -> None:
    one.add_host(B)
    one.host_up("b", 2)
    add(one, LONG, 4)
    assert launched(one, 50.0) == [("long", "b")] * 2


def test_of_what_nothing_is_known_is_started_as_long_as_a_host_is_open(one: Schedule) -> None:
    add(one, JobSpec(["new"], name="new"))
    assert launched(one, 99.9) == [("new", "a")]


def test_a_slow_host_takes_as_much_longer() -> None:
    made = schedule(A, B)
    made.durations.keeps_spread = True
    learn(made, SHORT, *[10.0] * 20, host="b")
    learn(made, SHORT, *[40.0] * 20, host="a")
    made.closings.set("a", 100.0)
    made.host_down("b", lasting=False)
    add(made, SHORT)
    assert launched(made, 75.0) == []
    made.closings.set("a", 200.0)
    assert launched(made, 75.0) == [("short", "a")]


def test_shorter_ends_let_a_host_have_jobs_again(one: Schedule) -> None:
    add(one, LONG, 2)
    assert launched(one, 60.0) == []
    learn(one, LONG, *[1.0] * 40)
    assert launched(one, 60.0) == [("long", "a")] * 2


def test_a_closed_host_is_waited_for_and_one_that_is_given_back_is_not() -> None:
    made = schedule(A)
    jobs = add(made, SHORT, 2)
    made.close("a", True)
    assert launched(made, 0.0) == [] and made.hopeless() == [] and not made.hosts.any_usable()
    assert not made.is_wanted("a")
    made.close("a", True, over=True)
    assert made.hopeless() == jobs


def test_a_host_that_closes_is_not_kept_for_what_would_not_be_over() -> None:
    made = schedule(Host("a", slots=2), slots=2)
    large = JobSpec(["large"], name="large", cpus=2)
    made.closings.set("a", 100.0)
    learn(made, large, 90.0)
    add(made, large)
    small = add(made, JobSpec(["small"], name="small", cpus=1), 40)
    ran = 0
    while (match := made.next(50.0)) is not None:
        assert match[0].spec.name == "small"
        made.vacate("a", match[0])
        ran += 1
    assert ran == len(small)


def test_how_long_jobs_may_take_is_kept_of_the_last_few_and_only_where_a_host_closes() -> None:
    known = Durations()
    known.note(SHORT, "a", 5.0)
    assert known.most_of_kind(SHORT.kind) == 5.0 and not known._spread
    assert known.most_of_kind(LONG.kind) is None
    known.keeps_spread = True
    for n in range(1, 101):
        known.note(LONG, "a", float(n))
    assert known.most_of_kind(LONG.kind) == 97.0
