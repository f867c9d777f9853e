"""Hosts of which other runs have some, as they tell it."""

from __future__ import annotations

from typing import Any

from sshjobs.model.gpus import Gpu, GpuReport
from sshjobs.model.host import Host
from sshjobs.model.sharing import Part
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.schedule import Schedule

GIB = 1 << 30


def made(*jobs: dict[str, Any]) -> tuple[Schedule, list[Job]]:
    schedule = Schedule([Host("a", memory=8 * GIB, counts=(("license", 1),))])
    schedule.host_up("a", 4, None, None)
    found = [Job(JobSpec("x", name=f"j{number}", **keys), number) for number, keys in enumerate(jobs)]
    for job in found:
        schedule.add(job)
    return schedule, found


def add(schedule: Schedule, *jobs: dict[str, Any]) -> None:
    for number, keys in enumerate(jobs, 1):
        schedule.add(Job(JobSpec("x", name=f"j{number}", **keys), number))


def launched(schedule: Schedule) -> list[str]:
    found = []
    while (match := schedule.next()) is not None:
        found.append(match[0].name)
    return found


def test_while_jobs_wait_for_slots_no_more_are_launched_than_there_are() -> None:
    schedule, _ = made({}, {})
    schedule.hosts.note_shared("a", 1)
    assert launched(schedule) == ["j0"]
    schedule.hosts.note_shared("a", None)
    assert launched(schedule) == ["j1"]


def test_while_jobs_wait_for_something_else_those_are_launched_that_do_not_need_it() -> None:
    schedule, _ = made({"needs": {"license": 1}})
    assert launched(schedule) == ["j0"]
    more: list[dict[str, Any]] = [{"needs": {"license": 1}}, {"memory": "1G"}, {"gpus": 1}, {}, {}, {}]
    add(schedule, *more)
    lacks = {"count.license": Part(0, 1), "memory": Part(0, 0), "gpus": Part(0, 0)}
    schedule.hosts.note_shared("a", 1, 1, lacks)
    assert launched(schedule) == ["j4"]
    schedule.hosts.note_shared("a", 3, 1, lacks)
    assert launched(schedule) == ["j5", "j6"]
    schedule.hosts.note_shared("a", None)
    assert launched(schedule) == []


def test_beside_a_job_that_waits_for_slots_those_are_launched_that_need_fewer_as_many_as_fit() -> None:
    schedule, _ = made({"cpus": 4})
    assert launched(schedule) == ["j0"]
    add(schedule, {"cpus": 3}, {}, {}, {"cpus": 2}, {})
    assert launched(schedule) == []
    schedule.hosts.note_shared("a", 3, 4)
    assert launched(schedule) == ["j1"]
    schedule.hosts.note_shared("a", 2, 7)
    assert launched(schedule) == ["j4"]
    schedule.hosts.note_shared("a", 3, 7)
    assert launched(schedule) == ["j2"]
    schedule.hosts.note_shared("a", 3, 7)
    assert launched(schedule) == [], "what was sent since is counted"


def test_beside_a_job_that_waits_for_memory_or_a_counter_those_are_launched_that_need_less_of_it() -> None:
    schedule, _ = made({"memory": "8G"})
    assert launched(schedule) == ["j0"]
    add(schedule, {"memory": "6G"}, {"memory": "3G"}, {"memory": "2G"}, {"memory": "1G"})
    schedule.hosts.note_shared("a", 4, 1, {"memory": Part(5 * GIB, 8 * GIB)})
    assert launched(schedule) == ["j2", "j3"]


def test_a_job_that_was_passed_over_for_long_is_launched_to_wait_on_a_host_that_others_fill() -> None:
    schedule, _ = made({"cpus": 4})
    # Others never leave more than one slot, so it never fits. The bound is twice the slots that the run is given.
    schedule.hosts.note_shared("a", 1)
    for number in range(2 * 1):
        job = Job(JobSpec("x", name=f"s{number}"), 100 + number)
        schedule.add(job)
        assert launched(schedule) == [job.name]
        schedule.vacate("a", job)
    schedule.add(Job(JobSpec("x", name="next"), 200))
    assert launched(schedule) == ["j0"]
    schedule.hosts.note_shared("a", 1, 4)
    assert launched(schedule) == ["next"], "nothing is kept for it any more"


def test_beside_a_large_job_that_waits_on_a_full_host_one_small_job_waits_for_the_next_slot() -> None:
    schedule, _ = made({"cpus": 4})
    assert launched(schedule) == ["j0"]
    add(schedule, {"cpus": 2}, {}, {}, {"memory": "2G"})
    schedule.hosts.note_shared("a", 0, 4, {"memory": Part(GIB, 0)})
    assert launched(schedule) == ["j2"]
    schedule.hosts.note_shared("a", 0, 5, {"memory": Part(GIB, 0)})
    assert launched(schedule) == []
    schedule.hosts.note_shared("a", 1, 4)
    assert launched(schedule) == [], "it runs"


def test_on_a_full_host_jobs_of_one_slot_do_not_gather() -> None:
    schedule, _ = made({})
    assert launched(schedule) == ["j0"]
    add(schedule, {}, {})
    schedule.hosts.note_shared("a", 0, 1)
    assert launched(schedule) == []


def test_a_job_with_gpus_is_launched_to_wait_only_with_those_that_it_is_to_have() -> None:
    schedule, (first,) = made({"gpus": 1})
    schedule.gpus.note("a", GpuReport((Gpu("G", "0", "A100", 1, 0),)))
    assert launched(schedule) == ["j0"]
    add(schedule, {"cpus": 4, "gpus": 1})
    schedule.hosts.note_shared("a", 2)
    for number in range(20):
        job = Job(JobSpec("x", name=f"s{number}"), 100 + number)
        schedule.add(job)
        if launched(schedule):
            schedule.vacate("a", job)
    schedule.vacate("a", first)
    (match,) = iter(schedule.next, None)
    assert match[0].name == "j1" and schedule.gpus.of(*match) == ("G",)


def test_beside_a_job_that_waits_for_a_gpu_of_others_one_is_launched_on_a_gpu_that_is_free() -> None:
    schedule, _ = made({"gpus": 2})
    card = Gpu("G", "0", "A100", 1, 0)
    others = card._replace(uuid="H", held=True), card._replace(uuid="J", held=True)
    schedule.gpus.note("a", GpuReport((card, card._replace(uuid="I"), *others)))
    assert launched(schedule) == ["j0"]
    schedule.gpus.note("a", GpuReport((card._replace(held=True), card._replace(uuid="I"), card._replace(uuid="K"), *others)))
    add(schedule, {"gpus": 1}, {"gpus": 1})
    schedule.hosts.note_shared("a", 4, 1, {"gpus": Part(0, 0)})
    (match,) = iter(schedule.next, None)
    assert schedule.gpus.of(*match) == ("K",)


def test_the_more_a_run_is_given_the_larger_are_the_jobs_that_are_launched() -> None:
    schedule, _ = made({"cpus": 3}, {"cpus": 2}, {})
    schedule.hosts.note_shared("a", 1)
    assert launched(schedule) == ["j2"]
    schedule.hosts.note_shared("a", None)
    assert launched(schedule) == ["j0"]
