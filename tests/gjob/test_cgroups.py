"""A cgroup that was given to us finds what nothing else does; without one nothing is different."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from sshjobs.gjob import cgroup
from tests.gjob.client import FarHost, alive, eventually

#: Wipes its environment, leaves its session and its parents, and stays.
ESCAPE = 'env -i setsid bash -c \'echo $$ > "$0"; exec sleep 600\' "$HOME/escaped" < /dev/null &\n'
STAY = 'until [ -e "$HOME/go" ]; do sleep 0.02; done\n'


def _mount() -> str | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 ") and fields.split()[3] == "/" and os.access(fields.split()[4], os.W_OK):
            return fields.split()[4]
    return None


needs_cgroup2 = pytest.mark.skipif(_mount() is None or os.geteuid() != 0,
                                   reason="no cgroup2 in which this user may make directories")


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup that is given to us."""
    path = Path(f"{_mount()}/sshjobs-test-{os.getpid()}-{os.urandom(4).hex()}")
    path.mkdir()
    os.setxattr(path, "user.delegate", b"1")
    yield path
    for inner in [*path.iterdir(), path]:
        if inner.is_dir():
            (inner / "cgroup.kill").write_text("1")
            eventually(partial(_is_empty, inner), "an empty cgroup")
            inner.rmdir()


def _is_empty(group: Path) -> bool:
    return not (group / "cgroup.procs").read_text()


def enter(group: Path, pid: int) -> None:
    (group / "cgroup.procs").write_text(str(pid))


def children(group: Path) -> list[str]:
    return [path.name for path in group.iterdir() if path.is_dir()]


def escaped(far: FarHost) -> int:
    file = far.home / "escaped"
    return int(eventually(lambda: file.exists() and file.read_text().strip(), "the escape"))


@needs_cgroup2
def test_a_daemon_without_its_token_is_found_when_agent_and_runner_are_dead(far: FarHost, group: Path) -> None:
    link = far.connect()
    enter(group, far.agent)
    link.launch("1.1", script=ESCAPE + STAY)
    link.until("started", id="1.1")
    daemon = escaped(far)
    assert len(children(group)) == 1
    (runner,) = far.runners()
    far.kill_agent()
    os.kill(runner, signal.SIGKILL)
    eventually(lambda: not alive(runner), "the runner's death")
    assert alive(daemon)
    second = far.again(link, "1.1")
    second.say("cancel", id="1.1", grace=0.1)
    assert second.end_of("1.1")["why"] == "cancelled"
    assert not alive(daemon)
    assert children(group) == []


@needs_cgroup2
def test_a_runner_that_is_killed_alone_leaves_nothing_either(far: FarHost, group: Path) -> None:
    link = far.connect()
    enter(group, far.agent)
    link.launch("1.1", script=ESCAPE + STAY + "exit 7\n")
    link.until("started", id="1.1")
    daemon = escaped(far)
    (runner,) = far.runners()
    os.kill(runner, signal.SIGKILL)
    (far.home / "go").touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"]) == ("exited", 7)
    assert not alive(daemon)


@needs_cgroup2
def test_what_may_stay_stays_and_the_rest_is_tidied_up(far: FarHost, group: Path) -> None:
    link = far.connect()
    enter(group, far.agent)
    link.launch("1.1", script=ESCAPE, leftovers="keep")
    assert link.end_of("1.1")["why"] == "exited"
    daemon = escaped(far)
    assert link.run("2.1", "true")["why"] == "exited"
    assert alive(daemon)
    link.say("release", ids=["1.1", "2.1"])
    link.say("bye")
    assert link.until("gone")["files"] == 0
    eventually(lambda: len(children(group)) == 1, "the removal of all but one")
    os.kill(daemon, signal.SIGKILL)


@needs_cgroup2
def test_another_cgroup_of_ours_is_not_touched(far: FarHost, group: Path) -> None:
    """Neighbours of the runner's cgroup, and what else is in our own, are no part of any job."""
    (group / "other").mkdir()
    bystanders = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]
    try:
        link = far.connect()
        enter(group, far.agent)
        enter(group / "other", bystanders[0].pid)
        enter(group, bystanders[1].pid)
        link.launch("1.1", script="trap '' TERM\n" + ESCAPE + STAY)
        link.until("started", id="1.1")
        (runner,) = far.runners()
        os.kill(runner, signal.SIGKILL)
        link.say("cancel", id="1.1", grace=0.1)
        assert link.end_of("1.1")["why"] == "cancelled"
        assert [bystander.poll() for bystander in bystanders] == [None, None]
    finally:
        for bystander in bystanders:
            bystander.kill()
            bystander.wait()


@needs_cgroup2
def test_a_cgroup_that_nobody_gave_us_is_left_alone(far: FarHost, group: Path) -> None:
    os.removexattr(group, "user.delegate")
    link = far.connect()
    enter(group, far.agent)
    assert link.run("1.1", "true")["why"] == "exited"
    assert children(group) == []


@pytest.mark.parametrize("path", [None, "/nowhere/sshjobs-x", "/", "/tmp", "/proc/self"])
def test_a_record_of_what_is_no_cgroup_of_ours_finds_and_ends_nothing(path: str | None) -> None:
    assert cgroup.pids(path) == []
    cgroup.kill(path)
