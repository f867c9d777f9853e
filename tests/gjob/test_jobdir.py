"""How a job directory is judged from its record, what survives in it, and what arrives in it, without any host."""

from __future__ import annotations

import errno
import io
import json
import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.gjob import door, procs, system
from sshjobs.gjob.job import Job
from sshjobs.gjob.journal import record
from sshjobs.gjob.places import Places
from sshjobs.gjob.start import Starter
from sshjobs.gjob.verbs import control, far, jobdir, local, main, remote, start, traces
from sshjobs.gjob.verbs.jobdir import JobDir
from sshjobs.gjob.verbs.say import Trouble
from tests.gjob.client import alive, children, eventually

HERE = {"boot": procs.identity(), "runner": 1, "rstart": 1}
CLAIM, START = {"id": "1.1"}, {"pid": 2**22 + 5, "start": 7, "at": 5.0}
ENDED = {"why": "exited", "status": 0, "signal": None, "started": 5.0, "ended": 6.0, "cpu": 0.1, "rss": 1}
FAILED = {**ENDED, "status": 3}


def judged(path: Path, records: dict[str, dict[str, Any]], *files: str) -> tuple[str, str | None]:
    """Return the state and the outcome of a job directory with such records and files."""
    (path / ".gjob").mkdir(exist_ok=True)
    lines = [record(json.dumps({"k": kind, **keys}).encode()) for kind, keys in records.items()]
    (path / ".gjob/journal").write_bytes(b"".join(lines))
    for name in files:
        (path / name).touch()
    standing = JobDir(str(path)).standing()
    return standing.state, standing.facts["outcome"]


def job(host: str = "") -> dict[str, Any]:
    return {"token": "t" * 32, "host": host or socket.gethostname(), "at": 4.0}


@pytest.mark.parametrize(("records", "files", "state", "outcome"), [
    ({"job": job(), "end": ENDED}, [".done"], "done", "succeeded"),
    ({"job": job(), "end": FAILED}, ["DELETED"], "error", "failed"),
    ({"job": job("else"), "end": ENDED}, [".done"], "done", "succeeded"),
    ({"job": job("else"), "end": ENDED}, [], "unknown", None),
    ({"job": job("else")}, [".done"], "unknown", None),
    ({"job": job(), "runner": HERE, "claim": CLAIM, "start": START, "end": FAILED}, [], "error", "failed"),
    ({"job": job(), "runner": HERE, "claim": CLAIM, "start": START, "exit": ENDED}, [], "done", "succeeded"),
    ({"job": job(), "runner": HERE, "claim": CLAIM, "start": START}, [], "error", "lost"),
    ({"job": job(), "runner": HERE}, [], "error", "never_started"),
    ({"job": job(), "runner": {**HERE, "boot": "before"}, "claim": CLAIM, "start": START}, [], "error", "lost"),
    ({"job": job(), "runner": {**HERE, "boot": "before"}}, [], "error", "never_started"),
])
def test_a_job_stands_as_its_record_says(tmp_path: Path, records: dict[str, dict[str, Any]], files: list[str],
                                        state: str, outcome: str | None) -> None:
    assert judged(tmp_path, records, *files) == (state, outcome)


def test_a_job_is_busy_while_its_watcher_or_any_process_of_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"job": job(), "runner": {**HERE, "runner": 90, "rstart": 9}, "claim": CLAIM, "start": {**START, "pid": 91, "start": 8}}
    table: dict[int, procs.Proc] = {}
    monkeypatch.setattr(procs, "identity", lambda: HERE["boot"])
    monkeypatch.setattr(procs, "look", table.get)
    monkeypatch.setattr(procs, "table", lambda: dict(table))
    monkeypatch.setattr(procs, "holders", lambda tokens, found: [])
    assert judged(tmp_path, records) == ("error", "lost")
    table[90] = procs.Proc(90, 1, "S", 9)
    assert judged(tmp_path, records) == ("busy", None)
    table[90] = procs.Proc(90, 1, "Z", 9)
    assert judged(tmp_path, records) == ("error", "lost"), "a zombie watches over nothing"
    table[90] = procs.Proc(90, 1, "S", 10)
    assert judged(tmp_path, records) == ("error", "lost"), "another process has that pid"
    table[91] = procs.Proc(91, 1, "S", 8)
    assert judged(tmp_path, records) == ("busy", None)
    table[91] = procs.Proc(91, 1, "S", 9)
    assert judged(tmp_path, records) == ("error", "lost")
    table.update({90: procs.Proc(90, 1, "S", 9), 92: procs.Proc(92, 90, "S", 1), 93: procs.Proc(93, 92, "S", 1), 94: procs.Proc(94, 1, "S", 1)})
    found = JobDir(str(tmp_path)).members(JobDir(str(tmp_path)).records())
    assert sorted(proc.pid for proc in found) == [92, 93], "all below its watcher, and that is none of them"


