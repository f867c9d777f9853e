"""Links come and go: what is known is told again, what was asked twice happens once."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import pytest

from sshjobs.network import payload
from tests.gjob.client import FarHost, LinkEnded, alive, encode, eventually

LEDGER = 'echo "$SSHJOBS_JOB" >> "$HOME/ledger"\n'
GO = 'until [ -e "$HOME/go" ]; do sleep 0.02; done\n'


def ledger(far: FarHost) -> list[str]:
    path = far.home / "ledger"
    return path.read_text().split() if path.exists() else []


def test_welcome_tells_what_the_host_is(far: FarHost) -> None:
    far.connect(slots=None)
    told = far.welcome
    assert told["v"] == 1 and told["resumed"] is False
    assert told["root"] == str(far.home / ".sshjobs") and told["home"] == str(far.home)
    assert told["boot"] == open("/proc/sys/kernel/random/boot_id").read().strip()
    assert told["pidns"] == os.stat("/proc/self/ns/pid").st_ino
    assert 1 <= told["cores"] <= len(os.sched_getaffinity(0))
    assert 0 < told["memory"] and 0 < told["disk"] and told["hostname"] == os.uname().nodename
    assert isinstance(told["gpus"], list) and told["python"].startswith("3.")


def test_a_launch_that_is_sent_twice_starts_once(far: FarHost) -> None:
    link = far.connect(slots=4)
    for _ in range(2):
        for number in range(1, 501):
            link.launch(f"{number}.1", script=LEDGER, job=f"j{number}")
    for number in range(1, 501):
        link.end_of(f"{number}.1")
    link.launch("500.1", script=LEDGER)
    link.until("ended", id="500.1")
    assert sorted(ledger(far)) == sorted(f"j{number}" for number in range(1, 501))


def test_launches_resent_on_every_new_link_start_once_each(far: FarHost) -> None:
    uids = [f"{number}.1" for number in range(1, 101)]
    link = far.connect(slots=2)
    for round_ in range(10):
        for uid in uids:
            link.launch(uid, script=LEDGER, job=uid)
        link.until("ended", id=uids[round_])
        offsets = dict(link.offsets)
        link.cut()
        link = far.connect(slots=2, sync=[[uid, offsets.get((uid, 1), 0), 0] for uid in uids], offsets=offsets)
    ended = {frame["id"] for frame in link.frames if frame["t"] == "ended"}
    for uid in uids:
        if uid not in ended and uid not in {frame["id"] for frame in link.frames if frame["t"] == "ended"}:
            link.launch(uid, script=LEDGER, job=uid)
            link.until("ended", id=uid)
    assert sorted(ledger(far)) == sorted(uids)


def test_a_job_goes_on_without_a_link_and_output_continues_at_its_offset(far: FarHost) -> None:
    data = random.Random(3).randbytes(1 << 20)
    (far.home / "data").write_bytes(data)
    link = far.connect()
    link.launch("1.1", script='head -c 700000 "$HOME/data"\n' + GO + 'tail -c +700001 "$HOME/data"\n')
    while len(link.stdout("1.1")) < 300000:
        link.until("out")
    first = link.stdout("1.1")
    link.cut()
    (far.home / "go").touch()
    second = far.again(link, "1.1")
    assert second.end_of("1.1")["out"] == len(data)
    assert first + second.stdout("1.1") == data
    assert far.welcome["resumed"] is True


def test_output_is_resumed_at_every_offset(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", "printf", "0123456789")
    for have in range(11):
        link.cut()
        link = far.connect(sync=[["1.1", have, 0]], offsets={("1.1", 1): have})
        assert link.end_of("1.1")["out"] == 10
        assert link.stdout("1.1") == b"0123456789"[have:]


def test_a_burst_does_not_drown_the_agent(far: FarHost) -> None:
    """Nobody reads for a while: the agent holds its breath instead of holding the output."""
    link = far.connect()
    link.launch("1.1", "head", "-c", str(32 << 20), "/dev/zero")
    link.until("out", id="1.1")
    eventually(lambda: (far.directory / "o" / "1.1.out").stat().st_size == 32 << 20, "the output's end")
    resident = [line for line in open(f"/proc/{far.agent}/status") if line.startswith("VmRSS")][0]
    assert int(resident.split()[1]) < 40 << 10
    link.say("ping", seq=3)
    assert link.end_of("1.1")["out"] == 32 << 20
    assert any(frame["t"] == "pong" and frame["seq"] == 3 for frame in link.frames)


def test_sync_tells_what_is_absent_queued_running_and_ended(far: FarHost) -> None:
    link = far.connect(slots=1)
    link.run("1.1", "true")
    link.launch("2.1", script=GO)
    link.launch("3.1", "true")
    link.until("started", id="2.1")
    link.cut()
    link = far.connect(slots=1, sync=[[uid, 0, 0] for uid in ("1.1", "2.1", "3.1", "4.1")])
    link.until("ended", id="1.1")
    states = {frame["id"]: frame["s"] for frame in link.frames if frame["t"] == "state"}
    assert states == {"2.1": "running", "3.1": "queued", "4.1": "absent"}
    assert any(frame["t"] == "started" and frame["id"] == "2.1" for frame in link.frames)
    (far.home / "go").touch()
    assert link.end_of("2.1")["status"] == link.end_of("3.1")["status"] == 0


def test_what_the_manager_does_not_know_is_told_after_its_last_sync(far: FarHost) -> None:
    link = far.connect(slots=1)
    link.run("1.1", "echo", "hi")
    link.launch("2.1", script=GO)
    link.until("started", id="2.1")
    link.cut()
    link = far.open()
    far.hello(link, slots=1)
    link.until("welcome")
    link.say("sync", a=[["5.1", 0, 0]], last=False)
    link.until("state", id="5.1", s="absent")
    link.say("ping", seq=1)
    assert link.next()["t"] == "pong"
    link.say("sync", a=[], last=True)
    link.until("ended", id="1.1")
    assert link.stdout("1.1") == b"hi\n"
    assert {"t": "state", "id": "2.1", "s": "running"} in link.frames
    (far.home / "go").touch()
    link.end_of("2.1")


def test_an_older_manager_is_told_that_it_is_stale(far: FarHost) -> None:
    first = far.connect(epoch=3)
    old = far.open()
    far.hello(old, epoch=2)
    assert old.next() == {"t": "stale", "epoch": 3}
    assert old.hung_up()
    assert first.run("1.1", "true")["status"] == 0


def test_the_epoch_outlives_the_agent(far: FarHost) -> None:
    far.connect(epoch=3).run("1.1", "true")
    far.kill_agent()
    old = far.open()
    far.hello(old, epoch=2)
    assert old.next()["t"] == "stale"


@pytest.mark.parametrize("epoch", [1, 2])
def test_a_new_link_replaces_the_one_before(far: FarHost, epoch: int) -> None:
    first = far.connect(epoch=1)
    agent = far.agent
    second = far.connect(epoch=epoch)
    assert far.agent == agent
    with pytest.raises(LinkEnded):
        first.next()
    assert first.process.wait(20) == 0
    assert second.run("1.1", "true")["status"] == 0


def test_many_logins_at_once_find_one_agent(far: FarHost) -> None:
    links = [far.open() for _ in range(6)]
    for number, link in enumerate(links):
        far.hello(link, epoch=number + 1)
    agents = set()
    for link in links:
        try:
            frame = link.next()
        except LinkEnded:  # replaced before it was welcome
            continue
        if frame["t"] == "welcome":
            agents.add(frame["pid"])
    assert len(agents) == 1
    far.connect(epoch=9)
    assert {far.agent} == agents


def test_hosts_with_one_home_are_kept_apart(far: FarHost) -> None:
    one, agent = far.connect(host="one"), far.agent
    two = far.connect(host="two")
    assert far.agent != agent
    one.run("1.1", "echo", "from one")
    two.run("1.1", "echo", "from two")
    assert (one.stdout("1.1"), two.stdout("1.1")) == (b"from one\n", b"from two\n")


def test_a_fenced_attempt_never_starts(far: FarHost) -> None:
    link = far.connect()
    link.say("fence", id="1.1")
    end = link.until("ended", id="1.1")
    assert (end["why"], end["started"], end["out"], end["err"]) == ("fenced", None, 0, 0)
    link.launch("1.1", script=LEDGER)
    assert link.until("ended", id="1.1")["why"] == "fenced"
    far.kill_agent()
    link = far.connect(sync=[["1.1", 0, 0]])
    assert link.until("ended", id="1.1")["why"] == "fenced"
    link.launch("1.1", script=LEDGER)
    link.until("ended", id="1.1")
    assert ledger(far) == []


def test_a_fence_that_comes_too_late_is_told_how_it_stands(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script=GO)
    link.until("started", id="1.1")
    link.say("fence", id="1.1")
    assert link.until("state", id="1.1")["s"] == "running"
    (far.home / "go").touch()
    link.end_of("1.1")
    link.say("fence", id="1.1")
    assert link.until("ended", id="1.1")["why"] == "exited"


def test_fence_and_launch_that_race_have_one_winner(far: FarHost) -> None:
    link = far.connect(slots=2)
    uids = [f"{number}.1" for number in range(1, 201)]
    for first in range(0, len(uids), 10):
        some = uids[first:first + 10]
        link.write(b"".join(encode("launch", id=uid, token="f" * 16, job=uid, index=1, spec={"script": LEDGER})
                            for uid in some))
        # Some are over when the fences come, some run, some wait.
        link.end_of(some[0])
        link.write(b"".join(encode("fence", id=uid) for uid in some[1:]))
    ends = {uid: link.end_of(uid)["why"] for uid in uids}
    assert set(ends.values()) == {"exited", "fenced"}
    assert sorted(ledger(far)) == sorted(uid for uid, why in ends.items() if why == "exited")


def test_a_released_attempt_is_gone_and_cannot_be_launched_again(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", script=LEDGER + "touch file\n")
    link.say("release", ids=["1.1", "1.1", "77.1"])
    eventually(lambda: not list(far.directory.glob("[wo]/1.1*")), "the deletion")
    link.launch("1.1", script=LEDGER)
    assert link.until("state", id="1.1")["s"] == "absent"
    far.kill_agent()
    link = far.connect(sync=[["1.1", 0, 0]])
    assert link.until("state", id="1.1")["s"] == "absent"
    link.launch("1.1", script=LEDGER)
    assert link.until("state", id="1.1")["s"] == "absent"
    assert link.run("1.2", script=LEDGER, job="second")["status"] == 0
    assert ledger(far) == ["job-1.1", "second"]


def test_slots_can_be_changed(far: FarHost) -> None:
    link = far.connect(slots=1)
    for uid in ("1.1", "2.1", "3.1"):
        link.launch(uid, script=GO)
    link.until("started", id="1.1")
    link.say("slots", slots=3)
    link.until("started", id="2.1")
    if not any(frame["t"] == "started" and frame["id"] == "3.1" for frame in link.frames):
        link.until("started", id="3.1")
    link.say("slots", slots=1)
    (far.home / "go").touch()
    for uid in ("1.1", "2.1", "3.1"):
        link.end_of(uid)
    eventually(lambda: len(far.runners()) == 1, "the end of runners that are one too many")
    assert link.run("4.1", "true")["status"] == 0


def test_bye_leaves_nothing(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", script="mkdir -p a; chmod 0 a\n")
    runners, directory = far.runners(), far.directory
    link.say("bye")
    assert link.until("gone") == {"t": "gone", "processes": 0, "files": 0}
    assert link.hung_up() and link.process.wait(20) == 0
    eventually(lambda: not any(map(alive, [far.agent, *runners])), "the end of the agent and its runners")
    assert not directory.exists() and not (far.home / ".sshjobs").exists()
    assert not list(os.scandir("/tmp/")) or not [
        name for name in _listed(f"/tmp/sshjobs-{os.getuid()}") if name.startswith(far.run[:8])]


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except FileNotFoundError:
        return []


def test_bye_is_refused_while_something_runs(far: FarHost) -> None:
    link = far.connect()
    link.launch("1.1", script=GO)
    link.until("started", id="1.1")
    link.say("bye")
    assert link.next() == {"t": "error", "msg": "bye: 1.1 runs"}
    assert link.hung_up()
    (far.home / "go").touch()
    assert far.again(link, "1.1").end_of("1.1")["status"] == 0


def test_an_agent_that_nobody_needs_goes_and_one_that_is_needed_stays(make_far: Callable[..., FarHost]) -> None:
    modules = dict(payload.sources())
    agent = "sshjobs.gjob.agent.agent"
    modules[agent] = modules[agent].replace("IDLE_EXIT = 60.0", "IDLE_EXIT = 0.2")
    far = make_far(payload.pack(modules))
    link = far.connect()
    link.run("1.1", "echo", "released")
    link.run("2.1", "echo", "kept")
    link.say("release", ids=["1.1"])
    link.launch("3.1", script=GO)
    link.until("started", id="3.1")
    busy = far.agent
    link.cut()
    (far.home / "go").touch()
    eventually(lambda: not alive(busy), "the agent's leave, once the job is over")
    # What must not be forgotten is there for the next one.
    link = far.connect(sync=[[f"{number}.1", 0, 0] for number in (1, 2, 3)])
    assert far.agent != busy and far.welcome["resumed"] is True
    assert link.end_of("2.1")["out"] == 5 and link.end_of("3.1")["status"] == 0
    assert {"t": "state", "id": "1.1", "s": "absent"} in link.frames
    link.say("bye")
    link.until("gone")


def test_an_unused_agent_leaves_nothing_when_it_goes(make_far: Callable[..., FarHost]) -> None:
    modules = dict(payload.sources())
    agent = "sshjobs.gjob.agent.agent"
    modules[agent] = modules[agent].replace("IDLE_EXIT = 60.0", "IDLE_EXIT = 0.1")
    far = make_far(payload.pack(modules))
    link = far.connect()
    link.cut()
    eventually(lambda: not alive(far.agent), "the agent's leave")
    assert not (far.home / ".sshjobs").exists()


@pytest.mark.parametrize("what", ["an end", "a fence", "a release"])
def test_an_agent_that_started_nothing_leaves_what_must_be_remembered(make_far: Callable[..., FarHost],
                                                                      what: str) -> None:
    modules = dict(payload.sources())
    agent = "sshjobs.gjob.agent.agent"
    modules[agent] = modules[agent].replace("IDLE_EXIT = 60.0", "IDLE_EXIT = 0.2")
    far = make_far(payload.pack(modules))
    link = far.connect()
    if what == "a fence":
        link.say("fence", id="1.1")
        link.end_of("1.1")
    else:
        link.run("1.1", script=LEDGER)
    if what == "a release":
        link.say("release", ids=["1.1"])
        link.say("ping", seq=1)
        link.until("pong")
    far.kill_agent()
    # Another one, which has nothing to do before its link is lost as well.
    link = far.connect()
    link.cut()
    eventually(lambda: not alive(far.agent), "the agent's leave")
    link = far.connect()
    assert far.welcome["resumed"] is True
    link.launch("1.1", script=LEDGER)
    if what == "a release":
        assert link.until("state", id="1.1")["s"] == "absent"
    else:
        assert link.end_of("1.1")["why"] == ("fenced" if what == "a fence" else "exited")
    assert len(ledger(far)) == (what != "a fence")


def test_journals_do_not_grow_for_ever(make_far: Callable[..., FarHost]) -> None:
    modules = dict(payload.sources())
    pool = "sshjobs.gjob.agent.pool"
    modules[pool] = modules[pool].replace("JOBS_PER_JOURNAL = 4096", "JOBS_PER_JOURNAL = 3")
    far = make_far(payload.pack(modules))
    link = far.connect(slots=1)
    for number in range(1, 21):
        link.run(f"{number}.1", script=LEDGER, job=f"j{number}")
        if number != 5:
            link.say("release", ids=[f"{number}.1"])
    # The agent's own, the one in use, and the one with what was not released.
    eventually(lambda: len(list((far.directory / "j").iterdir())) == 3, "the deletion of old journals")
    far.kill_agent()
    link = far.connect(sync=[["5.1", 0, 0], ["6.1", 0, 0]])
    link.until("state", id="6.1", s="absent")
    assert link.end_of("5.1")["status"] == 0
    for uid in ("3.1", "19.1"):
        link.launch(uid, script=LEDGER)
        assert link.until("state", id=uid)["s"] == "absent"
    assert len(ledger(far)) == 20


def test_link_ends_when_the_agent_dies(far: FarHost) -> None:
    link = far.connect()
    os.kill(far.agent, signal.SIGKILL)
    with pytest.raises(LinkEnded):
        link.next()
