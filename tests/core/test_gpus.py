"""GPUs: what jobs say of them, and that no GPU is given to two."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sshjobs.errors import UsageError
from sshjobs.model.gpus import Gpu, GpuNeed, GpuReport, checked_need, checked_selection, chosen, is_of_type, selected
from sshjobs.model.host import Host
from sshjobs.model.needs import Needs, needs_of
from sshjobs.model.spec import Job, JobSpec
from sshjobs.scheduling.gpurack import BELIEVED, GpuRack
from sshjobs.scheduling.schedule import Schedule
from tests.core.passing import launches_before

GIB = 1 << 30
A100, T4 = "NVIDIA A100-SXM4-40GB", "Tesla T4"


def card(number: int, name: str = A100, memory: int = 40, **more: Any) -> Gpu:
    return Gpu(f"GPU-{number}", str(number), name, memory * GIB, **{"used": 0, **more})


def slice_(number: int, memory: int = 5) -> Gpu:
    return Gpu(f"MIG-{number}", f"9:{number}", "MIG 1g.5gb", memory * GIB, 0, whole=False)


def schedule(*gpus: Gpu, host: Host | None = None, slots: int = 8) -> Schedule:
    host = host or Host("a")
    made = Schedule([host], random.Random(7))
    made.host_up(host.name, slots, 64 * GIB, 100 * GIB)
    made.gpus.note(host.name, GpuReport(gpus))
    return made


def job(name: str, number: int = 0, **keys: Any) -> Job:
    return Job(JobSpec("x", name=name, **keys), number)


def launched(made: Schedule) -> dict[str, tuple[str, ...]]:
    """Launch what can be; return what each job was given."""
    return {one.name: made.gpus.of(one, host) for one, host in iter(made.next, None)}


@pytest.mark.parametrize(("value", "held"), [
    (1, {"count": 1}), (256, {"count": 256}), ({"count": 2}, {"count": 2}), ({"memory": "20G"}, {"count": 1, "memory": 20 * GIB}),
    ({"type": "a100"}, {"count": 1, "type": "a100"}), ({"count": 3, "type": 3090}, {"count": 3, "type": "3090"})])
def test_what_may_be_said_of_gpus_is_spelt_out_and_stays_so(value: Any, held: dict[str, Any]) -> None:
    assert checked_need(value) == held == checked_need(held) == JobSpec("x", gpus=value).gpus


@pytest.mark.parametrize(("value", "said"), [
    (-1, "gpus must be a whole number from 1 to 256, got -1"), (0, "got 0; leave the key out for none"), (True, "got True"), (1.5, "got 1.5"),
    ("two", "got 'two'"), (257, "got 257"), (10**400, "got 1000"), ([1], "got [1]"), ({}, "gpus is an empty mapping"),
    ({"count": 0}, "gpus count must be a whole number"), ({"count": None}, "count must be a whole number"), ({"number": 1}, "gpus has no 'number'; there are count"),
    ({"memory": "lots"}, "gpus memory must be a size, got 'lots'"), ({"type": ""}, "gpus type cannot be ''"), ({"type": ["a100"]}, "gpus type cannot be"),
    ({"type": "a;b"}, "gpus type cannot be 'a;b'")])
def test_what_cannot_be_is_refused(value: Any, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        JobSpec("x", name="j", gpus=value)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "wanted", "fits"), [
    (A100, "a100", True), (A100, "A100-SXM4", True), (A100, "nvidia a100", True), (A100, "a10", False), (A100, "100", False), (A100, "40gb", True),
    (T4, "t4", True), (T4, "tesla", True), ("NVIDIA GeForce RTX 3090 Ti", "rtx3090", True), ("NVIDIA GeForce RTX 3090 Ti", "3090 ti", True),
    ("MIG 1g.5gb", "1g.5gb", True), ("MIG 1g.5gb", "mig", True), ("MIG 1g.5gb", "a100", False), ("AMD Instinct MI300X", "mi300x", True),
    ("AMD Instinct MI300X", "mi300", False)])
def test_a_type_is_words_of_the_name(name: str, wanted: str, fits: bool) -> None:
    assert is_of_type(name, wanted) is fits


@pytest.mark.parametrize(("text", "means"), [
    ("0", ()), ("none", ()), ("0,1", ("0", "1")), ("0,", ("0",)), ("gpu0", ("0",)), ("GPU-1", ("GPU-1",)), ("1:0,MIG-2", ("1:0", "MIG-2")),
    ("MIG-GPU-5d/7/0", ("MIG-GPU-5d/7/0",))])
def test_a_host_may_name_the_gpus_that_are_given(text: str, means: tuple[str, ...]) -> None:
    assert checked_selection(text) == means


@pytest.mark.parametrize("text", ["", ",", "2", "00", "-1", "a100", "0,0", "0;1", "GPU-$(id)", "1000", "0..3"])
def test_what_names_no_gpu_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        checked_selection(text)


def test_a_gpu_is_meant_by_its_number_its_uuid_and_the_number_of_its_card() -> None:
    gpus = (card(0), card(1), slice_(0), slice_(1))
    assert [gpu.uuid for gpu in selected(gpus, ("0", "gpu-1"))] == ["GPU-0", "GPU-1"]
    assert [gpu.uuid for gpu in selected(gpus, ("9",))] == ["MIG-0", "MIG-1"]
    assert [gpu.uuid for gpu in selected(gpus, ("9:1",))] == ["MIG-1"]


def test_the_smallest_that_do_are_given_and_those_of_one_name_together() -> None:
    gpus = [card(0), card(1, T4, 15), slice_(0), card(2, T4, 15), card(3, memory=80)]
    for need, uuids in ((GpuNeed(1), ["MIG-0"]), (GpuNeed(2), ["GPU-1", "GPU-2"]), (GpuNeed(1, 16 * GIB), ["GPU-0"]),
                        (GpuNeed(1, 41 * GIB), ["GPU-3"]), (GpuNeed(1, 0, "a100"), ["GPU-0"]), (GpuNeed(3), ["GPU-1", "GPU-2", "GPU-0"])):
        assert [gpu.uuid for gpu in chosen(need, gpus) or ()] == uuids
    assert chosen(GpuNeed(5), gpus) is None, "an instance is not one of several"
    assert chosen(GpuNeed(1, 81 * GIB), gpus) is None


def test_jobs_side_by_side_get_different_gpus_and_the_next_waits() -> None:
    made = schedule(card(0), card(1), card(2))
    jobs = [job(f"j{number}", number, gpus=1) for number in range(4)]
    for one in jobs:
        made.add(one)
    given = launched(made)
    assert len(given) == 3 and {uuid for uuids in given.values() for uuid in uuids} == {"GPU-0", "GPU-1", "GPU-2"}
    made.vacate("a", jobs[1])
    assert launched(made) == {"j3": given["j1"]}


def test_jobs_without_gpus_run_beside_them_and_none_with_is_sent_ahead() -> None:
    made = schedule(card(0), slots=4)
    for number in range(60):
        made.note_duration(JobSpec("x"), "a", 0.001)
        made.add(job(f"g{number}", number, gpus=1))
    assert list(launched(made)) == ["g0"]
    for number in range(60, 64):
        made.add(job(f"c{number}", number))
    assert len(launched(made)) == 3


def test_until_a_host_has_told_what_it_has_jobs_with_gpus_wait_and_are_not_given_up() -> None:
    made = Schedule([Host("a")], random.Random(7))
    made.host_up("a", 4, 64 * GIB, 1)
    one = job("j", gpus=1)
    made.add(one)
    assert made.gpus.wanted and made.next() is None and made.hopeless() == []
    made.gpus.note("a", GpuReport((card(0),)))
    assert launched(made) == {"j": ("GPU-0",)}


@pytest.mark.parametrize(("report", "said"), [
    (GpuReport(), "a, the nearest, has no GPU"), (GpuReport((card(0, T4, 15),)), "a, the nearest, has no such GPU (it has Tesla T4 (15G))"),
    (GpuReport((card(0),)), "a, the nearest, has 1 such GPU (it has NVIDIA A100-SXM4-40GB (40G))"),
    (GpuReport((), "nvidia-smi: Insufficient Permissions"), "a, the nearest, has no such GPU (nvidia-smi: Insufficient Permissions)"),
    (GpuReport((card(0), card(1, trouble="GPU requires reset"))), "a, the nearest, has 1 such GPU (it has NVIDIA A100-SXM4-40GB (40G))")])
def test_a_job_that_needs_what_no_host_has_is_given_up_with_what_the_nearest_has(report: GpuReport, said: str) -> None:
    from sshjobs.model.needs import no_host_has

    made = Schedule([Host("a")], random.Random(7))
    made.host_up("a", 4, 0, 0)
    one = job("j", gpus={"count": 2, "type": "a100"})
    made.add(one)
    for _ in range(BELIEVED if report.trouble else 1):
        assert made.hopeless() == []
        made.gpus.note("a", report)
    assert made.hopeless() == [one]
    host, lacks = made.nearest(one) or pytest.fail("it would fit")
    assert no_host_has(needs_of(one.spec), host, lacks) == f"no host has what it needs (gpus: {{count: 2, type: a100}}): {said}"


@pytest.mark.parametrize(("gpus", "need", "said"), [
    ((), 1, "no host has what it needs (gpus: 1): a, the nearest, has no GPU; "),
    (("0", "1"), 3, "no host has what it needs (gpus: 3): a, the nearest, has 2 such GPUs (gpus= says so); ")])
def test_what_hosts_files_say_is_counted_before_anything_starts(gpus: tuple[str, ...], need: int, said: str) -> None:
    made = Schedule([Host("a", gpus=gpus)])
    with pytest.raises(UsageError) as caught:
        made.check(job("j", gpus=need))
    assert said in str(caught.value)


def test_only_those_that_a_hosts_file_names_are_given() -> None:
    made = schedule(card(0), card(1), card(2), host=Host("a", gpus=("1", "GPU-2")))
    for number in range(3):
        made.add(job(f"j{number}", number, gpus=1))
    assert sorted(launched(made).values()) == [("GPU-1",), ("GPU-2",)]


def test_a_gpu_that_somebody_else_uses_is_given_when_he_has_left() -> None:
    made = schedule(card(0, by="bob, pid 7, since yesterday"), card(1, used=501 << 20), card(2, used=500 << 20))
    jobs = [job(f"j{number}", number, gpus=1) for number in range(3)]
    for one in jobs:
        made.add(one)
    assert launched(made) == {"j0": ("GPU-2",)}
    assert dict(made.gpus.waiting("a", 1)) == {
        jobs[1]: "GPU 0 is in use: bob, pid 7, since yesterday; GPU 1 is in use: 501 MiB of its memory, and no process is shown"}
    assert made.hopeless() == []
    made.gpus.note("a", GpuReport((card(0), card(1, used=501 << 20), card(2))))
    assert launched(made) == {"j1": ("GPU-0",)}


def test_what_is_told_of_a_gpu_changes_nothing_for_the_job_that_has_it() -> None:
    made = schedule(card(0))
    first, second = job("first", 0, gpus=1), job("second", 1, gpus=1)
    made.add(first)
    made.add(second)
    assert launched(made) == {"first": ("GPU-0",)}
    for report in (GpuReport((card(0),)), GpuReport(), GpuReport((), "it hangs"), GpuReport((card(0),))):
        made.gpus.note("a", report)
        assert launched(made) == {} and made.gpus.of(first, "a") == ("GPU-0",)
    made.vacate("a", first)
    assert launched(made) == {"second": ("GPU-0",)}


def test_a_host_whose_tool_fails_at_first_is_not_taken_for_one_without_gpus() -> None:
    made = Schedule([Host("a")], random.Random(7))
    made.host_up("a", 4, 64 * GIB, 1)
    one = job("j", gpus=1)
    made.add(one)
    for _ in range(BELIEVED - 1):
        made.gpus.note("a", GpuReport((), "nvidia-smi did not answer within 5 s"))
        assert made.next() is None and made.hopeless() == []
        assert dict(made.gpus.waiting("a", 9)) == {one: "nvidia-smi did not answer within 5 s"}
    made.gpus.note("a", GpuReport((card(0),)))
    assert launched(made) == {"j": ("GPU-0",)}
    for _ in range(2 * BELIEVED):
        made.gpus.note("a", GpuReport((), "nvidia-smi did not answer within 5 s"))
    made.add(job("k", 2, gpus=1))
    assert made.hopeless() == [], "it has had one"


def test_while_a_host_cannot_find_out_nothing_of_it_is_free() -> None:
    made = schedule(card(0))
    made.gpus.note("a", GpuReport((), "nvidia-smi did not answer within 5 s"))
    one = job("j", gpus=1)
    made.add(one)
    assert launched(made) == {} and made.hopeless() == []
    assert dict(made.gpus.waiting("a", 9)) == {one: "nvidia-smi did not answer within 5 s"}
    made.gpus.note("a", GpuReport((card(0),)))
    assert launched(made) == {"j": ("GPU-0",)}


def test_what_a_job_of_another_run_has_is_given_last_and_waited_for_there() -> None:
    rack = GpuRack(Host("a"))
    held, free = Gpu("GPU-0", "0", "X", 1, 1 << 40, by="bob, pid 7", held=True), Gpu("GPU-1", "1", "X", 2, 0)
    rack.note(GpuReport((held, free)))
    jobs = [Job(JobSpec("x", name=f"j{number}", gpus=1), number) for number in range(2)]
    for job in jobs:
        rack.hold(job, GpuNeed(1))
    assert [rack.of(job) for job in jobs] == [("GPU-1",), ("GPU-0",)]


def test_of_several_gpus_of_a_job_that_failed_those_are_set_aside_that_are_broken() -> None:
    rack = GpuRack(Host("a"))
    gpus = [Gpu(f"GPU-{number}", str(number), "X", 1, 0) for number in range(3)]
    rack.note(GpuReport((gpus[0], gpus[1]._replace(trouble="Xid 79"), gpus[2])))
    rack.set_aside(["GPU-0", "GPU-1"], "it fell off the bus")
    rack.note(GpuReport(tuple(gpus)))
    assert [gpu.uuid for gpu in rack.free] == ["GPU-0", "GPU-2"]
    rack.set_aside(["GPU-0", "GPU-2"], "nobody knows which")
    assert rack.free == ()


def test_a_gpu_on_which_a_job_has_failed_is_set_aside_until_a_person_trusts_the_host() -> None:
    made = schedule(card(0), card(1))
    made.gpus.set_aside("a", ["GPU-0"], "it fell off the bus")
    jobs = [job(f"j{number}", number, gpus=1) for number in range(2)]
    for one in jobs:
        made.add(one)
    assert launched(made) == {"j0": ("GPU-1",)}
    made.gpus.note("a", GpuReport((card(0), card(1))))
    assert launched(made) == {}
    made.gpus.trust("a")
    assert launched(made) == {"j1": ("GPU-0",)}


def test_a_gpu_that_is_not_shown_any_more_is_not_given() -> None:
    made = schedule(card(0), card(1))
    made.gpus.note("a", GpuReport((card(1),)))
    for number in range(2):
        made.add(job(f"j{number}", number, gpus=1))
    assert launched(made) == {"j0": ("GPU-1",)}
    (lack,) = made.hosts["a"].lacks(Needs(gpus=GpuNeed(2)))
    assert lack.has == 1


def test_a_host_is_not_kept_idle_for_a_job_whose_gpus_somebody_else_has() -> None:
    made = schedule(card(0, by="bob"), slots=2)
    made.add(job("gpu", 0, gpus=1))
    for number in range(1, 40):
        made.add(job(f"c{number}", number))
    running = list(iter(made.next, None))
    while running:
        made.vacate("a", running.pop(0)[0])
        running += iter(made.next, None)
        assert made.hosts["a"].kept_for is None
    assert made.waiting == 1, "all others have run"


def test_a_job_for_two_gpus_is_not_kept_waiting_by_jobs_for_one() -> None:
    made = schedule(card(0), card(1), slots=4)
    small = [job(f"s{number}", number, gpus=1) for number in range(60)]
    for one in small:
        made.add(one)
    assert launches_before(made, job("large", 99, gpus=2)) <= 2 * 4 + 4


def test_what_another_manager_gave_a_job_it_keeps_even_before_the_host_has_told() -> None:
    made = Schedule([Host("a")], random.Random(7))
    old = job("old", 0, gpus=1)
    old.new_attempt("a", "t").gpus = ("GPU-1",)
    made.occupy("a", old)
    made.host_up("a", 4, 0, 0)
    made.gpus.note("a", GpuReport((card(0), card(1))))
    for number in (1, 2):
        made.add(job(f"j{number}", number, gpus=1))
    assert launched(made) == {"j1": ("GPU-0",)}
    made.vacate("a", old)
    assert launched(made) == {"j2": ("GPU-1",)}
