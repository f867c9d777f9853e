"""When a host starts no jobs, what becomes then of those that run, and that nothing of it hangs on a link."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import system, wire
from sshjobs.gjob.agent import facts
from sshjobs.gjob.agent.manners import Ends, Manners
from sshjobs.network import payload
from sshjobs.network.protocol import frames
from tests.gjob.client import FarHost, Link, eventually

#: A host that tells the time of the day as a file of it says, and looks at it often.
CLOCK = """

def localtime(at):
    with __import__("builtins").open(os.environ["HOME"] + "/day") as file:
        hour, minute = file.read().split(":")
    return time_.struct_time((2026, 11, 30, int(hour), int(minute), 0, 0, 334, 0))
"""
NIGHT, DAY = "23:00", "12:00"
ASKED: dict[str, Any] = {"load": None, "free": None, "only": [1200, 480], "at_end": "finish", "left": None}


def quick() -> bytes:
    """Return the modules with such a clock."""
    modules = dict(payload.sources())
    old = "GOOD, LOOK_AGAIN, LONGEST = 1.0, 2.0, 60.0"
    assert old in modules["sshjobs.gjob.agent.manners"]
    modules["sshjobs.gjob.agent.manners"] = modules["sshjobs.gjob.agent.manners"].replace(
        old, "GOOD, LOOK_AGAIN, LONGEST = 0.0, 0.02, 0.02")
    modules["sshjobs.gjob.system"] += CLOCK
    return payload.pack(modules)


@pytest.fixture
def polite(make_far: Callable[..., FarHost]) -> FarHost:
    far = make_far(quick())
    put(far, NIGHT)
    return far


def put(far: FarHost, day: str) -> None:
    """Have it be such a time there."""
    new = far.home / "day.new"
    new.write_text(day)
    new.rename(far.home / "day")


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until_state(pid: int, wanted: str) -> None:
    eventually(lambda: state(pid) == wanted, f"state {wanted}")


def manner(link: Link, why: str | None) -> dict[str, Any]:
    """Wait until the host says so; the near side takes it."""
    frame = link.until("manner", why=why)
    assert frames.parse_header(link.last) == frame
    return frame


def running(link: Link, uid: str, at_end: str) -> int:
    """Ask for manners, start a job, and return the pid of it."""
    link.say("manners", **{**ASKED, "at_end": at_end})
    manner(link, None)
    link.launch(uid, script="echo here; exec sleep 600")
    return int(link.until("started", id=uid)["pid"])


def test_what_waits_is_not_started_when_the_time_is_over_although_nobody_is_there_to_say_so(polite: FarHost) -> None:
    far = polite
    link = far.connect(slots=1)
    link.say("manners", **ASKED)
    told = manner(link, None)
    assert 9 * 3600 - 5 < told["seconds"] <= 9 * 3600 + 5
    link.launch("1.1", script='until [ -e "$HOME/go" ]; do sleep 0.02; done')
    link.until("started", id="1.1")
    link.launch("2.1", script='touch "$HOME/never"', lease=None)
    link.say("ping", seq=7)
    link.until("pong", seq=7)
    link.cut()
    put(far, DAY)
    (far.home / "go").touch()
    link = far.again(link, "1.1", "2.1", slots=1)
    assert manner(link, "hours")["seconds"] > 0
    assert link.end_of("1.1")["status"] == 0
    link.say("sync", a=link.have("2.1"), last=False)
    assert link.until("state", id="2.1")["s"] == "queued"
    assert not (far.home / "never").exists()
    put(far, NIGHT)
    assert link.end_of("2.1")["status"] == 0
    assert (far.home / "never").exists()


def test_what_runs_is_stopped_at_the_end_while_the_link_is_down(polite: FarHost) -> None:
    link = polite.connect()
    pid = running(link, "1.1", "stop")
    link.cut()
    put(polite, DAY)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of the job")
    link = polite.again(link, "1.1")
    end = link.end_of("1.1")
    assert (end["why"], end["signal"]) == ("closed", 15)
    assert frames.parse_header(link.last)["why"] == "closed"


def test_what_runs_is_paused_at_the_end_and_goes_on_at_the_beginning_without_a_link(polite: FarHost) -> None:
    link = polite.connect()
    pid = running(link, "1.1", "pause")
    link.cut()
    for day, wanted in ((DAY, "T"), (NIGHT, "S"), (DAY, "T")):
        put(polite, day)
        until_state(pid, wanted)
    put(polite, NIGHT)
    eventually(lambda: state(pid) == "S", "the job to go on")


def test_what_a_person_has_paused_stays_so_when_the_time_begins(polite: FarHost) -> None:
    link = polite.connect()
    pid = running(link, "1.1", "pause")
    link.say("pause", id="1.1")
    eventually(lambda: state(pid) == "T", "the pause")
    put(polite, DAY)
    manner(link, "hours")
    put(polite, NIGHT)
    manner(link, None)
    assert state(pid) == "T"
    put(polite, DAY)
    manner(link, "hours")
    link.say("unpause", id="1.1")
    link.say("ping", seq=3)
    link.until("pong", seq=3)
    assert state(pid) == "T", "its host's time is over"
    put(polite, NIGHT)
    eventually(lambda: state(pid) == "S", "the job to go on")


def test_an_agent_lets_go_on_what_one_before_it_has_paused_and_stops_what_runs_too_long(polite: FarHost) -> None:
    link = polite.connect()
    pid = running(link, "1.1", "pause")
    put(polite, DAY)
    eventually(lambda: state(pid) == "T", "the pause")
    polite.kill_agent()
    put(polite, NIGHT)
    link = polite.again(link, "1.1")
    link.say("manners", **{**ASKED, "at_end": "pause"})
    eventually(lambda: state(pid) == "S", "the job to go on")
    polite.kill_agent()
    put(polite, DAY)
    link = polite.again(link, "1.1")
    link.say("manners", **{**ASKED, "at_end": "stop"})
    assert link.end_of("1.1")["why"] == "closed"


def test_nothing_is_started_while_the_file_of_the_owner_is_there(polite: FarHost) -> None:
    link = polite.connect()
    assert link.run("1.1", "/bin/true")["status"] == 0
    mark = polite.home / ".sshjobs" / "away"
    mark.touch()
    link.launch("2.1", "/bin/true")
    assert manner(link, "away")["seconds"] is None
    mark.unlink()
    manner(link, None)
    assert link.end_of("2.1")["status"] == 0


def test_nothing_is_started_without_the_memory_that_is_to_stay_free(polite: FarHost) -> None:
    link = polite.connect()
    link.say("manners", **{**ASKED, "only": None, "free": 1 << 60})
    link.launch("1.1", "/bin/true")
    assert 0 < manner(link, "memory")["value"] < 1 << 60
    link.say("manners", **{**ASKED, "only": None})
    assert link.end_of("1.1")["status"] == 0


def test_a_host_that_is_given_back_ends_what_runs_and_starts_nothing_more(polite: FarHost) -> None:
    link = polite.connect()
    pid = running(link, "1.1", "pause")
    link.say("manners", **{**ASKED, "at_end": "pause", "left": 0.05})
    manner(link, "until")
    assert link.end_of("1.1")["why"] == "closed" and not Path(f"/proc/{pid}").exists()
    link.launch("2.1", "/bin/true")
    link.say("ping", seq=3)
    link.until("pong", seq=3)
    link.say("fence", id="2.1")
    assert link.end_of("2.1")["why"] == "fenced"


# -- one look ------------------------------------------------------------------------------------------------------


class Clock:
    """A host whose clocks, load and files are these."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now, self.day, self.marks, self.looks = 1000.0, 0.0, set[str](), 0
        self.load: float | None = 0.5
        self.free: int | None = 1 << 30
        monkeypatch.setattr(system, "boottime", lambda: self.now)
        monkeypatch.setattr(system, "time", lambda: self.day)
        monkeypatch.setattr(system, "localtime", time.gmtime)
        monkeypatch.setattr(system, "access", lambda path, mode: path in self.marks)
        monkeypatch.setattr(system, "environ", lambda: {b"HOME": b"/home/x"})
        monkeypatch.setattr(facts, "load", self._load)
        monkeypatch.setattr(facts, "available", lambda: self.free)

    def _load(self) -> float | None:
        self.looks += 1
        return self.load

    def at(self, hour: float) -> None:
        self.day = hour * 3600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    yield Clock(monkeypatch)


