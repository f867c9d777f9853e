"""Nothing of a job outlives it: leftovers, cancel and timeout against trees that do not want to die."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.network import payload
from tests.gjob.client import FarHost, alive, eventually, holders, token_of

DAEMON = """
import os, sys, time
if os.fork(): os._exit(0)
os.setsid()
if os.fork(): os._exit(0)
{extra}
print(os.getpid(), flush=True)
time.sleep(1000)
"""
IGNORES = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 15)]"
STORM = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(5):
    if os.fork() == 0:
        # A target that moves: each of it lives a millisecond and is followed by one in a session of its own.
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.001)
print("up", flush=True)
{then}
"""


#: Changes the door to the operating system as a Python without ctypes does.
NO_CTYPES = ("return light.c_function", "raise ImportError\n        return light.c_function")


def hasty(**more: tuple[str, str]) -> bytes:
    """The far side with shorter times between TERM and KILL, and with other replacements by module."""
    modules = dict(payload.sources())
    shorter = ("LEFTOVERS_GRACE = 1.0\nTIMEOUT_GRACE = 5.0", "LEFTOVERS_GRACE = 0.1\nTIMEOUT_GRACE = 0.1")
    for name, (before, after) in [("runner", shorter), *more.items()]:
        assert before in modules[f"sshjobs.gjob.{name}"]
        modules[f"sshjobs.gjob.{name}"] = modules[f"sshjobs.gjob.{name}"].replace(before, after)
    return payload.pack(modules)


def gone(uid: str) -> bool:
    return holders(token_of(uid)) == []


def test_what_a_job_left_running_is_killed(far: FarHost) -> None:
    link = far.connect()
    end = link.run("1.1", script="sleep 1000 &\nsetsid sleep 1001 &\nexit 3\n")
    assert (end["why"], end["status"]) == ("exited", 3)
    assert gone("1.1")


@pytest.mark.parametrize("extra", ["", IGNORES], ids=["polite", "ignoring"])
def test_a_daemon_that_hid_well_is_killed(make_far: Callable[..., FarHost], extra: str) -> None:
    link = make_far(hasty()).connect()
    end = link.run("1.1", "python3", "-c", DAEMON.format(extra=extra))
    assert (end["why"], end["status"]) == ("exited", 0)
    eventually(lambda: not alive(int(link.stdout("1.1") or b"0") or 0), "the daemon's death")
    assert gone("1.1")


