"""The writer is killed with -9 at any moment: what it was told is committed is there, and only whole commits."""

from __future__ import annotations

import os
import random
import shutil
import time
from itertools import count
from pathlib import Path

import pytest

from sshjobs.model.spec import Job
from sshjobs.model.states import STATE_FREE, STATE_UNKNOWN, Outcome
from sshjobs.store import ManagerIdentity, RunReader, RunStore
from sshjobs.store.rundir import RunPaths
from tests.lab.waiting import wait_until
from tests.store.helpers import contradictions, finish, in_child, kill, launch, make_jobs, make_store

#: Jobs of one group change together, in one commit; so in every store that can be seen they are alike.
GROUP = 8
GROUPS = 12


def write_for_ever(paths: RunPaths, jobs: list[Job], seed: int, acknowledge: int) -> None:
    """Move groups of jobs about, at random; a byte tells the parent of each commit that returned."""
    store = RunStore.open(paths, network_disk=None if paths.store.with_name("run.db-wal").exists() else True)
    store.take_over(ManagerIdentity.this_process(), is_alive=lambda manager: False)
    rng = random.Random(seed)
    for number in count(1):
        group = rng.randrange(GROUPS)
        for job in jobs[group * GROUP : (group + 1) * GROUP]:
            job.reason = str(number)
            if job.state == STATE_FREE:
                launch(store, job, rng.choice("ab"))
            elif rng.random() < 0.5 and job.attempts[-1].n < 3:
                finish(store, job, Outcome.LOST)
                job.state, job.outcome, job.exit_status = STATE_FREE, None, None
            else:
                job.state = job.attempts[-1].state = STATE_UNKNOWN
                store.touch(job)
                store.touch_attempt(job, job.attempts[-1])
        store.commit()
        os.write(acknowledge, b"x")


def alike(paths: RunPaths) -> None:
    """Check that every group was changed as a whole, by the same commit."""
    with RunReader.open(paths) as reader, reader.snapshot():
        reasons = [job.reason for job in reader.jobs()]
        assert sum(reader.summary().counts.values()) == GROUP * GROUPS
    for start in range(0, len(reasons), GROUP):
        assert len(set(reasons[start : start + GROUP])) == 1, reasons


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("network_disk", [False, True], ids=["local disk", "network disk"])
def test_after_kill_9_only_whole_commits_are_there_and_every_acknowledged_one(
        tmp_path: Path, seed: int, network_disk: bool) -> None:
    store = make_store(tmp_path, make_jobs(GROUP * GROUPS), network_disk=network_disk)
    paths = store.paths
    rng = random.Random(seed)
    commits = 1
    if network_disk:
        store.close()
    for life in range(3):
        with RunReader.open(paths) as reader:
            jobs = reader.load_unfinished()
        assert len(jobs) == GROUP * GROUPS
        read_end, write_end = os.pipe()
        pid = in_child(lambda jobs=jobs, life=life, end=write_end:  # type: ignore[misc]
                       write_for_ever(paths, jobs, seed * 10 + life, end))
        os.close(write_end)
        acknowledged = sum(len(os.read(read_end, 1)) for _ in range(rng.randrange(1, 25)))
        busy_for(rng.random() * 0.004)
        kill(pid)
        while data := os.read(read_end, 4096):
            acknowledged += len(data)
        os.close(read_end)
        alike(paths)
        assert contradictions(paths) == []
        with RunReader.open(paths) as reader:
            # One more for taking the run over; and the last one may have been durable before it could say so.
            now = reader.summary().commit
        assert commits + 1 + acknowledged <= now <= commits + 2 + acknowledged
        commits = now
    if not network_disk:
        store.close()


def busy_for(seconds: float) -> None:
    """Let the writer get to some point within a commit; which one is left to chance, and does not matter."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def test_a_reader_sees_only_whole_commits_while_they_are_made(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_jobs(GROUP * GROUPS))
    paths = store.paths
    read_end, write_end = os.pipe()
    pid = in_child(lambda: write_for_ever(paths, make_jobs(GROUP * GROUPS), 1, write_end))
    try:
        def many() -> bool:
            alike(paths)
            with RunReader.open(paths) as reader:
                return reader.summary().commit > 60

        wait_until(many, 20.0)
    finally:
        kill(pid)
        os.close(read_end)
        os.close(write_end)
        store.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_log_that_was_torn_by_a_power_cut_loses_no_half_of_a_commit(tmp_path: Path, seed: int) -> None:
    """Whatever part of the log reached the disk: the store is that of some commit."""
    store = make_store(tmp_path / "results", make_jobs(GROUP * GROUPS))
    paths = store.paths
    read_end, write_end = os.pipe()
    pid = in_child(lambda: write_for_ever(paths, make_jobs(GROUP * GROUPS), seed, write_end))
    os.read(read_end, 1)
    busy_for(0.02)
    kill(pid)
    os.close(read_end)
    os.close(write_end)
    log = paths.store.with_name("run.db-wal").read_bytes()
    rng = random.Random(seed)
    for cut in [0, len(log), *(rng.randrange(len(log)) for _ in range(10))]:
        copy = RunPaths(tmp_path, f"copy-{cut}")
        copy.root.mkdir()
        shutil.copy(paths.store, copy.store)
        copy.store.with_name("run.db-wal").write_bytes(log[:cut])
        alike(copy)
        assert contradictions(copy) == []
    store.close()
