"""Jobs that need more than a slot: none gets more than there is, the largest that fits comes first, and none waits for
ever."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sshjobs.errors import UsageError
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.scheduling.placement import Placement
from sshjobs.scheduling.schedule import Schedule
from tests.core import allocations
from tests.core.passing import launches_before

GIB = 1 << 30


def schedule(*hosts: Host, slots: int = 4, memory: int = 16 * GIB, disk: int = 100 * GIB) -> Schedule:
    made = Schedule(hosts, random.Random(7))
    for host in hosts:
        made.host_up(host.name, host.slots or slots, memory, disk)
    return made


def job(name: str, number: int = 0, **keys: Any) -> Job:
    return Job(JobSpec("x", name=name, **keys), number)


def launched(made: Schedule) -> list[str]:
    return [one.name for one, _ in iter(made.next, None)]


def test_a_job_without_needs_takes_a_slot_and_nothing_is_noted_of_it() -> None:
    assert needs_of(JobSpec("x")) is None and needs_of(JobSpec("x", cpus=1)) is None
    assert needs_of(JobSpec("x", cpus=2, needs={"b": 1, "a": 2})) == Needs(2, 0, 0, (("a", 2), ("b", 1)))


def test_the_largest_that_fits_comes_first() -> None:
    made = schedule(Host("a"))
    for name, cpus in (("one", None), ("two", 2), ("four", 4), ("three", 3)):
        made.add(job(name, cpus=cpus))
    assert launched(made) == ["four"]
    made.vacate("a", next(iter(made.hosts["a"].room._held)))
    assert launched(made) == ["three", "one"], "three and one make four"


@pytest.mark.parametrize(("keys", "fit"), [
    ({"cpus": 2}, 2), ({"memory": 5 * GIB}, 3), ({"scratch": 40 * GIB}, 2), ({"needs": {"license": 1}}, 1),
    ({"memory": 1 << 20}, 4), ({"cpus": 3, "memory": 5 * GIB}, 1)])
def test_no_more_run_than_the_host_has_of_anything(keys: dict[str, Any], fit: int) -> None:
    made = schedule(Host("a", counts=(("license", 1),)))
    jobs = [job(f"j{number}", number, **keys) for number in range(6)]
    for one in jobs:
        made.add(one)
    found = list(iter(made.next, None))
    assert len(found) == fit
    made.vacate("a", found[0][0])
    assert len(launched(made)) == 1, "what one has given back another takes, once"


def test_what_the_user_says_of_a_host_counts_more_than_what_it_has() -> None:
    made = schedule(Host("a", memory=4 * GIB, scratch=4 * GIB))
    for number in range(4):
        made.add(job(f"j{number}", number, memory=2 * GIB))
    assert len(launched(made)) == 2


def test_a_host_that_does_not_tell_its_memory_has_enough_of_it() -> None:
    made = schedule(Host("a"), memory=0, disk=0)
    made.add(job("j", memory=999 * GIB, scratch=999 * GIB))
    assert launched(made) == ["j"]


def test_disk_that_was_promised_is_not_promised_again_while_it_is_not_written() -> None:
    made = schedule(Host("a"), disk=100 * GIB)
    first, second, third = (job(name, number, scratch=60 * GIB) for number, name in enumerate("xyz"))
    made.add(first)
    made.add(second)
    assert launched(made) == ["x"]
    made.hosts.note_disk("a", 90 * GIB)  # It has written a little of it.
    assert launched(made) == []
    made.hosts.note_disk("a", 20 * GIB)  # And most of it by now; somebody else 20 GiB.
    made.add(third)
    made.vacate("a", first)
    assert launched(made) == ["y"]
    made.vacate("a", second)
    made.hosts.note_disk("a", 50 * GIB)
    assert launched(made) == [], "nobody holds any, so what is free is all there is"


def test_a_large_job_waits_no_longer_than_for_twice_as_many_small_ones_as_there_are_slots() -> None:
    made = schedule(Host("a"), Host("b"))
    small = [job(f"s{number}", number) for number in range(100)]
    for one in small:
        made.add(one)
    # Those that were launched until a host was kept, and on the other one while that became free.
    assert launches_before(made, job("large", 100, cpus=4)) <= 2 * 8 + 4


def test_a_small_job_is_not_kept_waiting_by_large_ones_for_ever() -> None:
    made = schedule(Host("a"))
    large = [job(f"l{number}", number, cpus=4) for number in range(50)]
    for one in large:
        made.add(one)
    made.add(job("small", 99))
    names: list[str] = []
    while "small" not in names:
        ((one, host),) = list(iter(made.next, None))[:1]
        names.append(one.name)
        made.vacate(host, one)
    assert len(names) <= 4 + 1


def test_a_job_of_a_higher_priority_comes_first_whatever_it_needs() -> None:
    made = schedule(Host("a"))
    made.add(job("large", 0, cpus=4))
    made.add(job("urgent", 1, priority=1))
    assert launched(made) == ["urgent"]


def test_a_host_that_is_kept_for_a_job_is_free_again_when_the_job_is_cancelled() -> None:
    made = schedule(Host("a"))
    small = [job(f"s{number}", number) for number in range(30)]
    for one in small:
        made.add(one)
    running = list(iter(made.next, None))
    large = job("large", 99, cpus=4)
    made.add(large)
    while made.hosts["a"].kept_for is None:
        made.vacate("a", running.pop(0)[0])
        running += iter(made.next, None)
    made.vacate("a", running.pop(0)[0])
    assert launched(made) == []
    assert made.remove(large)
    assert len(launched(made)) == 1 and made.hosts["a"].kept_for is None


@pytest.mark.parametrize("gone", [
    lambda made: made.host_down("a", lasting=False), lambda made: made.drain("a", True),
    lambda made: made.keep_away("a", True), lambda made: made.set_slots("a", 3)])
def test_a_host_that_cannot_be_had_any_more_is_kept_for_nobody(gone: Any) -> None:
    made = schedule(Host("a"))
    for number in range(30):
        made.add(job(f"s{number}", number))
    running = list(iter(made.next, None))
    made.add(job("large", 99, cpus=4))
    while made.hosts["a"].kept_for is None:
        made.vacate("a", running.pop(0)[0])
        running += iter(made.next, None)
    gone(made)
    assert made.hosts["a"].kept_for is None
    made.add_host(Host("b"))
    made.host_up("b", 4, 0, 0)
    assert launched(made)[:1] == ["large"]


def test_jobs_that_take_no_more_than_their_share_are_sent_ahead_and_others_are_not() -> None:
    made = schedule(Host("a"))
    for number in range(60):
        made.note_duration(JobSpec("x"), "a", 0.001)
        made.add(job(f"j{number}", number, memory=4 * GIB))
    sent = list(iter(made.next, None))
    assert len(sent) > 4, "four at a time fit, whichever of them run"
    heavy = schedule(Host("a"))
    for number in range(60):
        heavy.note_duration(JobSpec("x"), "a", 0.001)
        heavy.add(job(f"j{number}", number, memory=5 * GIB))
        heavy.add(job(f"s{number}", 100 + number))
    assert len(launched(heavy)) == 4, "three of them, and a small one"


def test_what_a_job_needs_grows_with_its_attempts_and_is_given_back_as_it_was_taken() -> None:
    made = schedule(Host("a"))
    one = job("j", memory=4 * GIB, retries={"out_of_memory": {"times": 3, "memory": "x2"}})
    for held in (4, 8, 16):
        made.add(one)
        assert made.next() == (one, "a")
        attempt = one.new_attempt("a", "t")
        assert made.hosts["a"].room.left(0).memory == (16 - held) * GIB
        attempt.outcome = Outcome.OUT_OF_MEMORY
        made.vacate("a", one)
        assert made.hosts["a"].room.left(0).memory == 16 * GIB
    host, (lack,) = made.nearest(one) or pytest.fail("32 GiB would fit")
    assert (host, lack.what, lack.needs, lack.has) == ("a", "memory", 32 * GIB, 16 * GIB)


def test_what_another_manager_has_launched_counts_as_it_was_launched() -> None:
    made = schedule(Host("a"))
    one = job("j", memory=4 * GIB, retries={"out_of_memory": {"times": 3, "memory": "x2"}})
    one.new_attempt("a", "t").outcome = Outcome.OUT_OF_MEMORY
    one.new_attempt("a", "t")
    made.occupy("a", one)
    assert made.hosts["a"].room.left(0).memory == 8 * GIB


def test_a_job_whose_files_are_brought_gives_back_what_it_held_once() -> None:
    made = schedule(Host("a"))
    placement = Placement(made)
    one = job("j", cpus=3, memory=GIB)
    made.add(one)
    assert made.next() == (one, "a")
    attempt = one.new_attempt("a", "t")
    placement.enter(one, "a", 0.0)
    assert made.hosts.load("a") == 3
    placement.empty(one, "a")
    placement.empty(one, "a")
    assert made.hosts.load("a") == 0
    placement.leave(one, attempt)
    assert made.hosts.load("a") == 0 and made.hosts["a"].room.left(0).memory == 16 * GIB


@pytest.mark.parametrize(("keys", "said"), [
    ({"cpus": 5}, "cpus: 5): b, the nearest, has 4 slots"),
    ({"memory": 20 * GIB}, "memory: 20G): b, the nearest, has 8G of memory"),
    ({"scratch": 2 << 40}, "scratch: 2T): b, the nearest, has 1T of free disk"),
    ({"needs": {"license": 1}}, "license: 1): a, the nearest, has no license"),
    ({"needs": {"seat": 3}}, "seat: 3): b, the nearest, has 2 of seat"),
    ({"cpus": 9, "memory": 20 * GIB}, "cpus: 9, memory: 20G): b, the nearest, has 4 slots and 8G of memory"),
])
def test_what_no_host_can_ever_have_is_refused_with_the_host_that_comes_nearest(keys: dict[str, Any], said: str) -> None:
    made = Schedule([Host("a", slots=2, memory=4 * GIB, scratch=GIB),
                     Host("b", slots=4, memory=8 * GIB, scratch=1 << 40, counts=(("seat", 2),))])
    with pytest.raises(UsageError) as caught:
        made.check(job("j", **keys))
    assert str(caught.value) == (f"j: no host has what it needs ({said}; lower its needs, or name a host that has more")
    made.check(job("j", **keys), patient=True)


def test_what_nobody_knows_yet_is_not_refused_and_given_up_once_it_is_known() -> None:
    made = Schedule([Host("a"), Host("b")])
    one = job("j", cpus=8)
    made.check(one)
    made.add(one)
    made.host_up("a", 4)
    assert made.hopeless() == []
    made.host_up("b", 2)
    assert made.hopeless(patient=True) == [] and made.stuck == [one]
    assert made.hopeless(patient=True) == [] and made.stuck == [], "it is said once"
    assert made.hopeless() == [one]


def test_free_disk_that_a_host_has_by_chance_proves_nothing() -> None:
    made = schedule(Host("a"), disk=GIB)
    made.add(job("j", scratch=2 * GIB))
    assert launched(made) == [] and made.hopeless() == []
    made.hosts.note_disk("a", 3 * GIB)
    assert launched(made) == ["j"]


def test_a_job_is_tried_elsewhere_only_where_it_fits() -> None:
    made = schedule(Host("a", slots=4), Host("b", slots=2))
    one = job("j", cpus=3, retries=5, retry_on="elsewhere")
    one.new_attempt("a", "t").outcome = Outcome.FAILED
    assert not made.has_another_host(one)
    made.add(one)
    assert made.next() == (one, "a")


def test_a_job_that_is_to_run_elsewhere_comes_back_when_the_other_host_turns_out_to_be_too_small() -> None:
    made = Schedule([Host("a", slots=4), Host("b")])
    made.host_up("a", 4)
    one = job("j", cpus=3, retries=5, retry_on="elsewhere")
    one.new_attempt("a", "t").outcome = Outcome.FAILED
    made.add(one)
    assert made.next() is None
    made.host_up("b", 2)
    assert made.hopeless() == [] and made.next() == (one, "a")


def test_a_canary_takes_no_more_than_its_host_has() -> None:
    made = schedule(Host("a"))
    first, second = job("first", 0, cpus=3), job("second", 1, cpus=2)
    made.add(first)
    assert made.next() == (first, "a")
    made.keep_away("a", True)
    made.add(second)
    assert made.next_for("a") is None
    made.vacate("a", first)
    assert made.next_for("a") is second


@pytest.mark.parametrize("first", range(0, 3000, 500))
def test_whatever_happens_no_host_has_too_much_and_no_job_waits_for_nothing(first: int) -> None:
    assert allocations.play_some(range(first, first + 500)) == []
