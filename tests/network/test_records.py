"""Outputs of earlier attempts are out of the way of the next, whatever dies in between."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sshjobs.errors import LocalError, SshjobsError
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome, state_for
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.session.records import Records
from sshjobs.store.rundir import RunPaths
from tests.hints import tries

STREAMS = ("stdout", "stderr")


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """Of a run whose job ``a`` has an attempt that failed."""
    paths = RunPaths(tmp_path, "run")
    paths.job("a").mkdir(parents=True)
    for name in STREAMS:
        (paths.job("a") / name).write_text(f"{name} of 1")
    return paths


def job_with(attempts: int) -> Job:
    job = Job(JobSpec(argv=["x"], name="a"), 0)
    for number in range(attempts):
        attempt = job.new_attempt("h", f"{number:032x}")
        if number < attempts - 1:
            attempt.state, attempt.outcome, attempt.released = state_for(Outcome.FAILED), Outcome.FAILED, True
    return job


def read(directory: Path) -> list[str | None]:
    return [(directory / name).read_text() if (directory / name).exists() else None for name in STREAMS]


OF_1 = ["stdout of 1", "stderr of 1"]


def test_an_output_stays_where_it_is_until_the_next_attempt_may_leave(paths: RunPaths) -> None:
    job, records = job_with(2), Records(OutputFiles())
    records.launched(job, "h", job.attempts[-1], paths)
    assert read(paths.job("a")) == OF_1
    records.make_way()
    assert (read(paths.job("a")), read(paths.attempt("a", 1))) == ([None, None], OF_1)


def test_what_a_manager_that_died_had_no_time_to_put_aside_the_next_one_does(paths: RunPaths) -> None:
    ((host, attempt),) = Records(OutputFiles()).adopt(job_with(2), paths)
    assert (host, attempt.uid, attempt.have) == ("h", "1.2", [0, 0])
    assert read(paths.attempt("a", 1)) == OF_1


def test_what_a_loss_of_power_undid_goes_to_the_attempt_that_it_is_of(paths: RunPaths) -> None:
    # Two attempts have followed since the last sync; of all that was moved and made for them nothing is left.
    list(Records(OutputFiles()).adopt(job_with(3), paths))
    assert (read(paths.attempt("a", 1)), read(paths.attempt("a", 2))) == (OF_1, ["", ""])
    assert read(paths.job("a")) == [None, None]


@tries("make room there, then resume once more")
def test_putting_aside_is_taken_up_where_it_broke_off(paths: RunPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    job, records, rename = job_with(2), Records(OutputFiles()), os.rename
    records.launched(job, "h", job.attempts[-1], paths)
    moved: list[str] = []

    def once(old: str, new: str, **where: int) -> None:
        if moved:
            raise OSError(errno.ENOSPC, "no space")
        moved.append(new)
        rename(old, new, **where)
    monkeypatch.setattr(os, "rename", once)
    with pytest.raises(LocalError, match="the disk of this machine is full"):
        records.make_way()
    with pytest.raises(SshjobsError, match="make room there, then resume once more"):
        list(Records(OutputFiles()).adopt(job, paths))
    monkeypatch.undo()
    ((_, adopted),) = Records(OutputFiles()).adopt(job, paths)
    assert (read(paths.attempt("a", 1)), adopted.have) == (OF_1, [0, 0])


def test_what_the_newest_attempt_wrote_is_not_taken_for_an_earlier_ones(paths: RunPaths) -> None:
    for name in STREAMS:
        (paths.job("a") / name).unlink()
    job, records = job_with(2), Records(OutputFiles())
    # The first one was taken back before it had any output.
    live = records.launched(job, "h", job.attempts[-1], paths)
    records.make_way()
    OutputFiles().create(live.directory)
    OutputFiles().write(live.uid, 1, live.path(1), 0, b"of 2")
    ((_, adopted),) = Records(OutputFiles()).adopt(job, paths)
    assert adopted.have == [4, 0]
    assert (read(paths.job("a")), read(paths.attempt("a", 1))) == (["of 2", ""], ["", ""])
