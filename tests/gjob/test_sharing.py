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

from sshjobs.gjob.agent.attempts import Attempt
from sshjobs.gjob.agent.turns import Turns
from sshjobs.gjob.sharing import rules, share
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


def test_it_is_told_what_else_than_slots_jobs_wait_for_and_how_many_are_free(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=4), make_run().connect(slots=4)
    for link in (one, other):
        link.say("share", figures={"count.license": 1}, share=1)
    a, b, c, d = (tmp_path / name for name in "abcd")
    hold(one, "1.1", a, needs={"license": 1})
    eventually(lambda: ran(a), "the job with the license")
    hold(other, "1.1", b, cpus=2, needs={"license": 1})
    told = other.until("shared")
    assert (told["slots"], told["stalled"]) == (3, 2)
    assert told["parts"] == [{"what": "count.license", "has": 0, "stalled": 1}]
    hold(other, "2.1", c)
    eventually(lambda: ran(c), "a job that needs no license")
    hold(one, "2.1", d, cpus=3)
    a.unlink()
    eventually(lambda: ran(b) or ran(d), "who is next")
    for path in (b, c, d):
        path.unlink()
    other.end_of("1.1")
    one.end_of("2.1")


def test_beside_a_job_that_waits_for_slots_smaller_ones_of_its_run_start(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=4), make_run().connect(slots=4)
    a, large, b, c = (tmp_path / name for name in ("a", "large", "b", "c"))
    hold(one, "1.1", a, cpus=2)
    eventually(lambda: ran(a), "a job of the one run")
    hold(other, "1.1", large, cpus=4)
    told = other.until("shared")
    assert (told["slots"], told["stalled"], told["parts"]) == (2, 4, [])
    hold(other, "2.1", b)
    eventually(lambda: ran(b), "a smaller job of the run whose large one waits")
    hold(other, "3.1", c)
    eventually(lambda: ran(c), "one more")
    assert not ran(large)
    for path in (a, b, c):
        path.unlink()
    eventually(lambda: ran(large), "the large job")
    large.unlink()
    other.end_of("1.1")


def test_beside_a_job_that_waits_for_memory_those_start_that_need_less(make_run: Callable[[], FarHost], tmp_path: Path) -> None:
    one, other = make_run().connect(slots=4), make_run().connect(slots=4)
    for link in (one, other):
        link.say("share", figures={"memory": 8}, share=1)
    a, large, b = (tmp_path / name for name in ("a", "large", "b"))
    hold(one, "1.1", a, memory=5)
    eventually(lambda: ran(a), "a job of the one run")
    hold(other, "1.1", large, memory=6)
    told = other.until("shared")
    assert (told["slots"], told["stalled"]) == (3, 1)
    assert told["parts"] == [{"what": "memory", "has": 3, "stalled": 6}]
    hold(other, "2.1", b, memory=3)
    eventually(lambda: ran(b), "a smaller job of the run whose large one waits")
    for path in (a, b):
        path.unlink()
    eventually(lambda: ran(large), "the large job")
    large.unlink()
    other.end_of("1.1")


