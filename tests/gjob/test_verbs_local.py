"""``gjob local``: job directories, under Python 3.6 where there is one. Over ssh it runs under ours."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.gjob.journal import record
from sshjobs.gjob.verbs import main as verbs
from tests.gjob.client import alive, eventually
from tests.gjob.command import Gjob, gone, refused, tagged, words_of, write_command

TODAY = re.compile(r"[A-Za-z0-9_.-]+/\d{4}-\d\d-\d\d(-\d+)?")
#: Forks twice and leaves the session: nothing but its environment or a subreaper knows whose it is.
ESCAPER = "(setsid sh -c 'TAG={tag} setsid sleep 600 & exec true' &) ; "

MANY = """
import os, sys
sys.path.insert(0, sys.argv[1])
from sshjobs.gjob.verbs import main as verbs, local as verbs_local
gate, open_gate = os.pipe()
children = []
for number in range(1000):
    child = os.fork()
    if not child:
        os.close(open_gate)
        os.read(gate, 1)
        os._exit(verbs.main(["local", "mkdir"]))
    children.append(child)
os.close(open_gate)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.fixture
def gjob(oldest_python: str, tmp_path: Path) -> Iterator[Gjob]:
    where = tmp_path / "results"
    where.mkdir()
    made = Gjob(write_command(tmp_path / "gjob", oldest_python), where)
    yield made
    made.close()


def tag() -> str:
    return secrets.token_hex(8)


# -- ids -------------------------------------------------------------------------------------------------------------

def test_ids_are_the_short_host_name_the_day_and_a_number(gjob: Gjob) -> None:
    first, second, third = gjob.mkdir(), gjob.mkdir(), gjob.mkdir()
    assert TODAY.fullmatch(first) and first.startswith(socket.gethostname().partition(".")[0] + "/")
    assert time.strftime("%Y-%m-%d") in first
    assert (second, third) == (f"{first}-2", f"{first}-3")
    assert (gjob.where / third).is_dir()


def test_the_hundredth_job_of_a_day_has_a_directory_of_its_own(gjob: Gjob) -> None:
    first = gjob.mkdir()
    for number in range(2, 101):
        (gjob.where / f"{first}-{number}").mkdir()
    assert gjob.mkdir() == f"{first}-101"


