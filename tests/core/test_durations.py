"""What is likely to be long goes first, and slow hosts get nothing at the end: on hosts that run by a clock of ours."""

from __future__ import annotations

import heapq
import random
import tracemalloc

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.durations import Durations
from sshjobs.scheduling.lines import LOOK_AHEAD, MAX_KINDS, Line, Row
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.schedule import Schedule


def repeats(name: str, times: int, **more) -> list[JobSpec]:
    first = JobSpec(argv=[name], name=name, **more)
    return [first.named(f"{name}-{n}", n) for n in range(1, times + 1)]


def what(job: Job) -> str:
    return (job.spec.argv or [""])[0]


def play(specs: list[JobSpec], seconds: dict[str, float], hosts: dict[str, float], *, never: str = "",
         until: float = 1e6) -> tuple[float, list[tuple[float, str, str]]]:
    """Run jobs on hosts of one slot; return when the last ended, and every start as (time, job, host).

    :param seconds: of each kind of job, by what it runs
    :param hosts: by name, how many times as long everything takes there
    :param never: a job that does not end
    """
    made = Schedule(list(map(Host, hosts)), random.Random(7))
    for job in jobs_from(specs, list(map(Host, hosts))):
        made.add(job)
    for host in hosts:
        made.host_up(host, 1)
    now, number = 0.0, 0
    running: list[tuple[float, int, Job, str]] = []
    starts: list[tuple[float, str, str]] = []
    while now < until:
        while (match := made.next(now)) is not None:
            job, host = match
            starts.append((now, job.name, host))
            # What a host holds beyond its slot begins when that is free.
            begins = max([now, *(end for end, _, _, where in running if where == host)])
            takes = seconds[what(job)] * hosts[host] if job.name != never else 1e9
            heapq.heappush(running, (begins + takes, number, job, host))
            number += 1
        if not running:
            break
        # As the manager does, the schedule is asked once a second at least.
        if running[0][0] > now + 1.0:
            now += 1.0
            continue
        now, _, job, host = heapq.heappop(running)
        made.note_duration(job.spec, host, seconds[what(job)] * hosts[host])
        made.vacate(host, job)
    assert until < 1e6 or not made.waiting
    return now, starts


@pytest.mark.parametrize("order", [("short", "long"), ("long", "short")])
def test_mixed_jobs_of_a_second_and_a_minute_end_close_to_the_bound(order):
    times = {"short": 200, "long": 10}
    specs = [spec for name in order for spec in repeats(name, times[name])]
    end, _ = play(specs, {"short": 1.0, "long": 60.0}, dict.fromkeys(("a", "b", "c", "d"), 1.0))
    assert end <= 1.05 * (200 * 1.0 + 10 * 60.0) / 4


def test_the_longest_known_goes_first():
    specs = [*repeats("one", 3), *repeats("nine", 3), *repeats("five", 3)]
    _, starts = play(specs, {"one": 1.0, "nine": 9.0, "five": 5.0}, {"a": 1.0})
    assert [job for _, job, _ in starts] == [
        "one-1", "nine-1", "five-1", "nine-2", "nine-3", "five-2", "five-3", "one-2", "one-3"]


def test_jobs_of_which_nothing_is_known_keep_their_order():
    specs = [JobSpec(argv=["x"], name=f"x{n}") for n in range(MAX_KINDS + 20)]
    _, starts = play(specs, {"x": 1.0}, {"a": 1.0})
    assert [job for _, job, _ in starts] == [spec.name for spec in specs]


def test_a_host_ten_times_as_slow_does_not_get_the_last_jobs():
    end, starts = play(repeats("x", 100), {"x": 1.0}, {"a": 1.0, "b": 1.0, "slow": 10.0})
    assert end <= 1.1 * 100 / 2.1
    assert max(at for at, _, host in starts if host == "slow") <= end - 10.0
    assert sum(host == "slow" for _, _, host in starts) >= 3


def test_a_slow_host_gets_what_may_run_nowhere_else():
    specs = [*repeats("x", 20), *repeats("own", 2, hosts=["slow"])]
    end, starts = play(specs, {"x": 1.0, "own": 1.0}, {"a": 1.0, "b": 1.0, "slow": 10.0})
    assert {job for _, job, host in starts if host == "slow"} >= {"own-1", "own-2"}
    assert end <= 40.0


def test_a_slow_host_gets_at_once_what_no_faster_one_has_room_for():
    hosts = [Host("fast", memory=1 << 30), Host("slow", memory=16 << 30)]
    small, big = jobs_from([JobSpec(argv=["x"], name="small", memory=1 << 29), JobSpec(argv=["y"], name="big", memory=8 << 30)], hosts)
    made = Schedule(hosts, random.Random(7))
    for host, seconds in (("fast", 1.0), ("slow", 10.0)):
        made.host_up(host, 1)
        for _ in range(20):
            made.durations.note(small.spec, host, seconds)
    made.durations.note(big.spec, "slow", 10.0)
    made.add(small)
    assert made.next(0.0) == (small, "fast"), "it waits for the faster one"
    made.add(big)
    assert made.next(0.0) == (big, "slow")


