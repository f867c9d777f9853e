"""Calls that are forked from a fork server: whatever is promised of a job holds for them as well."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from sshjobs.gjob import procs
from sshjobs.pools.callfiles import PYTHON, archive
from tests.gjob.client import FarHost, Link, alive, children, eventually, holders, token_of
from tests.gjob.test_jobs import put

cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture
def python() -> str:
    """Calls need the very Python of the program that calls."""
    return sys.executable


class Caller:
    """Launches calls over a link."""

    def __init__(self, far: FarHost, link: Link):
        self.far, self.link = far, link
        self.archive = put(link, archive())

    def launch(self, uid: str, function: Callable[..., Any], *args: Any, **spec: Any) -> None:
        data = cloudpickle.dumps(function)
        sha = put(self.link, data)
        given = base64.b64encode(cloudpickle.dumps((args, {}))).decode()
        spec.setdefault("call", PYTHON)
        self.link.launch(uid, "calls.pyz", f"{sha}.function", "json", given, "one",
                         files=[["calls.pyz", self.archive, 0o600], [f"{sha}.function", sha, 0o600]], **spec)

    def call(self, uid: str, function: Callable[..., Any], *args: Any, **spec: Any) -> Any:
        self.launch(uid, function, *args, **spec)
        assert (end := self.link.end_of(uid))["why"] == "exited", end
        return json.loads(self.link.stdout(uid))["value"]

    def fork_server(self) -> int:
        """The fork server of the only runner, once no call is there."""
        (runner,) = self.far.runners()
        return int(eventually(lambda: [pid for pid in children(runner) if _serves(pid)], "a fork server")[0])


def _serves(pid: int) -> bool:
    proc = procs.look(pid)
    return proc is not None and proc.session != pid and b"--serve" in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def caller(far: FarHost) -> Caller:
    return Caller(far, far.connect(slots=1))


def who() -> dict[str, Any]:
    import os

    environ = open("/proc/self/environ", "rb").read()
    return {"pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0), "cwd": os.getcwd(),
            "token": os.environ["SSHJOBS_TOKEN"], "seen": f"SSHJOBS_TOKEN={os.environ['SSHJOBS_TOKEN']}\0".encode()
            in environ, "job": os.environ["SSHJOBS_JOB"], "open": sorted(os.listdir("/proc/self/fd"))}


def wait_for(path: str) -> str:
    import os
    import time

    open(path + ".began", "a").write(f"{os.getpid()}\n")
    while not os.path.exists(path):
        time.sleep(0.01)
    return "waited"


def began(path: Path) -> list[int]:
    """Pids of those who wait for a file."""
    file = Path(f"{path}.began")
    return eventually(lambda: file.exists() and file.read_text().endswith("\n"), "a beginning") and [
        int(pid) for pid in file.read_text().split()]


def test_a_call_is_the_runners_child_and_looks_like_a_job(caller: Caller) -> None:
    first = caller.call("1.1", who)
    (runner,) = caller.far.runners()
    server = caller.fork_server()
    second = caller.call("2.1", who)
    for told, uid in ((first, "1.1"), (second, "2.1")):
        assert told["parent"] == runner and told["session"] == told["pid"]
        assert (told["token"], told["job"], told["seen"]) == (token_of(uid), f"job-{uid}", True)
        assert told["cwd"].endswith(f"/w/{uid}")
        assert len(told["open"]) <= 5, "standard streams, the answer, and the directory that is listed"
    assert first["pid"] != second["pid"] and caller.fork_server() == server
    assert token_of("2.1").encode() not in Path(f"/proc/{server}/environ").read_bytes()


def test_what_a_call_prints_is_not_in_its_result(caller: Caller) -> None:
    def talk() -> int:
        import os

        print("printed")
        os.system("echo by a program")
        os.write(1, b"written\n")
        return 3

    assert caller.call("1.1", talk) == 3
    assert sorted(caller.link.stderr("1.1").decode().splitlines()) == ["by a program", "printed", "written"]


def test_one_call_knows_nothing_of_another(caller: Caller) -> None:
    def count() -> list[Any]:
        import os
        import random
        import sys

        sys.counted = getattr(sys, "counted", 0) + 1  # type: ignore[attr-defined]
        os.environ["MARK"] = os.environ.get("MARK", "") + "x"
        return [sys.counted, os.environ["MARK"], random.random()]  # type: ignore[attr-defined]

    told = [caller.call(f"{n}.1", count) for n in range(1, 5)]
    assert [one[:2] for one in told] == [[1, "x"]] * 4
    assert len({one[2] for one in told}) == 4


def test_a_function_that_raises_is_told_of_and_fails_its_job(caller: Caller) -> None:
    caller.launch("1.1", lambda: 1 // 0)
    end = caller.link.end_of("1.1")
    assert (end["why"], end["status"]) == ("exited", 1)
    error = json.loads(caller.link.stdout("1.1"))["error"]
    assert (error["type"], error["message"]) == ("ZeroDivisionError", "integer division or modulo by zero")
    assert error["traceback"].startswith("Traceback") and "callee" not in error["traceback"]
    assert b"ZeroDivisionError" in caller.link.stderr("1.1")


@pytest.mark.parametrize("how", ["cancel", "timeout"])
def test_a_call_is_ended_with_all_that_it_started_and_the_fork_server_stays(caller: Caller, tmp_path: Path, how: str) -> None:
    def start(path: str) -> None:
        import subprocess
        import time

        subprocess.Popen(["setsid", "sleep", "600"])
        open(path, "w").close()
        time.sleep(600)

    assert caller.call("1.1", who)
    server = caller.fork_server()
    caller.launch("2.1", start, str(tmp_path / "there"), **({"timeout": 1.0} if how == "timeout" else {}))
    eventually((tmp_path / "there").exists, "a start")
    if how == "cancel":
        caller.link.say("cancel", id="2.1", grace=1.0)
    assert caller.link.end_of("2.1")["why"] == {"cancel": "cancelled", "timeout": "timed_out"}[how]
    assert holders(f"SSHJOBS_TOKEN={token_of('2.1')}") == []
    assert alive(server) and caller.call("3.1", who)


def test_what_a_call_leaves_running_is_ended(caller: Caller) -> None:
    def leave() -> int:
        import subprocess

        return subprocess.Popen(["setsid", "sleep", "600"]).pid

    left = caller.call("1.1", leave)
    assert not alive(left)
    assert alive(caller.fork_server())


def test_a_call_of_a_killed_runner_goes_on_and_its_end_is_known(caller: Caller, tmp_path: Path) -> None:
    assert caller.call("1.1", who)
    server = caller.fork_server()
    (runner,) = caller.far.runners()
    go = tmp_path / "go"
    caller.launch("2.1", wait_for, str(go))
    (pid,) = began(go)
    os.kill(runner, signal.SIGKILL)
    eventually(lambda: not alive(server), "the fork server goes with its runner")
    assert alive(pid)
    go.touch()
    end = caller.link.end_of("2.1")
    assert (end["why"], end["status"]) == ("exited", 0)
    assert json.loads(caller.link.stdout("2.1")) == {"value": "waited"}
    assert caller.call("3.1", who)


def test_a_call_goes_on_when_agent_and_runner_are_killed_and_is_not_called_again(caller: Caller, tmp_path: Path) -> None:
    go = tmp_path / "go"
    caller.launch("1.1", wait_for, str(go))
    (pid,) = began(go)
    (runner,) = caller.far.runners()
    caller.far.kill_agent()
    os.kill(runner, signal.SIGKILL)
    second = caller.far.again(caller.link, "1.1", slots=1)
    assert second.until("state", id="1.1")["s"] == "running"
    assert alive(pid)
    go.touch()
    # As for every job whose agent and runner were killed together.
    assert second.end_of("1.1")["why"] == "lost"
    assert began(go) == [pid]


def test_a_call_whose_runner_dies_before_it_is_written_down_does_nothing(caller: Caller, tmp_path: Path) -> None:
    assert caller.call("1.1", who)
    server, (runner,) = caller.fork_server(), caller.far.runners()
    os.kill(server, signal.SIGSTOP)
    caller.launch("2.1", wait_for, str(tmp_path / "go"))
    eventually(lambda: list(caller.far.directory.glob("w/2.1")), "the claim")
    eventually(lambda: b"calls.pyz" in b"".join(os.fsencode(one) for one in caller.far.directory.glob("w/2.1/*")), "files")
    os.kill(runner, signal.SIGKILL)
    assert caller.link.end_of("2.1")["why"] in ("start_failed", "lost")
    assert not (tmp_path / "go.began").exists()


def test_a_fork_server_that_was_killed_is_replaced(caller: Caller) -> None:
    assert caller.call("1.1", who)
    server = caller.fork_server()
    os.kill(server, signal.SIGKILL)
    assert caller.call("2.1", who)
    assert caller.fork_server() != server and caller.far.runners() == [caller.call("3.1", who)["parent"]]


def test_a_function_that_cannot_be_loaded_says_so(caller: Caller) -> None:
    class Bad:
        def __reduce__(self) -> Any:
            return (os._exit, (7,))

    caller.launch("1.1", Bad())  # type: ignore[arg-type]
    assert caller.link.end_of("1.1")["status"] == 7, "it is loaded by the call; that the fork server died of it harms nobody"
    assert caller.call("2.1", who)


class Slow:
    """Takes long to load."""

    def __reduce__(self) -> Any:
        import time

        return (time.sleep, (600,))


def test_a_call_that_is_still_being_loaded_can_be_cancelled(caller: Caller) -> None:
    caller.launch("1.1", Slow())  # type: ignore[arg-type]
    eventually(lambda: list(caller.far.directory.glob("w/1.1/*.function")), "a claim")
    caller.link.say("cancel", id="1.1", grace=0.5)
    assert caller.link.end_of("1.1")["why"] == "cancelled"
    assert caller.call("2.1", who)


def test_a_call_that_takes_long_to_load_runs_out_of_time(caller: Caller) -> None:
    caller.launch("1.1", Slow(), timeout=0.5)  # type: ignore[arg-type]
    assert caller.link.end_of("1.1")["why"] == "timed_out"
    assert caller.call("2.1", who)


def test_another_python_is_told_and_nothing_runs(caller: Caller, tmp_path: Path) -> None:
    caller.launch("1.1", wait_for, str(tmp_path / "go"), call="3.7")
    end = caller.link.end_of("1.1")
    assert end["why"] == "start_failed" and f"python here is {PYTHON}, and the calls need 3.7" in end["msg"]
    assert not (tmp_path / "go.began").exists()


def test_nothing_is_left_at_the_end(caller: Caller) -> None:
    assert caller.call("1.1", who)
    server = caller.fork_server()
    caller.link.say("release", ids=["1.1"])
    caller.link.say("bye")
    gone = caller.link.until("gone")
    assert (gone["processes"], gone["files"]) == (0, 0)
    assert not alive(server)


def test_the_environment_of_a_call_is_there_when_its_modules_are_loaded(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text("import os\nFOUND = os.environ.get('MARK')\ndef look():\n    return FOUND\n")
    sys.path.insert(0, str(tmp_path))
    try:
        from looks import look  # type: ignore[import-not-found]

        for uid, mark in (("1.1", "one"), ("2.1", "one"), ("3.1", "two"), ("4.1", "two")):
            assert caller.call(uid, look, env={"MARK": mark, "PYTHONPATH": str(tmp_path)}) == mark
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("looks", None)
