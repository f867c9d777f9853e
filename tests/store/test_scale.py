"""Many jobs: what they cost on the disk and in numbers of things done. Times are only reported."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sshjobs.model.spec import Job, JobSpec
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.rundir import create_run
from tests.store.helpers import CREATED, UID, finish, launch

NUMBER = 100_000
BATCH = 500


def test_a_hundred_thousand_repeats(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    spec = JobSpec(["./simulate --seed $SSHJOBS_INDEX"], name="sim")
    paths = create_run(tmp_path)
    start = time.process_time()
    stream = (Job(spec.named(f"sim-{n + 1}", n + 1), n) for n in range(NUMBER))
    store = RunStore.create(paths, uid=UID, name=paths.name, jobs=stream, hosts=[], options={}, created=CREATED)
    created = time.process_time() - start
    store.take_over(ManagerIdentity.this_process())
    with RunReader.open(paths) as reader:
        start = time.process_time()
        jobs = reader.load_unfinished()
        loaded = time.process_time() - start
        assert len(jobs) == NUMBER
        start = time.process_time()
        some = jobs[: NUMBER // 5]
        for first in range(0, len(some), BATCH):
            for job in some[first : first + BATCH]:
                launch(store, job)
            store.commit()
            for job in some[first : first + BATCH]:
                finish(store, job)
            store.commit()
        worked = time.process_time() - start
        start = time.perf_counter()
        assert reader.summary().counts["done"] == len(some)
        summed = time.perf_counter() - start
        assert len(reader.load_unfinished()) == NUMBER - len(some)
    store.close(until=CREATED)
    size = paths.store.stat().st_size / NUMBER
    assert size < 1024 / 2
    for name, value in {
        "create, microseconds a job": created / NUMBER * 1e6, "load, microseconds a job": loaded / NUMBER * 1e6,
        "launch and end, microseconds a job": worked / len(some) * 1e6, "summary, milliseconds": summed * 1e3,
        "bytes a job": size,
    }.items():
        record_property(name, round(value, 3))
        print(f"{name}: {value:.3f}")