def test_no_job_waits_for_ever_for_a_faster_host():
    specs = [*repeats("x", 30), *repeats("last", 1)]
    _, starts = play(specs, {"x": 1.0, "last": 1.0}, {"a": 1.0, "slow": 10.0}, never="x-20", until=200.0)
    assert len(starts) == 31


def test_a_row_keeps_its_order_whatever_comes_and_goes():
    rng, row, known = random.Random(3), Row(), dict[Job, int]()
    jobs = [Job(JobSpec(argv=["x"]), n) for n in range(400)]
    for place in range(20_000):
        job = rng.choice(jobs)
        if job in known:
            # Some go while nothing before them does.
            job = next(iter(known)) if rng.random() < 0.3 else job
            del known[job]
            assert row.discard(job)
        else:
            assert not row.discard(job)
            known[job] = place
            row.add(job, place)
        assert len(row) == len(known)
        if known:
            assert row.first() == next(iter(known.values()))
        if place % 100 == 0:
            assert list(row) == list(known) and dict(row.items()) == known


def test_a_row_holds_no_memory_for_jobs_that_have_gone():
    row, jobs = Row(), [Job(JobSpec(argv=["x"]), n) for n in range(100_000)]
    tracemalloc.start()
    try:
        for place, job in enumerate(jobs):
            row.add(job, place)
        full = tracemalloc.get_traced_memory()[0]
        for job in jobs[:-1]:
            row.discard(job)
        assert tracemalloc.get_traced_memory()[0] < full / 50
        # One that waits on and on, while others come and go behind it.
        for place in range(100_000, 200_000):
            row.add(jobs[0], place)
            row.discard(jobs[0])
        assert tracemalloc.get_traced_memory()[0] < full / 50
    finally:
        tracemalloc.stop()
    assert list(row) == jobs[-1:]


def test_every_job_is_taken_once_and_can_be_taken_out():
    hosts = [Host("a")]
    made = Schedule(hosts, random.Random(7))
    made.host_up("a", 1000)
    jobs = list(jobs_from([JobSpec(argv=["x"], name=f"x{n}") for n in range(3 * MAX_KINDS)], hosts))
    for job in jobs:
        made.add(job)
    assert [made.remove(job) for job in jobs[::2]] == [True] * len(jobs[::2])
    assert not made.remove(jobs[0])
    taken = []
    while (match := made.next()) is not None:
        taken.append(match[0])
    assert taken == jobs[1::2] and made.waiting == 0


def test_a_fast_host_makes_no_job_look_longer_and_a_slow_one_says_little() -> None:
    durations, spec = Durations(), JobSpec(argv=["x"])
    kind = spec.kind
    assert (durations.of_kind(kind), durations.on("a"), durations.ended("a"), durations.slowness("a")) == (None, None, 0, 1.0)
    durations.note(spec, "a", 10.0)
    assert (durations.of_kind(kind), durations.on("a"), durations.ended("a"), durations.slowness("a")) == (10.0, 10.0, 1, 1.0)
    # A fifth of the time: the mean goes a fifth of the way there.
    durations.note(spec, "fast", 2.0)
    assert durations.of_kind(kind) == pytest.approx(8.4) and durations.slowness("fast") == pytest.approx(0.2)
    durations.note(spec, "slow", 84.0)
    assert durations.of_kind(kind) == pytest.approx(8.4) and durations.slowness("slow") == pytest.approx(10.0)
    durations.note(spec, "slow", 8.4)
    assert durations.on("slow") == pytest.approx(68.88) and durations.slowness("slow") == pytest.approx(8.2)
    durations.forget_host("slow")
    assert (durations.on("slow"), durations.ended("slow"), durations.slowness("slow")) == (None, 0, 1.0)


def test_jobs_of_more_kinds_than_are_told_apart_keep_their_order_among_themselves() -> None:
    line = Line({"a"}, Durations())
    specs = [JobSpec(argv=[f"kind {n}"], name=f"j{n}") for n in range(MAX_KINDS + 3)]
    waiting = list(jobs_from(specs, [Host("a")]))
    for number, job in enumerate(waiting):
        line.add(job, number)
    assert len(line._rows) == MAX_KINDS + 1, "the last is for all other kinds"
    assert [line.take("a", spare=lambda: False) for _ in waiting] == waiting and not line
    line.add(waiting[0], 1)
    assert line.remove(waiting[0]) and not line.remove(waiting[0]) and not line


def test_the_job_that_has_just_been_on_a_host_is_spared_it_only_for_one_of_the_next() -> None:
    for ahead, spared in ((LOOK_AHEAD - 1, True), (LOOK_AHEAD, False)):
        line = Line({"a", "b"}, Durations())
        waiting = list(jobs_from(repeats("x", LOOK_AHEAD + 4), [Host("a")]))
        for number, job in enumerate(waiting):
            line.add(job, number)
            if number < ahead:
                job.new_attempt("a", f"t{number}")
        assert line.take("a", spare=lambda: True) is (waiting[ahead] if spared else waiting[0])
        assert line.take("b", spare=lambda: True) is waiting[0 if spared else 1]
