"""Runs on one host agree on who holds what there: files and locks alone, whoever dies when."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gjob.client import FarHost, Link, alive, eventually


@pytest.fixture
def make_run(make_far: Callable[..., FarHost]) -> Iterator[Callable[[], FarHost]]:
    """Make agents of different runs on one host."""
    first: list[FarHost] = []

    def make() -> FarHost:
        far = make_far()
        first.append(far)
        far.environ["SSHJOBS_SHARED"] = str(first[0].shared)
        return far
    yield make


def hold(link: Link, uid: str, path: Path, **spec: Any) -> None:
    """Launch a job that writes down when it runs, and ends when its file ``path`` is removed."""
    path.write_text("")
    link.launch(uid, script=f"echo $$ > {path}.ran; while [ -e {path} ]; do sleep 0.02; done", **spec)


def ran(path: Path) -> bool:
    return Path(f"{path}.ran").exists()


def stays_waiting(path: Path) -> None:
    """No wait shows that something never happens; this is ten times as long as it takes where it does."""
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        assert not ran(path)
        time.sleep(0.02)


def test_two_runs_together_have_the_slots_of_one(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=1), make_run().connect(slots=1)
    a, b = tmp_path / "a", tmp_path / "b"
    hold(one, "1.1", a)
    eventually(lambda: ran(a), "the first job")
    hold(other, "1.1", b)
    stays_waiting(b)
    a.unlink()
    assert one.end_of("1.1")["status"] == 0
    eventually(lambda: ran(b), "the job of the other run")
    b.unlink()
    assert other.end_of("1.1")["status"] == 0


def test_who_waits_gets_a_slot_as_soon_as_one_job_ends(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=1), make_run().connect(slots=1)
    files = [tmp_path / str(number) for number in range(3)]
    hold(one, "1.1", files[0])
    eventually(lambda: ran(files[0]), "the first job")
    hold(one, "2.1", files[1])
    hold(other, "1.1", files[2])
    stays_waiting(files[2])
    files[0].unlink()
    eventually(lambda: ran(files[2]), "the job of the run that has nothing")
    assert not ran(files[1])
    files[2].unlink()
    eventually(lambda: ran(files[1]), "the second job of the first run")
    files[1].unlink()
    one.end_of("2.1")


@pytest.mark.parametrize("who", ["agent", "runner", "all", "job"])
def test_what_no_living_job_holds_is_free_after_any_kill(make_run: Callable[[], FarHost], tmp_path: Path,
                                                         who: str) -> None:
    run, waiting = make_run(), make_run().connect(slots=1)
    one = run.connect(slots=1)
    a, b = tmp_path / "a", tmp_path / "b"
    hold(one, "1.1", a)
    pid = int(eventually(lambda: ran(a) and Path(f"{a}.ran").read_text(), "the first job"))
    (runner,) = run.runners()
    if who in ("agent", "all"):
        run.kill_agent()
    if who in ("runner", "all"):
        os.kill(runner, signal.SIGKILL)
        eventually(lambda: not alive(runner), "the runner's death")
    hold(waiting, "1.1", b)
    if who != "job":
        assert alive(pid)
        stays_waiting(b)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: ran(b), "the other job", 5.0)
    b.unlink()
    waiting.end_of("1.1")


def test_a_lone_run_leaves_nothing_behind(far: FarHost) -> None:
    link = far.connect()
    assert link.run("1.1", "true")["status"] == 0
    assert list(far.shared.iterdir())
    link.say("release", ids=["1.1"])
    link.say("bye")
    link.until("gone")
    assert link.hung_up()
    assert not far.shared.exists()
    assert not [frame for frame in link.frames if frame["t"] == "warn"]


def test_a_run_that_has_nothing_to_do_holds_nothing(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=1), make_run().connect(slots=1)
    for number in range(1, 4):
        assert one.run(f"{number}.1", "true")["status"] == 0
        assert other.run(f"{number}.1", "true")["status"] == 0


def test_counters_and_memory_are_counted_over_runs(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=4), make_run().connect(slots=4)
    a, b, c = (tmp_path / name for name in "abc")
    hold(one, "1.1", a, cpus=3)
    eventually(lambda: ran(a), "the first job")
    hold(other, "1.1", b, cpus=2)
    hold(other, "2.1", c)
    stays_waiting(b)
    a.unlink()
    eventually(lambda: ran(b), "the job that needs two slots")
    for path in (b, c):
        path.unlink(missing_ok=True)
    other.end_of("1.1")
    other.end_of("2.1")


@pytest.mark.parametrize("wrong", ["link", "mode", "file"])
def test_a_directory_of_the_wrong_kind_is_said_and_the_run_goes_on(far: FarHost, wrong: str) -> None:
    place = far.shared
    if wrong == "link":
        place.symlink_to("/tmp")
    elif wrong == "file":
        place.write_text("")
    else:
        place.mkdir(0o755)
    try:
        link = far.connect()
        assert link.run("1.1", "true")["status"] == 0
        assert link.run("2.1", "true")["status"] == 0
        (said,) = [frame["msg"] for frame in link.frames if frame["t"] == "warn"]
        assert said.startswith("slots are not shared with other runs here: ") and str(place) in said
    finally:
        if not place.is_dir() or place.is_symlink():
            place.unlink()


def test_what_a_job_starts_has_what_the_job_holds(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    outer, inner = make_run(), make_run()
    inner.environ["SSHJOBS_TOKEN"] = "t" * 16
    a = tmp_path / "a"
    link = outer.connect(slots=1)
    hold(link, "1.1", a)
    eventually(lambda: ran(a), "the job")
    assert inner.connect(slots=1).run("1.1", "true")["status"] == 0
    a.unlink()
    link.end_of("1.1")


def test_who_keeps_the_directory_locked_keeps_nobody_from_running(far: FarHost) -> None:
    link = far.connect()
    assert link.run("1.1", "true")["status"] == 0
    place = os.open(far.shared, os.O_RDONLY)
    fcntl.flock(place, fcntl.LOCK_EX)
    link.launch("2.1", "true", cpus=2)
    try:
        assert link.end_of("2.1")["status"] == 0
    finally:
        os.close(place)
    assert [frame["msg"] for frame in link.frames if frame["t"] == "warn"] == [
        f"slots are not shared with other runs here: somebody keeps {far.shared} locked"]


@pytest.mark.skipif(os.geteuid() != 0, reason="makes files of another user")
def test_what_others_put_there_is_read_as_far_as_it_is_theirs_and_proper(far: FarHost) -> None:
    other = 41234
    far.shared.mkdir()
    far.shared.chmod(0o1777)
    theirs = far.shared / str(other)
    theirs.mkdir(mode=0o755)
    good = {"run": "0" * 32, "name": "x", "host": "h", "amounts": {"slots": 2}, "since": 1.0}
    begin = b" " * 63 + b"\n"

    def put(name: str, data: bytes) -> Path:
        path = theirs / name
        path.write_bytes(data)
        path.chmod(0o644)
        os.chown(path, other, other)
        return path

    os.chown(theirs, other, other)
    os.mkfifo(theirs / "1-1-1.1")
    (theirs / "1-1-1.2").symlink_to("/etc/passwd")
    deep, many = b'{"a":' * 3000, json.dumps({**good, "amounts": {f"{n}": 1 for n in range(5000)}}).encode()
    wrong = [b"", b"\0" * 100_000, deep, many, b"[]", json.dumps({**good, "amounts": {"slots": -5}}).encode(),
             json.dumps({**good, "amounts": {"slots": 1 << 80}}).encode(), json.dumps({**good, "since": "x"}).encode()]
    held = [os.open(put(f"1-1-1.{10 + n}", begin + text), os.O_RDONLY) for n, text in enumerate(wrong)]
    # Of somebody else, however it stands among theirs.
    foreign = put("1-1-1.50", begin + json.dumps(good).encode())
    os.chown(foreign, 0, 0)
    held.append(os.open(foreign, os.O_RDONLY))
    # Of nobody who lives: its pid is another's.
    put("1-1-1.51", f"{os.getpid():<31d}{12345:<31d}\n ".encode() + json.dumps(good).encode())
    for fd in held:
        fcntl.flock(fd, fcntl.LOCK_EX)
    link = far.connect(slots=2)
    assert link.run("1.1", "true", cpus=2)["status"] == 0
    proper = os.open(put("1-1-1.60", begin + json.dumps(good).encode()), os.O_RDONLY)
    fcntl.flock(proper, fcntl.LOCK_EX)
    link.launch("2.1", "true", cpus=1)
    told = link.until("shared")
    assert told["slots"] == 0 and [(one["uid"], one["slots"]) for one in told["who"]] == [(other, 2)]
    for fd in [*held, proper]:
        os.close(fd)
    assert link.end_of("2.1")["status"] == 0
    assert not [frame for frame in link.frames if frame["t"] == "warn"]


def test_agents_killed_at_random_never_run_more_than_there_are_slots(make_run: Callable[[], FarHost],
                                                                     tmp_path: Path) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    ledger = tmp_path / "ledger"
    ledger.write_text("")
    runs = [make_run() for _ in range(3)]
    links = [run.connect(slots=2) for run in runs]
    script = f"echo + $$ >> {ledger}; sleep 0.$((RANDOM % 3)); echo - $$ >> {ledger}"
    for number in range(1, 9):
        for link in links:
            link.launch(f"{number}.1", script=script)
    for _ in range(6):
        run = rng.choice(runs)
        time.sleep(rng.random() * 0.3)
        victim = rng.choice([run.agent, *run.runners()])
        if victim != run.agent:
            os.kill(victim, signal.SIGKILL)
        else:
            run.kill_agent()
            at = runs.index(run)
            links[at].close()
            links[at] = run.connect(slots=2)
            for number in range(1, 9):
                links[at].launch(f"{number}.1", script=script)
    for link in links:
        for number in range(1, 9):
            link.end_of(f"{number}.1", 30.0)
    told = [line.split() for line in ledger.read_text().splitlines()]
    # What was killed with its runner, before that had written down which process it is, has not told of its end.
    ended = {pid for sign, pid in told if sign == "-"}
    at_once: set[str] = set()
    for sign, pid in told:
        (at_once.add if sign == "+" and pid in ended else at_once.discard)(pid)
        assert len(at_once) <= 2, f"{pid}: {told}"
