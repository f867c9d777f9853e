"""What a job waits for that needs more than a slot. The rest is in tests/web/test_waiting.py, as its page says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshjobs.diagnosis.waiting import Wait, WaitsFor, why_it_waits
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.index import JobIndex
from sshjobs.store.rundir import create_run
from sshjobs.views.wording import of_host
from tests.store.helpers import finish, launch

GIB = 1 << 30
HOSTS = [Host("a", slots=4, counts=(("license", 2),)), Host("b", slots=2, memory=3 * GIB)]


def wait(results: Path, keys: dict[str, Any], *running: tuple[str, dict[str, Any]], ended: int = 0) -> Wait | None:
    """Return what a job waits for.

    :param running: hosts on which jobs with these keys run
    :param ended: how many earlier attempts of it ran out of memory
    """
    made = [Job(JobSpec(["true"], name=f"other-{n}", **other), n) for n, (_, other) in enumerate(running)]
    late = Job(JobSpec(["true"], name="late", **keys), len(made))
    paths = create_run(results, name="r")
    store = RunStore.create(paths, uid="b" * 32, name="r", jobs=[*made, late], hosts=HOSTS, options={}, created=1e9)
    store.take_over(ManagerIdentity.this_process())
    for host in HOSTS:
        store.set_host(host.name, "up", facts={"cores": 8, "memory": 8 * GIB, "disk": 100 * GIB}, since=1e9)
    for job, (where, _) in zip(made, running, strict=True):
        launch(store, job, where)
    for _ in range(ended):
        from sshjobs.model.states import STATE_FREE, Outcome

        launch(store, late, "a")
        finish(store, late, Outcome.OUT_OF_MEMORY)
        late.state, late.outcome, late.exit_status = STATE_FREE, None, None
        store.touch(late)
    store.commit()
    try:
        with RunReader.open(paths) as reader:
            index = JobIndex()
            index.follow(reader)
            row = reader.job("late")
            assert row is not None
            return why_it_waits(row, reader.spec_of(row.number), reader, index)
    finally:
        store.close(None)


@pytest.mark.parametrize(("keys", "running", "what", "words"), [
    ({"needs": {"license": 3}}, [], WaitsFor.NEEDS, "no host has what it needs (license: 3): a, the nearest, has 2 of license"),
    ({"needs": {"license": 1}}, [("a", {"needs": {"license": 2}})], WaitsFor.NEEDS,
     "what it needs (license: 1) is not free: a has no license left"),
    ({"needs": {"license": 1}}, [("a", {"needs": {"license": 1}})], WaitsFor.SLOT, None),
    ({"cpus": 3}, [("a", {"cpus": 2})], WaitsFor.NEEDS, "what it needs (cpus: 3) is not free: a has 2 slots left"),
    ({"cpus": 8}, [], WaitsFor.NEEDS, "no host has what it needs (cpus: 8): a, the nearest, has 4 slots"),
    ({"memory": "4G"}, [("a", {"memory": "6G"})], WaitsFor.NEEDS, "what it needs (memory: 4G) is not free: a has 2G of memory left"),
    ({"memory": "2G"}, [("a", {"memory": "7G"}), ("b", {"memory": "2G"})], WaitsFor.NEEDS,
     "what it needs (memory: 2G) is not free: a has 1G of memory left; b has 1G of memory left"),
    ({"memory": "2G"}, [("a", {"memory": "7G"})], WaitsFor.SLOT, None),
    ({"scratch": "200G"}, [], WaitsFor.NEEDS, None),
    ({"memory": "1G", "hosts": ["b"]}, [("b", {"memory": "1G", "cpus": 2})], WaitsFor.NEEDS,
     "what it needs (memory: 1G) is not free: b has 0 slots left"),
])
def test_a_job_says_what_of_its_needs_is_missing(tmp_path: Path, keys: dict[str, Any], running: list[tuple[str, dict[str, Any]]],
                                                 what: WaitsFor, words: str | None) -> None:
    told = wait(tmp_path, keys, *running)
    assert told is not None
    assert told.what is what, told
    assert words is None or told.words == words


def test_what_a_job_needs_after_it_ran_out_of_memory_is_what_counts(tmp_path: Path) -> None:
    told = wait(tmp_path, {"memory": "4G", "retries": {"out_of_memory": {"times": 3, "memory": "x4"}}}, ended=1)
    assert told is not None and told[:2] == (WaitsFor.NEEDS, "no host has what it needs (memory: 16G): a, the nearest, has 8G of memory")


def test_a_reason_names_its_host_once() -> None:
    assert of_host("gpu1", "gpu1: the login was refused") == "gpu1: the login was refused"
    assert of_host("gpu1", "gpu10 holds all of it") == "gpu1: gpu10 holds all of it"
    assert of_host("no", "no answer in time") == "no: no answer in time"
    assert of_host("gpu1", "gpu1 takes jobs until 18:00:00") == "gpu1 takes jobs until 18:00:00"
    assert of_host("gpu1", "gpu1 waits for a share of it") == "gpu1 waits for a share of it"
