"""What an agent makes of attempts that an earlier one left: by the records, whatever has their pids by now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import procs
from sshjobs.gjob.agent import adopt
from sshjobs.gjob.agent.attempts import ENDED, RUNNING, Attempt, History
from sshjobs.gjob.journal import record
from sshjobs.gjob.places import Places
from tests.gjob.client import token_of

TOKEN = token_of("1.1")
EXITED = {"why": "exited", "status": 3, "signal": None}
Watch = Callable[..., adopt.Adopted]


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    """Make what looks after the attempt 1.1, whose runner is dead, from its records."""
    def make(keep: bool = False, **records: dict[str, Any]) -> adopt.Adopted:
        claim = {"token": TOKEN, "runner": 2**22 + 1, "rstart": 1, "keep": keep, "until": None}
        history: Any = SimpleNamespace(records={"1.1": {"claim": claim, **records}}, after_a_kill=False,
                                       journal=SimpleNamespace(append=lambda line: None))
        leases: Any = SimpleNamespace(covers=lambda uid: True)
        watched = adopt.Adopted(Attempt("1.1", TOKEN), history, Places(str(tmp_path), "r", "h"), set, list, leases)
        watched.see_runner()
        return watched
    return make


@pytest.fixture
def sleeper() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a process that sleeps, with the job's token or without."""
    made: list[subprocess.Popen[bytes]] = []

    def start(token: bool = True) -> subprocess.Popen[bytes]:
        made.append(subprocess.Popen(["sleep", "600"], env={"SSHJOBS_TOKEN": TOKEN, "PATH": os.defpath} if token else None))
        return made[-1]
    yield start
    for process in made:
        process.kill()
        process.wait()


@pytest.mark.parametrize("known", ["by its runner", "as our child"])
def test_what_has_the_pid_of_a_job_that_is_over_is_something_that_it_left(
        known: str, watch: Watch, sleeper: Callable[..., subprocess.Popen[bytes]]) -> None:
    left = sleeper()
    start = {"pid": left.pid, "start": None, "at": 1.0}
    watched = watch(start=start, exit=EXITED) if known == "by its runner" else watch(start=start)
    reaped = {} if known == "by its runner" else {left.pid: (3 << 8, 0.5, 7)}
    assert watched.look(0.0, reaped) == b"", "what it left is ended first"
    watched.look(0.5, {})
    assert left.wait(20) == -signal.SIGTERM
    end = json.loads(b"{" + next(filter(None, (watched.look(now, {}) for now in (1.0, 1.5, 2.0)))))
    assert (end["why"], end["status"]) == ("exited", 3)


@pytest.mark.parametrize("known", ["by its runner", "as our child"])
def test_a_cancel_that_finds_a_job_over_changes_nothing_of_how_it_ended(
        known: str, watch: Watch, sleeper: Callable[..., subprocess.Popen[bytes]]) -> None:
    left = sleeper()
    start = {"pid": left.pid, "start": None, "at": 1.0}
    # What it left may stay, until somebody cancels.
    watched = watch(keep=True, start=start, exit=EXITED) if known == "by its runner" else watch(keep=True, start=start)
    assert watched.look(0.0, {} if known == "by its runner" else {left.pid: (3 << 8, 0.5, 7)}) == b""
    assert left.poll() is None
    watched.cancel(0.0, 0.5)
    at_once = watched.look(0.5, {})
    assert left.wait(20) in (-signal.SIGTERM, -signal.SIGKILL)
    end = json.loads(b"{" + (at_once or next(filter(None, (watched.look(now, {}) for now in (1.0, 1.5, 2.0))))))
    assert (end["why"], end["status"]) == ("exited", 3)


@pytest.mark.parametrize("whose", ["our child", "with the token", "nobody's"])
def test_a_job_whose_start_time_was_not_written_yet_is_known_by_its_parent_or_its_token(
        whose: str, watch: Watch, sleeper: Callable[..., subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch) -> None:
    process = sleeper(token=whose == "with the token")
    if whose != "our child":
        # As if we were another process than its parent.
        monkeypatch.setattr("sshjobs.gjob.system.getpid", lambda: 2**22 + 2)
    watched = watch(keep=True, start={"pid": process.pid, "start": None, "at": 1.0})
    looks = [watched.look(0.1 * number, {}) for number in range(5)]
    ends = [json.loads(b"{" + end)["why"] for end in looks if end]
    assert ends[:1] == (["lost"] if whose == "nobody's" else [])
    assert process.poll() is None


def write_journal(places: Places, *records: dict[str, Any]) -> None:
    path = Path(places.journals, "7.log")
    path.write_bytes(b"".join(record(json.dumps(one).encode()) for one in records))


def claim(uid: str, **more: Any) -> dict[str, Any]:
    return {"k": "claim", "id": uid, "token": token_of(uid), "runner": 1, "rstart": 1, "boot": procs.identity(), "keep": False,
            "until": None, **more}


def end(uid: str, out: int) -> dict[str, Any]:
    return {"k": "end", "id": uid, "why": "exited", "status": 0, "out": out, "err": 0}


def test_every_attempt_that_an_earlier_agent_left_is_recovered_as_it_stands(places: Places) -> None:
    write_journal(places, claim("1.1", lease=7.5), claim("2.1"), claim("3.1"), end("3.1", 5), {"k": "fence", "id": "4.1"},
                  claim("5.1", boot="before"), claim("6.1"), {"k": "release", "ids": ["6.1"]}, claim("7.1", boot="before"),
                  end("7.1", 5), claim("8.1", boot="before"), end("8.1", 3))
    for name in ("1.1", "6.1", "9.1", "lost+found"):
        Path(places.work, name).mkdir()
    places.fence("10.1")
    for uid in ("7.1", "8.1"):
        Path(places.stream(uid, 1)).write_bytes(b"whe")
    found = {attempt.uid: attempt for attempt in adopt.recover(History(places), places)}
    ends = {uid: json.loads(b"{" + attempt.end)["why"] for uid, attempt in found.items() if attempt.end}
    assert ends == {"3.1": "exited", "4.1": "fenced", "5.1": "reboot", "7.1": "reboot", "8.1": "exited", "10.1": "fenced"}
    assert {uid: attempt.state for uid, attempt in found.items()} == {
        **dict.fromkeys(("1.1", "2.1", "9.1"), RUNNING), **dict.fromkeys(ends, ENDED)}
    assert [(found[uid].token, found[uid].lease) for uid in ("1.1", "2.1", "9.1")] == [
        (token_of("1.1"), 7.5), (token_of("2.1"), None), ("", None)]
    assert (found["3.1"].sizes, found["7.1"].sizes, found["8.1"].sizes) == ((5, 0), (3, 0), (3, 0))
    assert sorted(os.listdir(places.work)) == ["1.1", "10.1", "9.1", "lost+found"], "what was released is deleted"


def test_what_an_agent_of_another_boot_has_left_is_over(places: Places) -> None:
    write_journal(places, {"k": "epoch", "epoch": 1, "boot": "before"})
    Path(places.work, "1.1").mkdir()
    attempt, = adopt.recover(History(places), places)
    assert (attempt.state, json.loads(b"{" + attempt.end)["why"]) == (ENDED, "reboot")
    # And it is written down: who comes next is told the same.
    assert adopt.recover(History(places), places)[0].end == attempt.end