def asked(**keys: Any) -> Manners:
    made = Manners()
    made.ask({**ASKED, "only": None, **keys})
    return made


@pytest.mark.parametrize(("only", "hours"), [
    ([1200, 480], {0: (True, 8), 7.5: (True, 0.5), 8: (False, 12), 19: (False, 1), 20: (True, 12), 23.5: (True, 8.5)}),
    ([540, 1020], {0: (False, 9), 9: (True, 8), 16.5: (True, 0.5), 17: (False, 16), 23: (False, 10)}),
    ([1320, 0], {22: (True, 2), 0: (False, 22), 21: (False, 1)}), ([0, 1], {0: (True, 1 / 60), 12: (False, 12)})])
def test_the_time_of_the_day_and_when_it_changes(clock: Clock, only: list[int], hours: dict[float, tuple[bool, float]]) -> None:
    manners = asked(only=only)
    for hour, (is_open, left) in hours.items():
        clock.at(hour)
        manners.new_link()
        assert manners.look(clock.now) is is_open
        told = manners.news() or {"why": None, "seconds": None}
        assert (told["why"], round(told["seconds"] / 3600, 6)) == (None if is_open else "hours", round(left, 6))
        assert manners.at - clock.now <= 60.0


def test_it_is_told_once_and_again_when_it_changes_or_a_clock_was_set(clock: Clock) -> None:
    manners = asked(only=[1200, 480])
    manners.new_link()
    clock.at(7)
    manners.look(clock.now)
    assert (manners.news() or {})["seconds"] == 3600.0
    clock.now, clock.day = clock.now + 100.0, clock.day + 100.0
    manners.look(clock.now)
    assert manners.news() is None
    clock.day += 1800.0
    manners.look(clock.now)
    assert (manners.news() or {})["seconds"] == 1700.0
    clock.at(9)
    manners.look(clock.now)
    assert (manners.news() or {})["why"] == "hours"
    assert manners.news() is None


