"""What others plant where output lands is not followed, and no job fills this machine's disk."""

from __future__ import annotations

import errno
import os
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import LocalError
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.protocol import link as words
from sshjobs.network.session import output_files
from sshjobs.network.session.attempts import LiveAttempt
from sshjobs.network.session.book import HostBook
from sshjobs.network.session.output_files import OutputFiles
from sshjobs.network.trouble import NearlyFull
from tests.conftest import cli_environment, sshjobs_argv
from tests.lab.waiting import wait_until


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "jobs"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def files(jobs: Path):
    made = OutputFiles()
    made.hold(jobs)
    yield made
    made.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    return tmp_path / "secret"


def test_a_link_in_the_place_of_a_job_is_not_followed(files, jobs, secret):
    (jobs / "a").symlink_to(secret)
    for act in (lambda: files.create(jobs / "a"), lambda: files.write("1.1", 1, jobs / "a" / "stdout", 0, b"x"),
                lambda: files.put_aside(jobs / "a", jobs / "a" / "attempt-1"),
                lambda: files.write("1.1", 1, jobs / "a" / "attempt-1" / "stdout", 0, b"x")):
        with pytest.raises(OSError) as caught:
            act()
        assert caught.value.errno in (errno.EEXIST, errno.ELOOP, errno.ENOTDIR) and str(jobs / "a") in str(caught.value.filename)
    assert list(secret.iterdir()) == []


def test_a_link_in_the_place_of_an_output_or_attempt_is_not_followed(files, jobs, secret):
    files.create(jobs / "a")
    (jobs / "a" / "attempt-1").symlink_to(secret)
    with pytest.raises(OSError):
        files.put_aside(jobs / "a", jobs / "a" / "attempt-1")
    (jobs / "a" / "stdout").unlink()
    (jobs / "a" / "stdout").symlink_to(secret / "stdout")
    with pytest.raises(OSError):
        files.write("1.1", 1, jobs / "a" / "stdout", 0, b"x")
    assert list(secret.iterdir()) == []


@pytest.mark.parametrize("what", ["jobs", "run"])
def test_another_directory_in_the_place_of_the_run_s_is_not_written_to(files, jobs, secret, what):
    files.create(jobs / "a")
    moved = jobs if what == "jobs" else jobs.parent
    moved.rename(moved.with_name("moved"))
    (secret / "jobs" / "a").mkdir(parents=True)
    moved.symlink_to(secret / "jobs" if what == "jobs" else secret)
    for act in (lambda: files.create(jobs / "b"), lambda: files.write("1.1", 1, jobs / "a" / "stdout", 0, b"x"),
                lambda: files.put_aside(jobs / "a", jobs / "a" / "attempt-1")):
        with pytest.raises(FileNotFoundError):
            act()
    assert [path.name for path in secret.rglob("*")] == ["jobs", "a"]


def test_a_directory_that_is_no_more_cannot_be_held(tmp_path):
    with pytest.raises(LocalError, match="cannot be used"):
        OutputFiles().hold(tmp_path / "gone")


def test_no_descriptor_stays_open(files, jobs):
    before = set(os.listdir("/proc/self/fd"))
    files.create(jobs / "a")
    files.put_aside(jobs / "a", jobs / "a" / "attempt-1")
    files.create(jobs / "a")
    (jobs / "b").write_text("")
    for _ in range(3):
        with pytest.raises(OSError):
            files.create(jobs / "b")
    files.write("1.1", 1, jobs / "a" / "attempt-1" / "stdout", 0, b"x")
    files.forget("1.1")
    assert set(os.listdir("/proc/self/fd")) == before


# -- the disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 40 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_large_output_leaves_room_and_small_output_has_it(small_disk):
    files = OutputFiles()
    files.create(small_disk / "large")
    piece, offset = bytes(1 << 20), 0
    with pytest.raises(NearlyFull):
        for _ in range(60):
            files.write("1.1", 1, small_disk / "large" / "stdout", offset, piece)
            offset += len(piece)
    found = os.statvfs(small_disk)
    assert found.f_bavail * found.f_frsize >= found.f_blocks * found.f_frsize // output_files.RESERVED_SHARE
    assert offset > 30 << 20
    files.create(small_disk / "small")
    files.write("2.1", 1, small_disk / "small" / "stdout", 0, b"x" * 10000)
    os.truncate(small_disk / "large" / "stdout", 0)
    files.write("1.1", 1, small_disk / "large" / "stdout", offset, piece)
    files.close()


