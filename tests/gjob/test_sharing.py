"""Runs on one host agree on who holds what there: files and locks alone, whoever dies when."""

from __future__ import annotations

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
