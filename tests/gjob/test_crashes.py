"""kill -9 of the agent, of a runner, of both; journals that are torn; a host that went down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zlib
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import procs
from sshjobs.gjob.agent import adopt, attempts, crew
from sshjobs.gjob.agent.helpers import Helpers
from tests.gjob.client import FarHost, Link, alive, children, eventually, holders, token_of
from tests.lab.process import kill_all

GO = 'until [ -e "$HOME/go" ]; do sleep 0.02; done\n'
SAY = 'echo "$SSHJOBS_JOB" >> "$HOME/ledger"\n'


def start(far: FarHost, script: str = SAY + GO + "echo after\nexit 5\n", **spec: Any) -> tuple[Link, int, int]:
    """Start one job; return the link, the runner's pid and the job's."""
    link = far.connect()
    link.launch("1.1", script=script, **spec)
    job = link.until("started", id="1.1")["pid"]
    (runner,) = far.runners()
    return link, runner, job


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid), "a death")


def _reaped(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def ledger(far: FarHost) -> list[str]:
    return (far.home / "ledger").read_text().split()


def test_a_killed_agents_job_ends_as_if_nothing_happened(far: FarHost) -> None:
    link, runner, _ = start(far)
    far.kill_agent()
    assert alive(runner)
    second = far.again(link, "1.1")
    assert second.until("state", id="1.1")["s"] == "running"
    (far.home / "go").touch()
    end = second.end_of("1.1")
    assert (end["why"], end["status"]) == ("exited", 5)
    assert second.stdout("1.1") == b"after\n"
    assert ledger(far) == ["job-1.1"]
    eventually(lambda: not alive(runner), "the runner's leave")


def test_what_ended_while_no_agent_lived_is_told_by_the_next(far: FarHost) -> None:
    link, runner, _ = start(far)
    far.kill_agent()
    (far.home / "go").touch()
    eventually(lambda: not alive(runner), "the job's end")
    end = far.again(link, "1.1").end_of("1.1")
    assert (end["why"], end["status"], end["out"]) == ("exited", 5, 6)
    assert end["cpu"] > 0


def test_a_launch_that_is_sent_again_to_a_new_agent_does_not_start_again(far: FarHost) -> None:
    start(far)
    far.kill_agent()
    link = far.connect()
    link.launch("1.1", script=SAY)
    (far.home / "go").touch()
    assert link.end_of("1.1")["status"] == 5
    assert ledger(far) == ["job-1.1"]


def test_queued_launches_of_a_killed_agent_are_absent_and_can_be_sent_again(far: FarHost) -> None:
    link = far.connect(slots=1)
    link.launch("1.1", script=GO)
    link.launch("2.1", script=SAY)
    link.until("started", id="1.1")
    far.kill_agent()
    link = far.again(link, "1.1", "2.1", slots=1)
    link.until("state", id="2.1", s="absent")
    link.launch("2.1", script=SAY)
    (far.home / "go").touch()
    assert link.end_of("2.1")["status"] == 0
    assert ledger(far) == ["job-2.1"]


@pytest.mark.parametrize("how", [5, "KILL"])
def test_a_killed_runners_job_goes_on_and_its_exit_status_is_known(far: FarHost, how: object) -> None:
    link, runner, job = start(far, SAY + GO + "echo after\necho >&2\n" + ("exit 5\n" if how == 5 else "kill -KILL $$\n"))
    kill(runner)
    assert alive(job)
    assert eventually(lambda: job in children(far.agent), "the adoption")
    (far.home / "go").touch()
    end = link.end_of("1.1")
    assert (end["why"], end["status"], end["signal"]) == (
        ("exited", 5, None) if how == 5 else ("signalled", None, signal.SIGKILL))
    assert (link.stdout("1.1"), link.stderr("1.1"), end["out"], end["err"]) == (b"after\n", b"\n", 6, 1)
    assert link.run("2.1", "true")["status"] == 0


def test_runners_killed_at_any_moment_never_make_a_status_unknown(far: FarHost) -> None:
    """The agent reaps what they leave: with the agent alive, nothing is lost."""
    uids = [f"{number}.1" for number in range(1, 161)]
    link = far.connect(slots=2)
    for uid in uids:
        link.launch(uid, "false")
    rounds = 0
    while len([frame for frame in link.frames if frame["t"] == "ended"]) < len(uids):
        link.until("ended")
        rounds += 1
        if rounds % 4 == 0:
            victims = [line["runner"] for path in journals(far) for line in lines_of(path) if line["k"] == "runner"]
            for pid in [pid for pid in far.runners() if pid in victims][:1]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:  # it has left by itself
                    continue
                # Of two that die at the same moment it can be unclear whose job was whose.
                eventually(partial(_reaped, pid), "the agent's notice")
    ends = {(frame["why"], frame["status"]) for frame in link.frames if frame["t"] == "ended"}
    assert ends <= {("exited", 1), ("start_failed", None)}


def test_a_killed_runners_job_can_be_cancelled_with_all_that_hides(far: FarHost) -> None:
    script = "setsid sleep 1000 & (setsid env -i sleep 65432 &) ; sleep 1001\n"
    link, runner, job = start(far, script)
    eventually(lambda: _with_argument("65432"), "the hidden process")
    kill(runner)
    link.say("cancel", id="1.1", grace=1)
    end = link.end_of("1.1")
    assert (end["why"], end["signal"]) == ("cancelled", signal.SIGTERM)
    assert not alive(job) and holders(token_of("1.1")) == [] and _with_argument("65432") == []


def _with_argument(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if word.encode() in (entry / "cmdline").read_bytes().split(b"\0") and alive(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_killed_runners_job_still_has_its_timeout_and_leaves_nothing(far: FarHost) -> None:
    link, runner, _ = start(far, "sleep 1000\n", timeout=0.5)
    kill(runner)
    end = link.end_of("1.1")
    assert (end["why"], end["signal"]) == ("timed_out", signal.SIGTERM)


def test_leftovers_of_a_killed_runners_job_are_killed(far: FarHost) -> None:
    link, runner, _ = start(far, "setsid sleep 1000 &\n" + GO)
    kill(runner)
    (far.home / "go").touch()
    assert link.end_of("1.1")["status"] == 0
    assert holders(token_of("1.1")) == []


def test_agent_and_runner_killed_together_give_lost_once_the_job_is_over(far: FarHost) -> None:
    link, runner, job = start(far, "setsid sleep 1000 &\n" + SAY + GO + "echo after\n")
    far.kill_agent()
    kill(runner)
    second = far.again(link, "1.1")
    second.until("state", id="1.1", s="running")
    assert alive(job)
    (far.home / "go").touch()
    end = second.end_of("1.1")
    assert (end["why"], end["status"], end["signal"]) == ("lost", None, None)
    assert end["msg"] and end["started"]
    assert second.stdout("1.1") == b"after\n"
    assert holders(token_of("1.1")) == [] and ledger(far) == ["job-1.1"]


def test_what_runs_without_agent_and_runner_can_be_cancelled(far: FarHost) -> None:
    link, runner, job = start(far, "trap '' TERM\nsetsid sleep 1000 &\nwhile :; do sleep 0.1; done\n")
    far.kill_agent()
    kill(runner)
    second = far.again(link, "1.1")
    second.say("cancel", id="1.1", grace=0.2)
    assert second.end_of("1.1")["why"] == "cancelled"
    assert not alive(job) and holders(token_of("1.1")) == []


def test_an_earlier_agents_job_can_be_cancelled(far: FarHost) -> None:
    link, runner, job = start(far)
    far.kill_agent()
    second = far.again(link, "1.1")
    second.say("cancel", id="1.1", grace=5)
    end = second.end_of("1.1")
    assert (end["why"], end["signal"]) == ("cancelled", signal.SIGTERM)
    assert not alive(job)


def test_a_cancel_that_the_runner_did_not_live_to_hear_is_carried_out(far: FarHost) -> None:
    link, runner, job = start(far)
    os.kill(runner, signal.SIGSTOP)
    link.say("cancel", id="1.1", grace=0.1)
    link.say("ping", seq=1)
    link.until("pong", seq=1)
    kill(runner)
    assert link.end_of("1.1")["why"] == "cancelled"
    assert not alive(job)


def test_an_earlier_agents_kept_leftovers_stay(far: FarHost) -> None:
    link, runner, _ = start(far, GO + "sleep 1000 & echo $!\n", leftovers="keep")
    kill(runner)
    (far.home / "go").touch()
    assert link.end_of("1.1")["status"] == 0
    kept = int(link.stdout("1.1"))
    assert alive(kept)
    os.kill(kept, signal.SIGKILL)


#: An agent that looks after the job of one runner when another dies, before it has heard of that.
TWO_RUNNERS = """
import os, signal, sys, time, types
from sshjobs.gjob import procs, system
from sshjobs.gjob.agent import crew