def test_a_thousand_at_once_get_a_thousand_directories(gjob: Gjob, oldest_python: str) -> None:
    done = subprocess.run([oldest_python, "-c", MANY, str(gjob.program)], cwd=gjob.where, capture_output=True,
                          text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    ids = done.stdout.split()
    assert len(ids) == len(set(ids)) == 1000
    assert {f"{path.parent.name}/{path.name}" for path in gjob.where.glob("*/*")} == set(ids)


def test_the_id_of_a_deleted_job_is_never_used_again(gjob: Gjob) -> None:
    first = gjob.mkdir()
    gjob.ok("local", "delete", first)
    assert gjob.mkdir() == f"{first}-2"
    assert os.listdir(gjob.where / first).count("DELETED") == 1


# -- start and status ------------------------------------------------------------------------------------------------

def test_exit_status_decides_not_stderr(gjob: Gjob) -> None:
    fine, silent = gjob.start("sh", "-c", "echo out; echo careful >&2"), gjob.start("sh", "-c", "exit 3")
    assert gjob.over(fine)["state"] == "done"
    told = gjob.over(silent)
    assert (told["state"], told["outcome"], told["exit_status"], told["signal"]) == ("error", "failed", 3, None)
    assert words_of(gjob.where / fine, ["log", "err", ".exit", ".done"]) == ["out", "careful", "0", ""]
    assert words_of(gjob.where / silent, ["log", "err", ".exit", ".done"]) == ["", "", "3", ""]


def test_states_are_printed_in_the_order_asked(gjob: Gjob) -> None:
    busy, done, error = gjob.start("sleep", "600"), gjob.start("true"), gjob.start("false")
    free = gjob.mkdir()
    gjob.over(done), gjob.over(error)
    asked = [error, "nowhere", busy, free, done, busy]
    states = ["error", "unknown", "busy", "free", "done", "busy"]
    printed = gjob.ok("local", "status", *asked).splitlines()
    assert printed == [f"{name} {state}" for name, state in zip(asked, states, strict=True)]


def test_start_leaves_behind_what_the_seed_left(gjob: Gjob) -> None:
    name = gjob.start("sh", "-c", "echo $$; ps -o pgid=,ni= $$ 2>/dev/null || nice")
    gjob.over(name)
    pid, pgid, used, log = words_of(gjob.where / name, [".pid", ".pgid", ".time", "log"])
    assert pid == pgid == log.split()[0]
    assert int(log.split()[-1]) == min(19, os.nice(0) + 10)
    assert re.match(r"[\d.]+user [\d.]+system \d+:\d\d\.\d\delapsed ", used)


def test_a_job_works_in_its_directory_and_reads_nothing(gjob: Gjob) -> None:
    name = gjob.start("sh", "-c", "pwd; cat; touch made")
    gjob.over(name)
    assert words_of(gjob.where / name, ["log", "made"]) == [str(gjob.where / name), ""]


def test_a_job_is_started_once(gjob: Gjob) -> None:
    name = gjob.start("true")
    assert "it was started before" in refused(gjob.run("local", "start", name, "true"))
    both = gjob.mkdir()
    starts = [subprocess.Popen([str(gjob.program), "local", "start", both, "sh", "-c", "echo once >> ../ledger"],
                               cwd=gjob.where, stderr=subprocess.DEVNULL) for _ in range(8)]
    assert sorted(process.wait(30) for process in starts) == [0] + [1] * 7
    gjob.over(both)
    assert (gjob.where / both).parent.joinpath("ledger").read_text() == "once\n"
    assert not list((gjob.where / both).glob(".gjob-*"))


def test_a_program_that_is_not_there_is_an_error_that_says_so(gjob: Gjob) -> None:
    name = gjob.mkdir()
    assert "no such program: no-such" in refused(gjob.run("local", "start", name, "no-such"))
    told = gjob.over(name)
    assert (told["state"], told["outcome"], told["exit_status"]) == ("error", "failed", 127)
    status, words = words_of(gjob.where / name, [".exit", "err"])
    assert status == "127" and words.startswith("gjob: no such program: no-such; PATH is ")
    other = gjob.mkdir()
    (gjob.where / other / "x").write_text("#!/bin/sh\n")
    assert "it has no execute bit" in refused(gjob.run("local", "start", other, "./x"))
    assert gjob.over(other)["exit_status"] == 126 and words_of(gjob.where / other, [".exit"]) == ["126"]


def test_a_job_outlives_the_terminal_that_started_it(gjob: Gjob) -> None:
    name, mark = gjob.mkdir(), tag()
    shell = subprocess.Popen(["sh", "-c", f"'{gjob.program}' local start {name} env TAG={mark} sleep 600; read x"],
                             cwd=gjob.where, stdin=subprocess.PIPE, start_new_session=True)
    pids = tagged(mark, 1)
    eventually(lambda: gjob.state(name) == "busy", "busy")
    os.killpg(shell.pid, signal.SIGHUP)
    shell.communicate(timeout=20)
    assert gjob.state(name) == "busy" and not gone(pids)


def test_nothing_of_a_job_is_left_when_it_is_over(gjob: Gjob) -> None:
    mark = tag()
    name = gjob.start("sh", "-c", ESCAPER.format(tag=mark) + f"TAG={mark} sleep 600 & until [ -e stop ]; do :; done")
    pids = tagged(mark, 2)
    (gjob.where / name / "stop").touch()
    assert gjob.over(name)["state"] == "done"
    assert gone(pids)


# -- what is not as it should be -------------------------------------------------------------------------------------

def watcher_of(gjob: Gjob, name: str) -> int:
    for line in (gjob.where / name / ".gjob/journal").read_text().splitlines():
        told = json.loads(line[9:])
        if told["k"] == "runner":
            return int(told["runner"])
    raise AssertionError(f"{name} has no watcher")


def test_a_job_whose_watcher_was_killed_goes_on_and_its_end_is_lost(gjob: Gjob) -> None:
    mark = tag()
    name = gjob.start("sh", "-c", f"TAG={mark} sleep 600; exit 0")
    os.kill(watcher_of(gjob, name), signal.SIGKILL)
    eventually(lambda: not alive(watcher_of(gjob, name)), "the watcher's end")
    assert gjob.state(name) == "busy"
    for pid in tagged(mark, 1):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: gjob.state(name) != "busy", "the job's end")
    told = gjob.facts(name)
    assert (told["state"], told["outcome"], told["exit_status"]) == ("error", "lost", None)