def test_without_a_word_nothing_is_told_and_little_is_looked_at(clock: Clock) -> None:
    manners = Manners()
    manners.new_link()
    assert manners.look(5.0) and manners.news() is None and clock.looks == 0
    assert manners.at == 65.0


def test_load_and_memory_are_looked_at_once_a_second_at_most_and_what_cannot_be_told_is_no_reason(clock: Clock) -> None:
    manners = asked(load=2.0, free=1 << 20)
    for _ in range(5):
        assert manners.look(10.0)
    assert clock.looks == 1
    clock.load = 2.5
    assert manners.look(10.5) and not manners.look(11.5)
    assert (manners.why, manners.value) == ("load", 2.5)
    clock.load, clock.free = None, 5000
    assert not manners.look(13.0)
    assert (manners.why, manners.value, manners.at) == ("memory", 5000, 15.0)
    clock.free = None
    assert manners.look(18.0)


def test_the_owner_and_the_end_of_the_loan_count(clock: Clock) -> None:
    manners = asked(left=50.0, at_end="pause", only=[0, 1439])
    clock.marks.add("/home/x/.sshjobs/away")
    assert not manners.look(1.0) and (manners.why, manners.ending) == ("away", None)
    clock.now += 50.0
    assert not manners.look(2.0) and (manners.why, manners.ending) == ("until", "stop")


def test_what_runs_is_stopped_once_and_what_is_found_to_run_later_too() -> None:
    manners, done, runs = SimpleNamespace(ending=None, at_end="finish", at=1e9), list[Any](), {uid: SimpleNamespace(state="running") for uid in ("1.1", "2.1")}
    ends = Ends(manners, runs, lambda *told: done.append(told), lambda *told: done.append(told))  # type: ignore[arg-type]
    ends.see(1.0)
    assert done == []
    manners.ending = manners.at_end = "stop"
    ends.see(1.0)
    ends.see(1.0)
    ends.found("3.1")
    assert done == [(uid, 5.0, "closed") for uid in ("1.1", "2.1", "3.1")]


@pytest.mark.parametrize("keys", [
    {"load": 0}, {"load": -1}, {"load": "8"}, {"free": -1}, {"free": 1.5}, {"only": [1, 1]}, {"only": [1]}, {"only": [0, 1440]},
    {"only": [True, 5]}, {"only": "20:00"}, {"at_end": "maybe"}, {"at_end": None}, {"left": -1}, {"left": "soon"}, {"more": 1}])
def test_a_bad_word_about_manners_is_no_frame(keys: dict[str, Any]) -> None:
    wire.check({"t": "manners", **ASKED})
    with pytest.raises(wire.WireError):
        wire.check({"t": "manners", **ASKED, **keys})


@pytest.mark.parametrize("keys", [
    {"why": "tired"}, {"why": 1}, {"seconds": -1}, {"seconds": "soon"}, {"value": -1}, {"value": 1e30}, {"more": 1}])
def test_a_bad_word_of_a_host_about_its_manners_is_refused(keys: dict[str, Any]) -> None:
    import json

    from sshjobs.errors import ProtocolError

    good = {"t": "manner", "why": "load", "seconds": None, "value": 3.5}
    assert frames.parse_header(json.dumps(good).encode()) == good
    with pytest.raises(ProtocolError):
        frames.parse_header(json.dumps({**good, **keys}).encode())