def runner():
    answer, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        job = os.fork()
        if job == 0:
            os.setsid()
            time.sleep(60)
        os.write(said, b"%d" % job)
        time.sleep(60)
    return pid, int(os.read(answer, 20))

assert system.adopt_orphans()
first, orphan = runner()
second, job = runner()
agent = types.SimpleNamespace(_adopted={"1.1": None}, _ever_kept=False, _workers={first: None, second: None},
                              _mine=lambda: set(agent._workers))
strays = lambda: [proc.pid for proc in crew.Crew._strays(agent)]
os.kill(first, signal.SIGKILL)
os.waitpid(first, 0)
del agent._workers[first]
assert strays() == [orphan], (strays(), orphan)
os.kill(second, signal.SIGKILL)
while procs.runs(second):
    time.sleep(0.001)
print(strays())
for pid in (orphan, job):
    os.kill(pid, signal.SIGKILL)
"""


def test_the_job_of_a_runner_that_just_died_is_not_taken_for_what_another_left() -> None:
    done = subprocess.run([sys.executable, "-c", TWO_RUNNERS], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_status_that_was_reaped_under_the_same_pid_before_is_another_process_s() -> None:
    mains = {"1.1": 4242, "2.1": 4243}
    history = SimpleNamespace(read=lambda path: None, refresh=lambda: None, records={
        uid: {"claim": {"token": token_of(uid), "runner": 7, "rstart": 1}, "start": {"pid": pid, "start": 1, "at": 1.0}}
        for uid, pid in mains.items()})
    agent = crew.Crew.__new__(crew.Crew)
    seen: dict[str, dict[int, Any]] = {}

    def adopt_it(attempt: attempts.Attempt, never: bool = False) -> None:
        def look(now: float, reaped: dict[int, Any]) -> bytes:
            seen[attempt.uid] = dict(reaped)
            return b""
        agent._adopted[attempt.uid] = SimpleNamespace(  # type: ignore[assignment]
            look=look, attempt=attempt, inherited=False, see_runner=lambda: None)

    ours, earlier = (attempts.Attempt(uid, token_of(uid)) for uid in mains)
    worker = SimpleNamespace(pid=7, journal="", attempt=ours, ending=None, status=9, listen=lambda: ([], False),
                             sock=SimpleNamespace(fileno=lambda: 3))
    state = {"_workers": {7: worker}, "helpers": Helpers(), "_adopted": {}, "attempts": {}, "_history": history, "_adopt": adopt_it,
             "inherits": True, "_loop": SimpleNamespace(forget=lambda fd: None), "pool": SimpleNamespace(remove=lambda worker: None)}
    for name, value in state.items():
        setattr(agent, name, value)
    adopt_it(earlier)
    agent._reaped = dict.fromkeys(mains.values(), (0, 0.0, 0))
    agent._gone(worker)  # type: ignore[arg-type]
    agent._look_after_adopted(1.0)
    assert seen == {"1.1": {4243: (0, 0.0, 0)}, "2.1": {}}


def test_an_end_that_is_seen_before_it_is_reaped_is_waited_for() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    eventually(lambda: not alive(child.pid), "a zombie")
    seen = procs.look(child.pid)
    assert seen is not None and seen.dead
    records = {"claim": {"token": token_of("1.1"), "keep": True, "runner": child.pid, "rstart": -1},
               "start": {"pid": child.pid, "start": seen.start, "at": 1.0}}
    history = SimpleNamespace(records={"1.1": records}, journal=SimpleNamespace(append=lambda line: None))
    places = SimpleNamespace(size=lambda uid, stream: 0, stream=lambda uid, stream: "/no/such/file",
                             cwd=lambda uid: "/no/such/directory")
    leases = SimpleNamespace(covers=lambda uid: True)
    watched = adopt.Adopted(attempts.Attempt("1.1", token_of("1.1")), history, places, set, list,  # type: ignore[arg-type]
                            leases)  # type: ignore[arg-type]
    watched.see_runner()
    assert watched.look(0.0, {}) == b""
    end = watched.look(0.1, {child.pid: (child.wait(), 0.0, 0)})
    assert json.loads(b"{" + end)["why"] == "exited"


def test_many_kills_lose_nothing_and_double_nothing(far: FarHost) -> None:
    """Agents and runners die all the time; every job runs once, and only a double death may hide an exit status."""
    uids = [f"{number}.1" for number in range(1, 61)]
    done: dict[str, dict[str, object]] = {}
    victim = "agent"
    for _ in range(40):
        link = far.connect(slots=3, sync=[[uid, 0, 0] for uid in uids if uid not in done])
        for uid in uids:
            if uid not in done:
                link.launch(uid, script='sleep 0.02; echo "$SSHJOBS_JOB" >> "$HOME/ledger"; exit 4\n', job=uid)
        try:
            while len(done) < len(uids):
                frame = link.next(0.15)
                if frame["t"] == "ended":
                    done[frame["id"]] = frame
        except TimeoutError:
            pass
        if len(done) == len(uids):
            break
        runners = far.runners()
        if victim == "agent":
            far.kill_agent()
        elif runners:
            with suppress(ProcessLookupError):  # It has left by itself.
                os.kill(runners[0], signal.SIGKILL)
        victim = "runner" if victim == "agent" else "agent"
        link.close()
    assert set(done) == set(uids)
    ends = {str(frame["why"]) for frame in done.values()}
    assert ends <= {"exited", "lost", "start_failed"}
    exited = [uid for uid, frame in done.items() if frame["why"] == "exited"]
    assert all(done[uid]["status"] == 4 for uid in exited)
    written = ledger(far)
    assert len(written) == len(set(written)) and set(exited) <= set(written)
    assert not {uid for uid, frame in done.items() if frame["why"] == "start_failed"} & set(written)


# -- what is on the disk ----------------------------------------------------------------------------------------------

def journals(far: FarHost) -> list[Path]:
    return sorted((far.directory / "j").iterdir())


def record(**keys: object) -> bytes:
    text = json.dumps(keys, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line[9:]) for line in path.read_bytes().splitlines()]


def runner_journal(far: FarHost) -> Path:
    (path,) = [path for path in journals(far) if b'"claim"' in path.read_bytes()]
    return path


def test_journal_tells_claim_start_exit_and_end(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", "true")
    kinds = [line["k"] for line in lines_of(runner_journal(far))]
    # The second start, with the time of the start, is for what lives a while.
    assert kinds in (["runner", "claim", "start", "exit", "end"], ["runner", "claim", "start", "start", "exit", "end"])


def test_a_journal_torn_at_any_byte_of_its_last_line_is_read_up_to_it(far: FarHost) -> None:
    link = far.connect()
    link.run("1.1", script="exit 6\n")
    gone = [far.agent, *far.runners()]
    kill_all(gone)
    eventually(lambda: not any(map(alive, gone)), "their deaths")
    path = runner_journal(far)
    whole = path.read_bytes()
    last = whole[:-1].rfind(b"\n") + 1
    offsets = sorted({last, last + 1, last + 8, last + 9, last + 30, len(whole) - 2, len(whole) - 1, len(whole)})
    for offset in offsets:
        path.write_bytes(whole[:offset])
        link = far.connect(sync=[["1.1", 0, 0]])
        end = link.end_of("1.1")
        # The exit record stands before the end: the status is known even where the end is torn.
        assert (end["why"], end["status"]) == ("exited", 6)
        for other in set(journals(far)) - {path}:
            if any(line["k"] == "end" for line in lines_of(other)):
                other.unlink()
        far.kill_agent()


def test_a_journal_torn_at_every_byte_never_gives_a_wrong_record(tmp_path: Path) -> None:
    from sshjobs.gjob.journal import Reader

    whole = record(k="claim", id="1.1") + record(k="end", id="1.1", status=6)
    path = tmp_path / "1.log"
    for offset in range(len(whole) + 1):
        path.write_bytes(whole[:offset])
        reader = Reader(str(path))
        first = list(reader.read())
        path.write_bytes(whole)
        assert first + list(reader.read()) == [{"k": "claim", "id": "1.1"}, {"k": "end", "id": "1.1", "status": 6}]
        for damage in (b"\0", b"x", b"\n", b"9"):
            path.write_bytes(whole[:offset] + damage + whole[offset + 1:])
            assert [item for item in Reader(str(path)).read()
                    if item not in ({"k": "claim", "id": "1.1"}, {"k": "end", "id": "1.1", "status": 6})] == []


def test_a_runner_killed_between_directory_and_claim_never_started_it(far: FarHost) -> None:
    far.connect().run("1.1", "true")
    gone = [far.agent, *far.runners()]
    kill_all(gone)
    eventually(lambda: not any(map(alive, gone)), "their deaths")
    (far.directory / "w" / "2.1").mkdir()
    link = far.connect(sync=[["2.1", 0, 0]])
    end = link.end_of("2.1")
    assert (end["why"], end["started"]) == ("start_failed", None)
    link.launch("2.1", script=SAY)
    link.until("ended", id="2.1")
    assert not (far.home / "ledger").exists()


def test_a_claim_without_a_start_is_lost_and_what_carries_its_token_dies(far: FarHost) -> None:
    link, runner, job = start(far)
    far.kill_agent()
    kill(runner)
    path = runner_journal(far)
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b'"start"' not in line))
    second = far.again(link, "1.1")
    second.say("cancel", id="1.1", grace=0)
    assert second.end_of("1.1")["why"] in ("lost", "cancelled")
    assert not alive(job)


def test_what_a_job_without_a_noted_start_left_is_not_taken_for_the_job(far: FarHost) -> None:
    link, runner, job = start(far, "sleep 1000 &\n" + GO)
    path = runner_journal(far)
    far.kill_agent()
    kill(runner)
    path.write_bytes(b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b'"start"' not in line))
    second = far.again(link, "1.1")
    second.until("state", id="1.1", s="running")
    assert alive(job)
    (far.home / "go").touch()
    # Nobody cancels it.
    assert second.end_of("1.1")["why"] == "lost"
    assert holders(token_of("1.1")) == []


def test_what_ran_before_the_last_boot_ended_by_it(far: FarHost) -> None:
    link, runner, job = start(far, SAY + "echo before\n" + GO)
    link.until("out", id="1.1")
    far.kill_agent()
    kill(runner)
    kill(job)
    for path in journals(far):
        changed = [dict(line, boot="another-boot:1:1") if "boot" in line else line for line in lines_of(path)]
        path.write_bytes(b"".join(record(**line) for line in changed))
    (far.directory / "w" / "2.1").mkdir()
    second = far.connect(sync=[["1.1", 0, 0], ["2.1", 0, 0], ["3.1", 0, 0]])
    second.until("state", id="3.1", s="absent")
    end = second.end_of("1.1")
    assert (end["why"], end["status"], end["out"]) == ("reboot", None, 7)
    assert second.stdout("1.1") == b"before\n"
    assert second.end_of("2.1")["why"] == "reboot"
    far.kill_agent()
    third = far.connect(sync=[["1.1", 7, 0]], offsets={("1.1", 1): 7})
    assert third.end_of("1.1")["why"] == "reboot"


@pytest.mark.parametrize("whole", [True, False])
def test_an_end_from_before_the_last_boot_counts_if_its_outputs_are_whole(far: FarHost, whole: bool) -> None:
    link = far.connect()
    assert link.run("1.1", script="echo before\nexit 3\n")["status"] == 3
    far.kill_agent()
    for path in journals(far):
        changed = [dict(line, boot="another-boot:1:1") if "boot" in line else line for line in lines_of(path)]
        path.write_bytes(b"".join(record(**line) for line in changed))
    if not whole:
        # What was not on the disk when the power went.
        os.truncate(far.directory / "o" / "1.1.out", 4)
    second = far.connect(sync=[["1.1", 0, 0]], epoch=2)
    end = second.end_of("1.1")
    assert (end["why"], end["status"], end["out"]) == (("exited", 3, 7) if whole else ("reboot", None, 4))
    assert second.stdout("1.1") == b"before\n"[:end["out"]]


def test_a_runner_that_finds_the_directory_taken_starts_nothing(far: FarHost) -> None:
    link = far.connect()
    assert link.run("1.1", "true")["why"] == "exited"
    (far.directory / "w" / "2.1").mkdir()
    end = link.run("2.1", script="echo ran >> $HOME/ledger\n")
    assert (end["why"], end["started"]) == ("start_failed", None)
    assert not (far.home / "ledger").exists()
    assert link.run("3.1", "true")["why"] == "exited"


def test_an_orphan_that_ends_before_the_job_is_not_taken_for_it(far: FarHost) -> None:
    link = far.connect()
    script = "(setsid sh -c 'exit 9' &)\nsleep 0.3\necho end\nexit 4\n"
    end = link.run("1.1", script=script, strict=False)
    assert (end["why"], end["status"], link.stdout("1.1")) == ("exited", 4, b"end\n")


@pytest.mark.parametrize(("session", "found"), [(100, True), (7, True), (1, False)])
def test_only_a_child_that_leads_a_session_or_is_in_its_runners_is_taken_for_a_job(
        session: int, found: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    child = procs.Proc(100, os.getpid(), "S", 55, session)
    monkeypatch.setattr(procs, "children", lambda: [100])
    monkeypatch.setattr(procs, "look", lambda pid: child)
    monkeypatch.setattr(procs, "holders", lambda tokens, table: [])
    noted: list[tuple[str, int, int]] = []
    history = SimpleNamespace(records={"1.1": {"claim": {"token": "t"}}},
                              note_start=lambda uid, pid, start: noted.append((uid, pid, start)))
    attempt = attempts.Attempt("1.1", "t")
    assert adopt.find_main(attempt, history, 7, [], set()) is found  # type: ignore[arg-type]
    assert noted == ([("1.1", 100, 55)] if found else [])
    assert adopt.find_main(attempt, history, 7, [], {100}) is False  # type: ignore[arg-type]


def test_another_process_under_the_jobs_pid_is_not_the_job(far: FarHost) -> None:
    link, runner, job = start(far)
    far.kill_agent()
    kill(runner)
    innocent = os.getpid()
    path = runner_journal(far)
    lines = [dict(line, pid=innocent) if line["k"] == "start" else line for line in lines_of(path)]
    path.write_bytes(b"".join(record(**line) for line in lines))
    kill(job)
    second = far.again(link, "1.1")
    second.say("cancel", id="1.1", grace=0)
    assert second.end_of("1.1")["why"] in ("lost", "cancelled")


def test_a_journal_stays_until_all_of_it_is_released(far: FarHost) -> None:
    link = far.connect(slots=1)
    for uid in ("1.1", "2.1"):
        link.run(uid, "/bin/echo", uid)
    (worker,) = far.runners()
    link.say("release", ids=["1.1"])
    link.say("ping", seq=1)
    link.until("pong")
    kill(worker)
    eventually(lambda: not children(far.agent), "the agent's look at its runner")
    link.cut()
    far.kill_agent()
    link = far.again(link, "2.1")
    assert link.end_of("2.1")["status"] == 0, "its end is still known"
    link.say("release", ids=["2.1"])
    link.say("ping", seq=2)
    link.until("pong")