def test_kill_finds_the_tree_of_a_job_without_its_watcher(gjob: Gjob) -> None:
    mark = tag()
    name = gjob.start("sh", "-c", ESCAPER.format(tag=mark) + f"TAG={mark} sleep 600; true")
    pids = tagged(mark, 2)
    os.kill(watcher_of(gjob, name), signal.SIGKILL)
    gjob.ok("local", "kill", name)
    assert gone(pids)
    assert gjob.facts(name)["outcome"] == "lost"


def test_a_directory_of_an_older_gjob_is_unknown(gjob: Gjob) -> None:
    name = gjob.mkdir()
    (gjob.where / name / ".done").touch()
    assert gjob.state(name) == "unknown"
    assert "it was started before" in refused(gjob.run("local", "start", name, "true"))


def forge(gjob: Gjob, host: str) -> str:
    """A running job as it looks from another boot, or another host that shares the file system."""
    name = gjob.mkdir()
    lines = [{"k": "job", "token": "x" * 32, "host": host, "at": 1.0},
             {"k": "runner", "runner": 1, "rstart": 1, "boot": "another:1:1"}, {"k": "claim", "token": "x" * 32},
             {"k": "start", "pid": 1, "start": 1, "at": 1.0}]
    (gjob.where / name / ".gjob").mkdir()
    (gjob.where / name / ".gjob/journal").write_bytes(b"".join(record(json.dumps(line).encode()) for line in lines))
    return name


def test_a_job_from_before_the_reboot_is_lost(gjob: Gjob) -> None:
    name = forge(gjob, socket.gethostname())
    told = gjob.facts(name)
    assert (told["state"], told["outcome"]) == ("error", "lost")
    assert "went down" in told["reason"]
    gjob.ok("local", "kill", name)


def test_a_job_that_runs_on_another_host_is_unknown_here(gjob: Gjob) -> None:
    name = forge(gjob, "another-host")
    assert gjob.facts(name)["state"] == "unknown"
    for verb in ("kill", "pause", "unpause", "is-paused", "delete"):
        assert "another-host" in refused(gjob.run("local", verb, name))


def test_a_damaged_record_is_no_reason_to_start_again(gjob: Gjob) -> None:
    name = gjob.start("true")
    gjob.over(name)
    (gjob.where / name / ".gjob/journal").write_bytes(b"\xff\xfe\0 garbage\n")
    assert gjob.run("local", "start", name, "true").returncode == 1


# -- kill, pause, delete ---------------------------------------------------------------------------------------------

def test_kill_ends_the_whole_tree_and_the_job_is_an_error(gjob: Gjob) -> None:
    mark = tag()
    name = gjob.start("sh", "-c", ESCAPER.format(tag=mark) + f"TAG={mark} sleep 600; true")
    pids = tagged(mark, 2)
    gjob.ok("local", "kill", name)
    assert gone(pids)
    told = gjob.facts(name)
    assert (told["state"], told["outcome"], told["signal"]) == ("error", "signalled", signal.SIGTERM)
    assert words_of(gjob.where / name, [".exit"]) == [str(128 + signal.SIGTERM)]
    gjob.ok("local", "kill", name)


@pytest.mark.parametrize("args", [["-9"], ["-KILL"], ["-SIGKILL"], ["-s", "KILL"], ["--signal=9"]])
def test_kill_args_name_a_signal_as_kill_takes_it(gjob: Gjob, args: list[str]) -> None:
    name = gjob.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 600; done")
    eventually(lambda: (gjob.where / name / "log").read_text(), "ready")
    gjob.ok("local", "kill", name, *args)
    assert gjob.facts(name)["signal"] == signal.SIGKILL


def test_another_signal_is_only_sent(gjob: Gjob) -> None:
    name = gjob.start("sh", "-c", "trap 'echo got it; exit 5' USR1; echo ready; while :; do sleep 0.01; done")
    eventually(lambda: (gjob.where / name / "log").read_text(), "ready")
    gjob.ok("local", "kill", name, "-CONT")
    assert gjob.state(name) == "busy"
    gjob.ok("local", "kill", name, "-USR1")
    told = gjob.over(name)
    assert (told["exit_status"], (gjob.where / name / "log").read_text()) == (5, "ready\ngot it\n")