def test_a_directory_without_a_record_is_free_or_an_older_gjobs(tmp_path: Path) -> None:
    assert JobDir(str(tmp_path / "none")).standing().state == "unknown"
    assert JobDir(str(tmp_path)).standing().state == "free"
    (tmp_path / ".cmds").touch()
    assert JobDir(str(tmp_path)).standing().state == "free"
    for name in (".pid", "log"):
        (tmp_path / name).touch()
        assert JobDir(str(tmp_path)).standing().state == "unknown"
        (tmp_path / name).unlink()


def test_the_number_of_a_new_job_is_above_all_of_its_day(tmp_path: Path) -> None:
    assert jobdir._highest(str(tmp_path), "2026-11-29") == 0
    for name, highest in (("2026-11-28-9", 0), ("x2026-11-29", 0), ("2026-11-29x", 0), ("2026-11-29", 1), ("2026-11-29-2", 2), ("2026-11-29-10", 10)):
        (tmp_path / name).mkdir()
        assert jobdir._highest(str(tmp_path), "2026-11-29") == highest


def test_files_arrive_with_their_modes_and_no_more_than_those(tmp_path: Path) -> None:
    made = JobDir(str(tmp_path))
    far._receive([["d", None, 0o7550], ["d/f", 3, 0o640], ["empty", 0, 0o4711]], made, io.BytesIO(b"abcd"))
    assert (tmp_path / "d/f").read_bytes() == b"abc" and (tmp_path / "empty").read_bytes() == b""
    assert [(tmp_path / name).stat().st_mode & 0o7777 for name in ("d", "d/f", "empty")] == [0o550, 0o640, 0o711]
    (tmp_path / "d").chmod(0o700)


def test_files_that_do_not_arrive_whole_are_nobody_elses(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="the connection broke"):
        far._receive([["d", None, 0o777], ["d/f", 9, 0o666]], JobDir(str(tmp_path)), io.BytesIO(b"abc"))
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("d", "d/f")] == [0o700, 0o600]
    for path in ("../x", "/x", "d/../x", ""):
        with pytest.raises(Trouble, match="does not lie in the job directory"):
            far._receive([[path, 0, 0o600]], JobDir(str(tmp_path)), io.BytesIO())


@pytest.mark.parametrize(("given", "path"), [("~", "/h"), ("~/a/b", "/h/a/b"), ("/x~", "/x~"), ("~x/y", "~x/y"), ("a/~", "a/~")])
def test_results_below_the_home_are_found_there(monkeypatch: pytest.MonkeyPatch, given: str, path: str) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert far._results({"results": given}) == path
    assert far._job({"results": given, "id": "h/1"}).name == "h/1" and far._job({"results": given, "id": "h/1"}, "h/2").name == "h/2"
    monkeypatch.delenv("HOME")
    assert far._results({"results": given}) == path.replace("/h", "/", 1)


@pytest.mark.parametrize(("facts", "right"), [
    ({"state": "busy"}, True), ({"state": "odd"}, False), ({}, False), ({"state": "done", "pid": 2**63 - 1}, True),
    ({"state": "done", "pid": 2**63}, False), ({"state": "done", "pid": -(2**63)}, False), ({"state": "done", "rss": [1]}, False),
    ({"state": "done", "deleted": True, "cpu": 0.5, "reason": None}, True)])
def test_what_a_host_says_of_a_job_is_taken_where_it_can_be_so(facts: dict[str, Any], right: bool) -> None:
    line = json.dumps(facts).encode()
    if right:
        assert remote._facts(line) == facts
    else:
        with pytest.raises(ValueError):
            remote._facts(line)
    assert remote._facts(b'{"state":"done","reason":"%s"}' % (b"x" * 1001))["reason"] == "x" * 1000


def test_commands_are_read_from_standard_input_and_asked_for_at_a_terminal(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    for terminal in (False, True):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda terminal=terminal: terminal, buffer=io.BytesIO(b"echo\n")))
        assert remote._script() == b"echo\n" and ("Ctrl-D" in capfd.readouterr().err) is terminal
    monkeypatch.setattr("sys.stdin", None)
    assert remote._script() == b""


@pytest.mark.parametrize(("words", "number"), [
    ([], None), (["-9"], 9), (["-1"], 1), (["-64"], 64), (["-0"], "usage"), (["-65"], "usage"), (["-KILL"], 9), (["-SIGTERM"], 15), (["-sTERM"], 15),
    (["-s", "HUP"], 1), (["-s9"], 9), (["--signal", "9"], 9), (["--signal=9"], 9), (["9"], "usage"), (["-"], "usage"), (["-SIG_DFL"], "usage"),
    (["-RTMIN"], 34), (["-RTMIN+30"], 64), (["-RTMIN+31"], "usage"), (["-RTMAX-30"], 34)])