def test_a_daemon_without_our_environment_is_killed_too(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", script="setsid env -i sleep 54321 & sleep 0.2\n")
    assert [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
            if alive(pid) and b"54321" in Path(f"/proc/{pid}/cmdline").read_bytes()] == []


def test_leftovers_may_be_kept(far: FarHost) -> None:
    link = far.connect(slots=1)
    end = link.run("1.1", script="sleep 1000 & echo $!\n", leftovers="keep")
    assert end["status"] == 0
    kept = int(link.stdout("1.1"))
    assert alive(kept)
    # Its slot is free, and later jobs do not take it along.
    assert link.run("2.1", script="sleep 1000 &\n")["status"] == 0
    assert alive(kept) and gone("2.1")
    link.say("release", ids=["1.1", "2.1"])
    link.say("bye")
    gone_frame = link.until("gone")
    assert (gone_frame["processes"], gone_frame["files"]) == (1, 0)
    assert alive(kept)
    os.kill(kept, signal.SIGKILL)


def test_cancel_ends_the_whole_tree_and_says_so(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script="sleep 1000 & setsid sleep 1001 & sleep 1002\n")
    link.until("started", id="1.1")
    link.say("cancel", id="1.1", grace=5)
    end = link.end_of("1.1")
    assert (end["why"], end["signal"]) == ("cancelled", signal.SIGTERM)
    assert gone("1.1")


def test_a_job_may_use_its_grace(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script="trap 'echo saved; exit 7' TERM\necho ready\nwhile :; do sleep 0.02; done\n")
    link.until("out", id="1.1")
    link.say("cancel", id="1.1", grace=20)
    end = link.end_of("1.1")
    assert (end["why"], end["status"]) == ("cancelled", 7)
    assert link.stdout("1.1") == b"ready\nsaved\n"


def test_what_ignores_everything_is_killed_after_its_grace(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", "python3", "-c", IGNORES + "\nimport time; print('up', flush=True); time.sleep(1000)")
    link.until("out", id="1.1")
    link.say("cancel", id="1.1", grace=0.2)
    end = link.end_of("1.1")
    assert (end["why"], end["signal"]) == ("cancelled", signal.SIGKILL)


def test_a_second_cancel_may_hurry_the_first(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", "python3", "-c", IGNORES + "\nimport time; print('up', flush=True); time.sleep(1000)")
    link.until("out", id="1.1")
    link.say("cancel", id="1.1", grace=1000)
    link.say("cancel", id="1.1", grace=0)
    assert link.end_of("1.1")["signal"] == signal.SIGKILL


def test_a_fork_storm_is_cancelled(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", "python3", "-c", STORM.format(then="time.sleep(1000)"))
    link.until("out", id="1.1")
    link.say("cancel", id="1.1", grace=0)
    assert link.end_of("1.1")["why"] == "cancelled"
    assert gone("1.1")


def test_a_fork_storm_does_not_outlive_its_job(make_far: Callable[..., FarHost]) -> None:
    link = make_far(hasty()).connect()
    assert link.run("1.1", "python3", "-c", STORM.format(then=""))["status"] == 0
    assert gone("1.1")


def test_cancel_of_what_has_not_started_fences_it(far: FarHost) -> None:
    link = far.connect(slots=1)
    link.launch("1.1", "sleep", "1000")
    link.launch("2.1", "touch", str(far.home / "ran"))
    link.say("cancel", id="2.1", grace=0)
    end = link.end_of("2.1")
    assert (end["why"], end["started"]) == ("fenced", None)
    link.say("cancel", id="1.1", grace=0)
    assert link.end_of("1.1")["why"] == "cancelled"
    assert link.run("3.1", "true")["status"] == 0
    assert not (far.home / "ran").exists()


def test_cancel_that_reaches_a_runner_together_with_its_launch_counts(make_far: Callable[..., FarHost]) -> None:
    # A runner that is slow to come up, and then has nothing to wait for but the end.
    begins = "        self._connected = True\n"
    slowly = f"{begins}        global QUIET_START\n        QUIET_START = 0.0\n        system.sleep(0.3)\n"
    link = make_far(hasty(runner=(begins, slowly))).connect()
    link.launch("1.1", "sleep", "1000")
    link.say("ping", seq=1)
    link.until("pong")
    link.say("cancel", id="1.1", grace=5)
    assert link.end_of("1.1")["why"] == "cancelled"


def test_cancel_of_what_is_over_tells_the_real_end(far: FarHost) -> None:
    link = far.connect()
    assert link.run("1.1", "true")["why"] == "exited"
    link.say("cancel", id="1.1", grace=0)
    assert link.until("ended", id="1.1")["why"] == "exited"


def test_a_paused_job_stands_still_and_goes_on(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script="while :; do echo; sleep 0.01; done & wait\n")
    link.until("out", id="1.1")
    link.say("pause", id="1.1")

    def states() -> set[str]:
        found = set()
        for pid in holders(token_of("1.1")):
            try:
                found.add(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0])
            except OSError:  # it was about to end
                found.add("gone")
        return found

    eventually(lambda: states() == {"T"}, "the pause")
    link.say("unpause", id="1.1")
    eventually(lambda: "T" not in states(), "the end of the pause")
    link.say("pause", id="1.1")
    eventually(lambda: states() == {"T"}, "the pause")
    link.say("cancel", id="1.1", grace=20)  # TERM reaches what is stopped
    assert link.end_of("1.1")["why"] == "cancelled"


def test_timeout_beats_what_ignores_term(make_far: Callable[..., FarHost]) -> None:
    link = make_far(hasty()).connect()
    end = link.run("1.1", script="trap '' TERM\nwhile :; do sleep 100; done\n", timeout=0.7)
    assert (end["why"], end["signal"]) == ("timed_out", signal.SIGKILL)


def test_what_cannot_be_killed_is_told_by_its_pids(make_far: Callable[..., FarHost]) -> None:
    # Stands for a process in the middle of a system call that does not end.
    send = "def send(proc: Proc, number: int) -> bool:"
    deaf = (send, f"{send}\n    return False\n\n{send.replace('send', 'unused')}")
    far = make_far(hasty(kill=("STUCK_AFTER = 5.0", "STUCK_AFTER = 0.1"), procs=deaf))
    link = far.connect(slots=1)
    link.launch("1.1", "sleep", "1000")
    pid = link.until("started", id="1.1")["pid"]
    link.say("cancel", id="1.1", grace=0)
    assert link.until("stuck") == {"t": "stuck", "id": "1.1", "pids": [pid]}
    # Its slot stays taken, and a new link hears of it as well.
    link.launch("2.1", "true")
    link.cut()
    link = far.again(link, "1.1", "2.1", slots=1)
    assert link.until("stuck", id="1.1")["pids"] == [pid]
    assert {"t": "state", "id": "2.1", "s": "queued"} in [*link.frames, link.until("state", id="2.1")]
    os.kill(pid, signal.SIGKILL)
    assert link.end_of("1.1")["why"] == "cancelled"
    assert link.end_of("2.1")["status"] == 0


def test_without_ctypes_the_token_finds_what_hides(make_far: Callable[..., FarHost]) -> None:
    link = make_far(hasty(system=NO_CTYPES)).connect()
    end = link.run("1.1", "python3", "-c", DAEMON.format(extra=IGNORES))
    assert (end["why"], end["status"]) == ("exited", 0)
    assert gone("1.1")
    assert link.run("2.1", "false")["status"] == 1


def test_without_ctypes_leftovers_may_be_kept_as_well(make_far: Callable[..., FarHost]) -> None:
    link = make_far(hasty(system=NO_CTYPES)).connect()
    end = link.run("1.1", script="sleep 1000 & echo $!\n", leftovers="keep")
    assert (end["why"], end["status"]) == ("exited", 0)
    kept = int(link.stdout("1.1"))
    assert alive(kept)
    os.kill(kept, signal.SIGKILL)