class Clock:
    """The clock that began with the boot, as both agents of a test see it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 1000.0
        monkeypatch.setattr("sshjobs.gjob.system.boottime", lambda: self.now)


def test_smaller_jobs_of_a_run_pass_a_large_one_for_a_while_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setenv("SSHJOBS_SHARED", str(tmp_path / "shared"))

    def agent(number: int) -> share.Share:
        monkeypatch.setattr(share, "agent_name", lambda: f"1-{number}-1")
        return share.Share("boot:1", f"{number}" * 32, f"run-{number}", str(tmp_path), lambda: {"slots": 4}, said.append)

    said: list[str] = []
    one, other = agent(1), agent(2)
    two, four, single = share.Want({"slots": 2}), share.Want({"slots": 4}), share.Want({"slots": 1})
    _, held = one.take(None, [two], 0.0)
    assert held is not None
    assert other.take(None, [four], 0.0) == (None, None)
    began = clock.now
    other.wait(four, began, 0.0, [four])
    place, small = other.take(None, [four, single], 0.1, began)
    assert place == 1 and small is not None
    clock.now += rules.YIELDS
    # What is kept is kept from others as well.
    assert other.take(None, [four, single], 5.0, began) == (None, None)
    assert one.take(None, [single], 5.0) == (None, None)
    one.drop(held)
    other.drop(small)
    place, _ = other.take(None, [four, single], 5.1, began)
    assert place == 0
    assert said == []


def test_a_job_whose_gpus_are_looked_at_keeps_its_place_and_nobody_asks_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSHJOBS_SHARED", str(tmp_path / "shared"))
    agent = share.Share("boot:1", "1" * 32, "run", str(tmp_path), lambda: {"slots": 4}, print)
    agent.take(None, [share.ONE_SLOT], 0.0)
    agent.act(10.0)
    waiting = Attempt("1.1", "t")
    waiting.since, waiting.cleared = 1000.0, False
    agent.wait(waiting.want, waiting.since, 0.0, [waiting.want])
    wish = next((tmp_path / "shared").glob("*/*.w"))
    nothing: Any = {}
    turns = Turns({"1.1": waiting}, nothing, nothing, agent)
    assert turns.next(10.0) is None and agent.due(10.0) > 10.0 and wish.exists()
    agent.consider()
    assert agent.due(10.0) <= 10.0, "once they were found free it is tried at once"
    waiting.since = 0.0
    assert turns.next(11.0) is None and not wish.exists()


@pytest.mark.parametrize("said", [True, False])
def test_scratch_is_counted_over_runs(make_run: Callable[[], FarHost], tmp_path: Path, said: bool) -> None:
    one, other = make_run().connect(slots=4), make_run().connect(slots=4)
    size = 1 << 40
    if said:
        for link in (one, other):
            link.say("share", figures={"scratch": size}, share=1)
    else:
        found = os.statvfs(tmp_path)
        size = found.f_bavail * found.f_frsize
    a, b, c = (tmp_path / name for name in "abc")
    hold(one, "1.1", a, scratch=size * 2 // 3)
    eventually(lambda: ran(a), "the first job")
    hold(other, "1.1", b, scratch=size * 2 // 3)
    hold(other, "2.1", c, scratch=size // 8)
    eventually(lambda: ran(c), "the job that fits beside it")
    stays_waiting(b)
    c.unlink()
    a.unlink()
    eventually(lambda: ran(b), "the job that needs as much")
    b.unlink()
    other.end_of("1.1")


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


class Agents:
    """Agents of several runs in this process, on a host with four slots.

    :ivar said: what people should know
    """

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch):
        self._top, self._monkeypatch, self.said = top, monkeypatch, list[str]()
        monkeypatch.setenv("SSHJOBS_SHARED", str(top / "shared"))

    def make(self, number: int) -> share.Share:
        self._monkeypatch.setattr(share, "agent_name", lambda: f"1-{number}-1")
        return share.Share("boot:1", f"{number}" * 32, f"run-{number}", str(self._top), lambda: {"slots": 4}, self.said.append)


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Agents:
    return Agents(tmp_path, monkeypatch)


ONE, TWO, THREE = share.ONE_SLOT, share.Want({"slots": 2}), share.Want({"slots": 3})


def test_who_waits_asks_again_when_something_has_changed_and_now_and_then(agents: Agents) -> None:
    one, other = agents.make(1), agents.make(2)
    assert other.may_try(0.0), "nothing is waited for yet"
    _, held = one.take(None, [THREE], 0.0)
    assert other.take(None, [TWO], 0.0) == (None, None)
    other.wait(TWO, 7.0, 0.0, [TWO])
    assert other.due(0.0) == share.LOOK and not other.may_try(share.LOOK / 2)
    # Its own wish is a change as well.
    assert other.may_try(share.LOOK) and other.take(None, [TWO], 0.0, 7.0) == (None, None)
    assert not other.may_try(share.LOOK) and other.due(0.0) == 2 * share.LOOK
    other.consider(TWO)
    assert other.due(0.0) == 2 * share.LOOK, "it waits for the same"
    assert other.may_try(share.TRY), "it asks now and then all the same"
    other.consider(ONE)
    assert other.due(0.0) == 0.0 and other.may_try(0.0)
    other.stay(10.0)
    assert other.due(0.0) == 10.0 + share.LOOK
    one.take(held, [THREE], 10.0)
    one.drop(held)
    assert other.may_try(10.0 + share.LOOK), "the other has seen that somebody waits, and says that something has changed"
    place, mine = other.take(None, [TWO], 11.0, 7.0)
    assert place == 0 and mine is not None
    other.stop_waiting()
    assert other.may_try(11.0) and agents.said == []


def test_what_is_waited_for_is_told_after_a_while_and_that_it_is_over(agents: Agents) -> None:
    one, other = agents.make(1), agents.make(2)
    one.take(None, [THREE], 0.0)
    assert other.news(0.0) is None
    assert other.take(None, [TWO], 0.0) == (None, None)
    other.wait(TWO, 7.0, 0.0, [TWO, ONE])
    assert other.news(share.PATIENCE - 0.01) is None
    told = other.news(share.PATIENCE) or {}
    assert (told["slots"], told["stalled"], told["parts"]) == (1, 2, [])
    (who,) = told["who"]
    assert (who["run"], who["slots"], who["units"], who["uid"]) == ("run-1", 3, 0, os.getuid())
    assert other.news(share.PATIENCE + share.TELL) is None, "nothing new"
    other.tell_again()
    assert other.news(share.PATIENCE + 0.1) == told
    other.stop_waiting()
    assert other.news(share.PATIENCE + 0.1) is None, "not yet again"
    assert other.news(share.PATIENCE + 0.1 + share.TELL) == {"slots": None, "who": [], "stalled": 0, "parts": []}
    assert other.news(1000.0) is None


def test_a_directory_that_is_kept_locked_holds_nobody_up_for_long(agents: Agents) -> None:
    one, other = agents.make(1), agents.make(2)
    board = one._board
    assert board is not None
    lock = board.enter()
    assert lock is not None
    try:
        for now in (0.0, 0.5, 1.0, 1.9):
            assert other.take(None, [ONE], now) == (None, None)
            assert now < other.due(now) <= now + 0.01 and not other.may_try(now)
        assert other.take(None, [ONE], 2.0) == (0, None)
        assert [text.partition(": ")[2] for text in agents.said] == [f"somebody keeps {board.path} locked"]
        assert other.take(None, [ONE], 11.9) == (0, None)
    finally:
        os.close(lock)
    place, held = other.take(None, [ONE], 12.0)
    assert place == 0 and held is not None


def test_a_job_begins_with_what_the_one_before_had_unless_others_wait(agents: Agents) -> None:
    one, other = agents.make(1), agents.make(2)
    _, held = one.take(None, [TWO], 0.0)
    assert held is not None and one.take(held, [TWO], 0.0) == (0, held)
    assert one.keeps(held, TWO, 0.01) and not one.keeps(held, ONE, 0.01) and not one.keeps(None, TWO, 0.01)
    assert one.keeps(held, TWO, share.LOOK), "nobody has come"
    assert other.take(None, [THREE], 1.0) == (None, None)
    other.wait(THREE, 7.0, 1.0, [THREE])
    assert not one.keeps(held, TWO, 2.0), "something has changed"
    assert one.take(held, [TWO], 2.0, 5.0)[0] is not None
    assert one.keeps(held, TWO, 2.0 + share.LOOK / 2)
    held.taken = False
    assert not one.keeps(held, TWO, 2.0 + share.LOOK / 2)
