"""A job that the kernel kills for want of memory is told as that, and not as one that somebody killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sshjobs.gjob import cgroup, memory, system
from tests.gjob.client import FarHost, eventually

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
LIMIT = 96 << 20
GREEDY = "x = bytearray(400 << 20)\nfor at in range(0, len(x), 4096): x[at] = 1\n"


def _parent() -> Path | None:
    """Where a group with a limit of its own can be made."""
    if (V1 / "memory.limit_in_bytes").exists() and os.access(V1, os.W_OK):
        return V1
    control = V2 / "cgroup.subtree_control"
    return V2 if control.exists() and "memory" in control.read_text().split() and os.access(V2, os.W_OK) else None


@pytest.fixture
def small_memory() -> Iterator[Path]:
    parent = _parent()
    assert parent is not None
    group = parent / f"sshjobs-test-{os.getpid()}"
    group.mkdir()
    (group / ("memory.limit_in_bytes" if parent == V1 else "memory.max")).write_text(str(LIMIT))
    yield group
    for pid in (group / "cgroup.procs").read_text().split():
        (parent / "cgroup.procs").write_text(pid)
    eventually(lambda: _removed(group), "the group's end")


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


@pytest.mark.skipif(_parent() is None, reason="no control group with a limit of memory can be made here")
def test_a_job_that_the_kernel_kills_for_want_of_memory_is_told_as_that(far: FarHost, small_memory: Path) -> None:
    link = far.connect()
    # Before its first runner: that and its jobs are in the group of the agent.
    (small_memory / "cgroup.procs").write_text(str(far.agent))
    end = link.run("1.1", sys.executable, "-c", GREEDY)
    assert (end["why"], end["signal"]) == ("oom", 9)
    end = link.run("4.1", sys.executable, "-c", GREEDY, memory=1 << 40)
    assert end["why"] == "oom" and end["msg"].startswith("its memory, 1T, is counted here and not enforced: its largest process had taken ")
    end = link.run("2.1", script="kill -9 $$\n")
    assert (end["why"], end["signal"]) == ("signalled", 9)
    assert link.run("3.1", "true")["status"] == 0


def test_a_job_that_takes_more_than_it_said_is_told_as_that_where_nothing_enforces_it(far: FarHost) -> None:
    link = far.connect()
    end = link.run("1.1", sys.executable, "-c", "x = b'x' * (1 << 26)", memory=1 << 20)
    assert end["status"] == 0
    assert end["msg"].startswith("its largest process took ") and end["msg"].endswith("more than its memory, 1M, which is not enforced here")
    assert link.run("2.1", sys.executable, "-c", "pass", memory=1 << 40)["msg"] is None
    assert link.run("3.1", sys.executable, "-c", "pass")["msg"] is None


class Counter:
    """A kernel that tells, or does not, of what it kills."""

    def __init__(self, tells: bool):
        self.tells, self.now = tells, False

    def struck(self) -> bool:
        return self.now


def test_a_kill_that_nobody_explains_is_probably_for_want_of_memory() -> None:
    silent, telling = memory.Limit(None, Counter(False)), memory.Limit(None, Counter(True))  # type: ignore[arg-type]
    for limit in (silent, telling):
        assert limit.begin({}) == [] and not limit.struck()
    assert (silent.words("signalled", 9, 5) or "").startswith("probably out of memory: it was killed by signal 9")
    assert silent.words("signalled", 15, 5) is silent.words("exited", None, 5) is telling.words("signalled", 9, 5) is None


def test_a_job_has_a_cgroup_with_its_limit_beside_that_of_its_runner(tmp_path: Path) -> None:
    """On a directory that stands for one: what the kernel makes of it only a kernel can show."""
    runner, inner, counter = tmp_path / "sshjobs-x", tmp_path / "sshjobs-x-m", Counter(True)
    for directory in (runner, inner):
        directory.mkdir()
    for name in ("cgroup.procs", "memory.max", "memory.oom.group"):
        (inner / name).touch()
    (inner / "memory.events").write_text("low 0\noom 7\noom_kill 3\noom_group_kill 1\n")
    limit = memory.Limit(str(runner), counter)  # type: ignore[arg-type]
    assert limit.begin({}) == [] and not limit.enforced
    ((name, (fd, word)),) = limit.begin({"memory": 64 << 20})
    assert limit.enforced and (inner / "memory.max").read_text() == str(64 << 20) and (inner / "memory.oom.group").read_text() == "1"
    system._prepare([(name, (fd, word))])
    assert (inner / "cgroup.procs").read_text() == "0"
    assert not limit.struck() and limit.words("signalled", 9, 5) is None
    (inner / "memory.events").write_text("oom_kill 4\n")
    assert limit.struck()
    assert limit.words("oom", 9, 5) == "it took more than its memory, 64M, which a cgroup enforces"
    # A call is forked elsewhere; what cannot be limited is measured.
    assert limit.begin({"memory": 1 << 20, "call": "3.11"}) == [] and not limit.enforced
    (inner / "memory.max").unlink()
    assert limit.begin({"memory": 1 << 20}) == [] and not limit.enforced
    cgroup.remove(str(tmp_path / "sshjobs-gone"))


def _v2_with_memory() -> Path | None:
    """Where a cgroup of version 2 can be made that hands the memory controller on."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 ") and os.geteuid() == 0 and fields.split()[3] == "/":
            mount = Path(fields.split()[4])
            if "memory" in (mount / "cgroup.subtree_control").read_text().split():
                return mount
    return None


@pytest.fixture
def given() -> Iterator[Path]:
    """A cgroup that was given to us, and hands the memory controller on."""
    mount = _v2_with_memory()
    assert mount is not None
    path = mount / f"sshjobs-test-{os.getpid()}-{os.urandom(4).hex()}"
    (path / "leaf").mkdir(parents=True)
    os.setxattr(path, "user.delegate", b"1")
    (path / "cgroup.subtree_control").write_text("+memory")
    yield path
    for inner in [*(one for one in path.iterdir() if one.is_dir()), path]:
        if inner != path:
            (inner / "cgroup.kill").write_text("1")
        eventually(partial(_removed, inner), "the end of a group")


@pytest.mark.skipif(_v2_with_memory() is None, reason="no cgroup of version 2 with the memory controller here")
def test_a_job_that_takes_more_than_its_memory_is_ended_by_its_cgroup_and_nothing_of_that_stays(far: FarHost, given: Path) -> None:
    link = far.connect()
    (given / "leaf" / "cgroup.procs").write_text(str(far.agent))
    end = link.run("1.1", sys.executable, "-c", GREEDY, memory=128 << 20)
    assert (end["why"], end["signal"]) == ("oom", 9)
    assert end["msg"] == "it took more than its memory, 128M, which a cgroup enforces"
    assert link.run("2.1", sys.executable, "-c", "x = b'x' * (1 << 26)", memory=256 << 20)["status"] == 0
    link.launch("3.1", script="exec sleep 600", memory=128 << 20)
    pid = link.until("started", id="3.1")["pid"]
    assert str(pid) in "".join(path.read_text() for path in given.glob("*-m/cgroup.procs"))
    runners = far.runners()
    far.kill_agent()
    for runner in runners:
        os.kill(runner, 9)
    os.kill(pid, 9)
    link = far.again(link, "1.1", "2.1", "3.1")
    link.end_of("3.1")
    link.say("release", ids=["1.1", "2.1", "3.1"])
    link.say("bye")
    assert link.until("gone")["files"] == 0
    assert [path.name for path in given.iterdir() if path.is_dir()] == ["leaf"]
