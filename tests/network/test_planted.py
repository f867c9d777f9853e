"""What others plant where output lands is not followed, and no job fills this machine's disk."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from sshjobs.errors import LocalError
from sshjobs.network.session import output_files
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