def test_a_job_that_would_fill_the_disk_is_named_and_its_output_waits(small_disk, tmp_path, clean_home):
    (small_disk / "filler").write_bytes(bytes(25 << 20))
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: hog, commands: 'head -c 20000000 /dev/zero'}]")
    said = tmp_path / "said"
    with said.open("w") as out:
        run = subprocess.Popen(sshjobs_argv(["run", "jobs.yaml", "--results", small_disk / "results"]), cwd=tmp_path,
                               env={**os.environ, **cli_environment()}, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "nearly full" in said.read_text(), 60, "the warning")
        assert "hog: the disk of this machine is nearly full" in said.read_text()
        found = os.statvfs(small_disk)
        assert found.f_bavail * found.f_frsize >= 1 << 20
        # What it advises works, and every byte comes.
        (small_disk / "filler").unlink()
        assert run.wait(60) == 0, said.read_text()
        assert (small_disk / "results" / "jobs-1" / "jobs" / "hog" / "stdout").stat().st_size == 20000000
    finally:
        run.kill()
        run.wait()


def test_a_job_whose_output_waits_for_room_can_be_cancelled_and_others_of_its_host_go_on(small_disk, tmp_path, clean_home):
    (small_disk / "filler").write_bytes(bytes(25 << 20))
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: hog, commands: 'head -c 20000000 /dev/zero; sleep 600'}, "
                                        f"{{name: other, commands: 'until test -e {tmp_path}/go; do sleep 0.05; done'}}]")
    said = tmp_path / "said"
    directory = small_disk / "results" / "jobs-1" / "jobs" / "hog"
    with said.open("w") as out:
        run = subprocess.Popen(sshjobs_argv(["run", "jobs.yaml", "--results", small_disk / "results", "--slots", "2"]), cwd=tmp_path,
                               env={**os.environ, **cli_environment()}, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: "nearly full" in said.read_text(), 60, "the warning")
        told = subprocess.run(sshjobs_argv(["cancel", "jobs-1", "hog", "--results", small_disk / "results"]), cwd=tmp_path,
                              env={**os.environ, **cli_environment()}, capture_output=True, text=True, timeout=60, check=False)
        assert told.returncode == 0 and "1 job cancelled" in told.stdout, told
        kept = (directory / "stdout").stat().st_size
        assert 1 << 20 <= kept < 20000000
        (tmp_path / "go").touch()
        assert run.wait(60) == 1, said.read_text()
        assert f"{20000000 - kept:,} bytes of its output were not kept: the disk of this machine was nearly full" in said.read_text()
        # The store says of the copy what is in it.
        checked = subprocess.run(sshjobs_argv(["verify", "jobs-1", "--results", small_disk / "results"]), cwd=tmp_path,
                                 env={**os.environ, **cli_environment()}, capture_output=True, text=True, timeout=60, check=False)
        assert checked.returncode == 0, checked
    finally:
        run.kill()
        run.wait()


class NoRoom(OutputFiles):
    """There is no room for large output."""

    def write(self, uid: str, stream: int, path: Path, offset: int, data: bytes) -> None:
        if stream == 1 and offset >= 4:
            raise NearlyFull
        super().write(uid, stream, path, offset, data)


@pytest.mark.parametrize(("why", "status"), [("exited", 0), ("cancelled", None), ("signalled", None)])
def test_an_output_that_was_not_kept_whole_counts_as_no_success(why, status, jobs):
    told: list[Any] = []
    book = HostBook("h", NoRoom(), told.append, lambda item: None)
    attempt = LiveAttempt("1.1", Job(JobSpec(["true"], name="a")), "t", jobs / "a")
    book.launch(attempt)
    book.create(attempt)
    book.store(words.Output("1.1", 1, 0, b"abcd", zlib.crc32(b"abcd")))
    more = words.Output("1.1", 1, 4, b"efg", zlib.crc32(b"efg"))
    with pytest.raises(LocalError, match="nearly full"):
        book.store(more)
    book.cancel("1.1", 5.0)
    assert book.store(more) and book.store(words.Output("1.1", 1, 7, b"h", 0))
    assert book.store(words.Output("1.1", 2, 0, b"err", zlib.crc32(b"err")))
    assert book.ended({"id": "1.1", "why": why, "status": status, "signal": 9 if why == "signalled" else None, "started": 1.0,
                       "ended": 2.0, "out": 8, "err": 3, "msg": None, "cpu": 0.0, "rss": 1})
    (end,) = told
    assert (end.outcome, end.status, end.signal, end.sizes) == (Outcome.CANCELLED, None, None, (4, 3))
    assert end.reason == "4 bytes of its output were not kept: the disk of this machine was nearly full"
    assert end.crcs == (zlib.crc32(b"abcd"), zlib.crc32(b"err"))
    assert (jobs / "a" / "stdout").read_bytes() == b"abcd" and (jobs / "a" / "stderr").read_bytes() == b"err"