def test_a_paused_job_stands_still_until_it_is_unpaused(gjob: Gjob) -> None:
    mark = tag()
    name = gjob.start("sh", "-c", ESCAPER.format(tag=mark) + f"TAG={mark} sleep 600 & until [ -e go ]; do :; done")
    pids = tagged(mark, 2)
    assert refused_no(gjob, name)
    gjob.ok("local", "pause", name)
    assert gjob.ok("local", "is-paused", name) == "yes"
    assert {Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] for pid in pids} == {"T"}
    (gjob.where / name / "go").touch()
    assert gjob.state(name) == "busy"
    gjob.ok("local", "unpause", name)
    assert gjob.over(name)["state"] == "done"
    assert refused_no(gjob, name)
    assert "it is over" in refused(gjob.run("local", "pause", name))


def refused_no(gjob: Gjob, name: str) -> bool:
    done = gjob.run("local", "is-paused", name)
    return (done.returncode, done.stdout, done.stderr) == (1, "no\n", "")


def test_a_paused_job_can_be_killed(gjob: Gjob) -> None:
    name = gjob.start("sleep", "600")
    gjob.ok("local", "pause", name)
    gjob.ok("local", "kill", name)
    assert gjob.facts(name)["signal"] == signal.SIGTERM


def test_a_deleted_job_keeps_its_known_end(gjob: Gjob) -> None:
    good, bad, never = gjob.start("true"), gjob.start("sh", "-c", "mkdir -p a/b; chmod 0 a; exit 4"), gjob.mkdir()
    for name in (good, bad):
        gjob.over(name)
    for name in (good, bad, never):
        gjob.ok("local", "delete", name)
        assert sorted(os.listdir(gjob.where / name)) == [".gjob", "DELETED"]
    told = [gjob.facts(name) for name in (good, bad, never)]
    assert [facts["state"] for facts in told] == ["done", "error", "error"]
    assert [facts["outcome"] for facts in told] == ["succeeded", "failed", "never_started"]
    assert told[1]["exit_status"] == 4 and all(facts["deleted"] for facts in told)
    assert "it was deleted" in refused(gjob.run("local", "start", never, "true"))


def test_a_running_job_is_not_deleted(gjob: Gjob) -> None:
    name = gjob.start("sleep", "600")
    assert "it runs" in refused(gjob.run("local", "delete", name))
    assert gjob.state(name) == "busy"


# -- names and words -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [b"it's \"$HOME\" `id`;*", b"two\nlines", b"\xff\xfe", "\u00e9t\u00e9".encode(),
                                  b"-9"], ids=["quotes", "newline", "bytes", "accents", "dash"])
def test_any_directory_name_works(gjob: Gjob, name: bytes) -> None:
    path = os.fsencode(gjob.where) + b"/" + name
    os.mkdir(path)
    assert gjob.run("local", "start", "--", name, b"printf", b"%s", name, env={"LC_ALL": "C"}).returncode == 0
    eventually(lambda: os.path.exists(path + b"/.done"), "the end")
    told = gjob.run("local", "status", "--", name)
    assert told.stdout.endswith(" done\n") and told.stdout.count("\n") == 1
    with open(path + b"/log", "rb") as log:
        assert log.read() == name
    assert gjob.run("local", "delete", "--", name).returncode == 0


@pytest.mark.parametrize("words", [
    ["nonsense"], ["local", "fly"], ["local", "mkdir", "x"], ["local", "start"], ["local", "start", "x"],
    ["local", "status"], ["local", "status", "--xml", "x"], ["local", "kill"], ["local", "kill", "x", "-BOGUS"],
    ["local", "kill", "x", "-9", "-15"], ["local", "pause"], ["local", "is-paused", "x", "y"], ["local", "delete", ""],
])
def test_bad_usage_is_one_line_and_exit_code_2(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert verbs.main(words) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("gjob: ") and "; " in err and err.count("\n") == 1


@pytest.mark.parametrize("verb", ["start", "kill", "pause", "unpause", "is-paused", "delete"])
def test_a_directory_that_is_not_there_is_named(gjob: Gjob, verb: str) -> None:
    told = refused(gjob.run("local", verb, "no/such", *(["true"] if verb == "start" else [])))
    assert told.startswith("no/such: there is no such job directory; ")


def test_help_names_every_verb_and_no_words_are_bad_usage(gjob: Gjob) -> None:
    told = gjob.ok("--help")
    for verb in ("mkdir", "start", "status", "kill", "pause", "unpause", "is-paused", "delete"):
        assert f"gjob local {verb}" in told
    bare = gjob.run()
    assert (bare.returncode, bare.stdout, bare.stderr.strip()) == (2, "", told)
    assert gjob.ok("local", "kill", "--help").startswith("usage: gjob local kill JOB-DIR")
