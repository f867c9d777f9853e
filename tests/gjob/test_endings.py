"""Nothing of a run that is over stays on a host, and nothing is made there for a manager that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs.gjob.agent import logout
from sshjobs.network import payload
from tests.gjob.client import NONCE, FarHost, alive, eventually, holders
from tests.hints import tries


def changed(**replacements: tuple[str, str]) -> bytes:
    """The far side with something else in some of its modules."""
    modules = dict(payload.sources())
    for name, (before, after) in replacements.items():
        module = f"sshjobs.gjob.agent.{name}"
        assert before in modules[module], module
        modules[module] = modules[module].replace(before, after)
    return payload.pack(modules)


def nothing_of(far: FarHost) -> bool:
    return not (far.home / ".sshjobs").exists() and not holders(f"FAR_HOST={far.run}")


def test_nothing_is_made_before_the_manager_has_seen_the_marker(far: FarHost) -> None:
    link = far.greet()
    with pytest.raises(TimeoutError):
        link.next(0.5)
    assert not (far.home / ".sshjobs").exists()
    link.say("sync", a=[], last=True)
    assert link.until("welcome")["resumed"] is False


def test_a_manager_that_is_gone_by_then_leaves_nothing_to_be_made(far: FarHost) -> None:
    done = subprocess.run(["sh", "-c", payload.remote_command(far.python)], env=far.environ, capture_output=True,
                          input=payload.first_stage(NONCE, hello=far.first_word()), timeout=20)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == f"\nSSHJOBS-READY {NONCE}\n".encode()
    assert not (far.home / ".sshjobs").exists()


def test_an_agent_in_a_hurry_comes_up_unasked_and_leaves_nothing_if_nobody_ever_speaks_to_it(far: FarHost) -> None:
    link = far.greet(hurry=True)
    assert link.until("welcome")["resumed"] is False
    assert (far.home / ".sshjobs").exists()
    link.close()
    eventually(lambda: nothing_of(far), "the end of the agent", 8)


def test_an_agent_in_a_hurry_whose_manager_is_gone_before_it_has_come_leaves_nothing(far: FarHost) -> None:
    subprocess.run(["sh", "-c", payload.remote_command(far.python)], env=far.environ, capture_output=True, check=False,
                   input=payload.first_stage(NONCE, hello=far.first_word(), hurry=True), timeout=20)
    eventually(lambda: nothing_of(far), "the end of the agent", 8)


@pytest.mark.parametrize("moment", ["before it has its first link", "as it comes up"])
def test_an_agent_whose_front_dies_before_it_brings_the_link_leaves_nothing(
        make_far: Callable[..., FarHost], moment: str) -> None:
    if moment == "as it comes up":
        packed = changed(front=("    system.fork(child)\n", "    system.fork(child)\n    system.kill(me, 9)\n"))
    else:
        packed = changed(front=("door.hand_over(agent, line, (0, 1))", "system.kill(system.getpid(), 9)"))
    far = make_far(packed)
    link = far.greet()
    link.say("sync", a=[], last=True)
    link.process.wait(20)
    eventually(lambda: nothing_of(far), "the end of the agent", 8)


def test_the_last_process_has_ended_when_the_link_does(far: FarHost) -> None:
    link = far.connect(slots=4)
    for number in range(1, 9):
        assert link.run(f"{number}.1", "true")["why"] == "exited"
    link.say("release", ids=[f"{number}.1" for number in range(1, 9)])
    staff = [far.agent, *far.runners()]
    link.say("bye")
    assert link.until("gone")["files"] == 0
    assert link.hung_up()
    # Between the closing of its files and its death a process is a moment in the kernel's hands.
    eventually(lambda: not any(map(alive, staff)), "the end of agent and runners", 0.3)


def test_a_long_deletion_is_told_while_it_goes_on(make_far: Callable[..., FarHost]) -> None:
    far = make_far(changed(agent=("LOOK_FOR_FRONT, TELLS_OF_CLEARING = 0.05, 1.0",
                                  "LOOK_FOR_FRONT, TELLS_OF_CLEARING = 0.05, 0.0")))
    link = far.connect()
    # Not by the job's release: the end has to delete it.
    link.run("1.1", "sh", "-c", "seq 2000 | xargs touch")
    link.say("bye")
    told = [link.until("clearing")["pieces"], link.until("clearing")["pieces"]]
    assert told == sorted(set(told))
    assert link.until("gone")["files"] == 0


def test_jobs_go_on_while_much_of_an_earlier_one_is_deleted(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", "sh", "-c", "seq 20000 | xargs touch")
    link.say("release", ids=["1.1"])
    assert link.run("2.1", "echo", "on")["why"] == "exited"
    eventually(lambda: not (far.directory / "w" / "1.1").exists(), "the deletion")


def test_an_agent_that_nobody_can_find_ends_when_the_next_one_comes(far: FarHost) -> None:
    far.environ["GO"] = str(far.home / "go")
    link = far.connect(slots=2)
    link.launch("1.1", script='echo first\nuntil [ -e "$GO" ]; do sleep 0.02; done\necho last\nexit 5\n')
    link.until("out", id="1.1")
    old = far.agent
    for path in (f"/tmp/sshjobs-{os.getuid()}/{far.run[:8]}-{suffix}" for suffix in ("*.sock", "*.lock")):
        subprocess.run(["sh", "-c", f"rm -f {path}"], check=True)
    again = far.again(link, "1.1", epoch=2)
    assert far.agent != old
    eventually(lambda: not alive(old), "the end of the agent that nobody finds", 5)
    (far.home / "go").touch()
    end = again.end_of("1.1")
    assert (end["why"], end["status"], again.stdout("1.1")) == ("exited", 5, b"last\n")
    again.say("release", ids=["1.1"])
    again.say("bye")
    again.until("gone")
    assert again.hung_up()
    eventually(lambda: nothing_of(far), "nothing of the run to be left", 5)


def test_a_process_that_has_the_pid_of_an_earlier_agent_is_left_alone(far: FarHost) -> None:
    far.connect()
    record = far.directory / "agent"
    stranger = subprocess.Popen(["sleep", "60"])
    text = record.read_bytes()
    far.kill_agent()
    body = text[9:-1].replace(b'"pid":%d' % far.agent, b'"pid":%d' % stranger.pid)
    record.write_bytes(b"%08x %s\n" % (zlib.crc32(body), body))
    far.connect(epoch=2)
    assert stranger.poll() is None
    stranger.send_signal(signal.SIGKILL)
    stranger.wait()


# -- hosts that end everything at logout -----------------------------------------------------------------------------

@pytest.mark.parametrize(("conf", "ends"), [
    ({}, False),
    ({"etc/systemd/logind.conf": "[Login]\n#KillUserProcesses=yes\n"}, False),
    ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses = yes\n"}, True),
    ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n",
      "etc/systemd/logind.conf.d/50-no.conf": "[Login]\nKillUserProcesses=no\n"}, False),
    ({"usr/lib/systemd/logind.conf.d/10.conf": "[Login]\nKillUserProcesses=1\n"}, True),
    ({"etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n", "var/lib/systemd/linger/12345": ""}, False),
])
def test_whether_a_logout_ends_everything_is_read_from_its_configuration(
        conf: dict[str, str], ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in conf.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(logout, "ROOT", str(tmp_path))
    monkeypatch.setattr("sshjobs.gjob.system.getuid", lambda: 12345)
    assert logout.ends_everything() is ends
    monkeypatch.setattr("sshjobs.gjob.system.getuid", lambda: 0)
    assert logout.ends_everything() is False


@tries("the agent and its runner were killed, and its exit status is not known; some hosts end everything at logout "
       "(KillUserProcesses): see sshjobs hosts check")
@pytest.mark.parametrize("known", [True, False])
def test_a_job_that_was_killed_with_all_of_ours_says_what_may_have_done_it(
        make_far: Callable[..., FarHost], known: bool) -> None:
    module = changed(adopt=("logout.ends_everything()", str(known)), facts=("logout.ends_everything()", str(known)))
    far = make_far(module)
    link = far.connect()
    link.launch("1.1", "sleep", "1000")
    link.until("started", id="1.1")
    assert any("enable-linger" in frame.get("msg", "") for frame in link.frames) is known
    for pid in (far.agent, *holders(f"FAR_HOST={far.run}")):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    end = far.again(link, "1.1", epoch=2).end_of("1.1")
    assert end["why"] == "lost"
    assert ("loginctl enable-linger" if known else "hosts check") in end["msg"]


def test_what_is_kept_stays_when_all_else_is_deleted_and_its_attempt_never_starts_again(far: FarHost) -> None:
    link = far.connect(slots=2)
    for uid in ("1.1", "2.1"):
        assert link.run(uid, "sh", "-c", "echo $SSHJOBS_ATTEMPT > mark; echo said")["why"] == "exited"
    link.say("release", ids=["1.1", "2.1"], keep=["1.1", "77.1"])
    link.launch("1.1", "touch", "again")
    assert link.until("state") == {"t": "state", "id": "1.1", "s": "absent"}
    link.say("bye")
    gone = link.until("gone")
    assert (gone["processes"], gone["files"], gone["kept"]) == (0, 0, 1)
    assert link.hung_up()
    assert sorted(path.name for path in far.directory.iterdir()) == ["j", "w"]
    assert [path.name for path in (far.directory / "w").iterdir()] == ["1.1"]
    assert (far.directory / "w/1.1/mark").read_text() == "1\n"
    # The next agent of the same run leaves it alone, and does not start it either.
    again = far.connect()
    again.launch("1.1", "touch", "again")
    assert again.until("state") == {"t": "state", "id": "1.1", "s": "absent"}
    again.say("bye")
    assert again.until("gone")["kept"] == 1
    assert sorted(path.name for path in (far.directory / "w/1.1").iterdir()) == ["mark"]