def test_a_signal_is_named_as_kill_takes_it(words: list[str], number: object) -> None:
    if number == "usage":
        with pytest.raises(Trouble):
            control.signal_number(words)
    else:
        assert control.signal_number(words) == number


@pytest.mark.parametrize("side", ["local", "remote"])
def test_every_verb_says_how_it_is_called_where_words_are_missing_or_too_many(side: str, monkeypatch: pytest.MonkeyPatch,
                                                                             tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GJOB_REMOTE_PATH", "x")
    monkeypatch.chdir(tmp_path)
    known = {"local": local.VERBS, "remote": remote.VERBS}[side]
    needs = {"mkdir": 0, "start": 2 if side == "local" else 1}
    for verb in known:
        few = [["x"] * number for number in range(needs.get(verb, 1))]
        many = [["h/2026-01-01"] * (needs.get(verb, 1) + 1)] if verb not in ("start", "status", "kill") else []
        for words in few + many:
            assert main.main([side, verb, *words]) == 2, (verb, words)
            out, err = capfd.readouterr()
            assert out == "" and err.startswith("gjob: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_job_that_was_never_started_is_not_paused(tmp_path: Path) -> None:
    assert control.is_paused(JobDir(str(tmp_path))) is False
    with pytest.raises(Trouble, match="there is no such job directory"):
        control.is_paused(JobDir(str(tmp_path / "none")))


# -- what runs have left -----------------------------------------------------------------------------------------------


class Sizes:
    def size(self, uid: str, number: int) -> int:
        return 10 * number


@pytest.mark.parametrize(("records", "state"), [
    ({}, "running"), ({"claim": {"boot": procs.identity(), "token": "t"}}, "running"), ({"claim": {"boot": "b", "token": "t"}}, "reboot"),
    ({"claim": {"boot": "b", "token": "t"}, "end": ENDED}, "ended"), ({"fence": {}}, "ended"), ({"end": ENDED}, "ended")])
def test_an_attempt_that_a_run_has_left_stands_as_its_journal_says(records: dict[str, Any], state: str) -> None:
    found = traces._attempt("1.1", records, Sizes())  # type: ignore[arg-type]
    end, claim = records.get("end", {}), records.get("claim", {})
    assert found == {"id": "1.1", "state": state, "token": claim.get("token", ""), "why": end.get("why"), "status": end.get("status"),
                     "signal": end.get("signal"), "out": 10, "err": 20}


def test_journals_are_read_whole_and_what_was_released_is_told(tmp_path: Path) -> None:
    (tmp_path / "j").mkdir()
    lines = [{"k": "runner", "boot": "b1"}, {"k": "claim", "id": "1.1", "boot": 7}, {"k": "end", "id": "1.1", "why": "lost"},
             {"k": "release", "ids": ["2.1", 3]}, {"k": "release", "ids": ["3.1"], "keep": ["3.1", 5]}, {"k": "start", "id": 4}]
    (tmp_path / "j/a.log").write_bytes(b"".join(record(json.dumps(line).encode()) for line in lines))
    (tmp_path / "j/b.log").write_bytes(record(b'{"k":"agent","boot":"b2"}'))
    os.utime(tmp_path / "j/a.log", (5, 5000))
    os.utime(tmp_path / "j/b.log", (5, 4000))
    records, released, kept, boots, changed = traces._journals(SimpleNamespace(journals=str(tmp_path / "j")))  # type: ignore[arg-type]
    assert (set(records), set(records["1.1"]), released, kept, boots, changed) == (
        {"1.1"}, {"claim", "end"}, {"2.1", "3.1"}, {"3.1"}, {"b1", "b2"}, 5000)


def test_doors_of_agents_that_are_gone_are_cleared_and_no_others(tmp_path: Path) -> None:
    def name(n: int, suffix: str) -> Path:
        return tmp_path / f"{n:08}-{n:08}.{suffix}"

    for number in (1, 2):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(name(number, "sock")))
        name(number, "lock").touch()
    name(3, "lock").touch()
    served = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    served.bind(str(name(4, "sock")))
    served.listen(1)
    (tmp_path / "other").touch()
    try:
        assert traces._clear_doors(str(tmp_path)) == 3
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name(4, "sock").name, name(4, "lock").name, "other"])
    finally:
        served.close()
    assert traces._unlink(str(tmp_path / "none")) == 0 and traces._unlink(str(tmp_path / "none"), str(tmp_path / "other")) == 1


def test_the_record_of_a_job_is_brought_into_place_once(tmp_path: Path) -> None:
    made = JobDir(str(tmp_path / "1"))
    (tmp_path / "1").mkdir()
    drafts = [start.draft_record(made, "t" * 32) for _ in range(2)]
    assert start.claim(made, drafts[0][0]) and not start.claim(made, drafts[1][0])
    assert made.records()["job"]["token"] == "t" * 32
    with pytest.raises(OSError):
        start.claim(JobDir(str(tmp_path / "none")), drafts[1][0])
    for _, journal in drafts:
        os.close(journal.fd)


@pytest.mark.parametrize(("program", "trouble", "status"), [
    ("no-such-program", 0, 127), ("/bin/true", errno.EACCES, 126), ("/bin/true", errno.EAGAIN, 126), ("/bin/true", errno.ENOMEM, 126)])
def test_a_job_that_cannot_be_started_ends_as_a_shell_tells_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, trouble: int, status: int) -> None:
    """127 where there is no such program, 126 where it is there and cannot be run: not now, or never."""
    def spawn(*words: object) -> int:
        raise OSError(trouble, os.strerror(trouble))

    monkeypatch.setattr(system, "spawn", spawn)
    monkeypatch.chdir("/")
    made = JobDir(str(tmp_path))
    draft, journal = start.draft_record(made, "t" * 32)
    watcher = start.Watcher.__new__(start.Watcher)
    places = start.JobPlaces(made)
    state = {"_journal": journal, "_places": places, "_starter": Starter(places, {}, "gjob", "h", 1), "_job_dir": made, "_draft": draft,
             "_claimed": False, "_unwritten": [], "_claim": ',"runner":1,"rstart":1,"boot":"b"', "_hold": None,
             "_memory": SimpleNamespace(begin=lambda spec: []), "_tell": lambda line: None}
    for name, value in state.items():
        setattr(watcher, name, value)
    watcher._run(Job({"id": "1.1", "token": "t" * 32, "job": "j", "index": 1, "spec": {"argv": [program]}}))
    assert (tmp_path / ".exit").read_text() == f"{status}\n"
    assert (tmp_path / "err").read_text().startswith("gjob: ")
    assert made.records()["end"]["why"] == "start_failed" and made.records()["end"]["status"] == status
    os.close(journal.fd)


@pytest.fixture
def run_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """The directory of a run on this host with one attempt in it, and no agent."""
    monkeypatch.setattr(traces, "usual_roots", lambda: [str(tmp_path / "root")])
    monkeypatch.setattr(door, "own_directories", lambda: [str(tmp_path / "doors")])
    monkeypatch.setattr(door, "runtime_directory", lambda: None)
    places = Places(str(tmp_path / "root"), "a" * 32, "b" * 16)
    (tmp_path / "doors").mkdir(mode=0o700)
    for directory in (places.work + "/1.1", places.journals, places.outputs):
        os.makedirs(directory, mode=0o700)
    Path(places.journals, "1.log").write_bytes(record(json.dumps({"k": "claim", "id": "1.1", "token": "t", "boot": "b"}).encode()))
    Path(places.stream("1.1", 1)).write_text("out")
    return places


def test_a_sweep_deletes_what_it_was_told_and_counts_it(run_left: Places) -> None:
    wish = {"run": "a" * 32, "host": "b" * 16, "ids": ["1.1"], "staff": False}
    told = traces.sweep([], [{**wish, "host": "c" * 16}, wish], inputs=False)
    assert (told["directories"], told["processes"], told["kept"]) == (1, 0, [])
    assert told["files"] == 2 and not os.path.exists(run_left.base) and not os.path.exists(run_left.root)
    assert traces.sweep([], [wish], inputs=False)["directories"] == 0


def test_a_sweep_keeps_what_was_not_there_before(run_left: Places) -> None:
    told = traces.sweep([], [{"run": "a" * 32, "host": "b" * 16, "ids": ["2.1"], "staff": False}], inputs=False)
    assert (told["directories"], told["files"], told["kept"]) == (0, 0, [[run_left.base, "more is in it than before"]])
    assert os.path.exists(run_left.stream("1.1", 1))


def test_a_sweep_ends_what_carries_a_token_and_all_below_it(run_left: Places) -> None:
    token = secrets.token_hex(16)
    tree = subprocess.Popen(["sh", "-c", "env -u SSHJOBS_TOKEN sleep 600 & sleep 600 & wait"], env={"SSHJOBS_TOKEN": token, "PATH": os.defpath})
    other = subprocess.Popen(["sleep", "600"], env={"SSHJOBS_TOKEN": token[:-1] + "x", "PATH": os.defpath})
    try:
        eventually(lambda: sorted(map(_command, children(tree.pid))) == ["sleep", "sleep"], "what the tree is made of")
        below = children(tree.pid)
        assert traces.sweep([token], [], inputs=False)["processes"] == 3
        assert tree.wait(20) == -signal.SIGTERM and not any(map(alive, below)) and other.poll() is None
    finally:
        for process in (tree, other):
            process.kill()
            process.wait()


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()
