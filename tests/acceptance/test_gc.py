"""``sshjobs gc`` and the receipt of a cancel, over real ssh: what is left is found, and what is needed stays."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3

import pytest

from sshjobs.network.traces import ProcessTrace, host_key
from sshjobs.running.receipts import describe, receipt
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.acceptance.naps import UNTIL_GO, abandon, count, let_them_end, start, wait_for_naps
from tests.lab.waiting import wait_until

NOTHING_LEFT = "0 processes, 0 files left on 2 hosts"
#: A job whose children carry its token only by descent, ignore TERM, and leave its session.
HOSTILE = "trap '' TERM; (trap '' TERM; setsid sleep 3000 & exec sleep 3001) & sleep 3002"


@pytest.fixture
def pair(fresh_lab):
    return fresh_lab(hosts=2)


def run_on_both(lab, sshjobs_cli, tmp_path) -> None:
    """Have a run that is over, and that has had jobs on every host."""
    run = start(lab, tmp_path, f"{UNTIL_GO}; echo done")
    try:
        wait_for_naps(sshjobs_cli)
        let_them_end(lab)
        assert run.wait(60) == 0
    finally:
        run.kill()
        run.wait()


def tokens(tmp_path) -> dict[str, tuple[str, str]]:
    """Host and token of each job's newest attempt."""
    with sqlite3.connect(tmp_path / "results" / "r" / "run.db") as connection:
        rows = connection.execute("SELECT name, attempts.host, token FROM attempts JOIN jobs ON job = number").fetchall()
    connection.close()
    return {name: (host, token) for name, host, token in rows}


def of_ours(lab) -> list[str]:
    """What is on the hosts: files below ~/.sshjobs, and processes of agents and jobs."""
    found = [str(path) for host in lab.hosts for path in host.home.glob(".sshjobs/**/*")]
    return found + [words(process) for host in lab.hosts for process in host.processes()
                    if process.state not in "ZX" and ("ISc" in words(process) or "sleep" in words(process))]


def words(process) -> str:
    return " ".join(process.argv)


def output(tmp_path) -> str:
    return (tmp_path / "out.txt").read_text()


def test_a_second_interrupt_leaves_nothing_and_says_so(pair, sshjobs_cli, tmp_path):
    run = start(pair, tmp_path, HOSTILE, repeat=6)
    try:
        wait_for_naps(sshjobs_cli)
        run.send_signal(signal.SIGINT)
        wait_until(lambda: " stop " in output(tmp_path), 10, "the first to be heard")
        run.send_signal(signal.SIGINT)
        run.wait(60)
    finally:
        run.kill()
        run.wait()
    assert f" left   {NOTHING_LEFT}\n" in output(tmp_path)
    assert (run.returncode, of_ours(pair)) == (130, [])
    assert count(sshjobs_cli, "free") == 2
    assert sshjobs_cli("verify", "r").returncode == 0


def test_cancel_asks_the_hosts_what_is_left(pair, sshjobs_cli, tmp_path):
    run = start(pair, tmp_path, HOSTILE)
    try:
        wait_for_naps(sshjobs_cli)
        one = sshjobs_cli("cancel", "r", "nap-1")
        assert (one.returncode, one.stdout) == (0, "1 job cancelled\n0 processes, 0 files left on 1 host\n"), one.stderr
        rest = sshjobs_cli("cancel", "r", "--all")
        assert rest.stdout == f"3 jobs cancelled; nothing of r runs any more\n{NOTHING_LEFT}\n", rest.stderr
        run.wait(30)
        assert f" left   {NOTHING_LEFT}\n" in output(tmp_path)
    finally:
        run.kill()
        run.wait()
    assert of_ours(pair) == []


def orphan(machine, token: str, seconds: int) -> None:
    """Start what only its token ties to a job."""
    told = machine.ssh(f"SSHJOBS_TOKEN={token} setsid sleep {seconds} >/dev/null 2>&1 </dev/null &")
    assert told.returncode == 0, told.stderr


def sleepers(machine) -> list[str]:
    return [words(process) for process in machine.processes() if process.state not in "ZX" and "sleep" in words(process)]


def test_a_survivor_is_named_with_job_and_host_and_so_is_who_cannot_be_asked(pair, sshjobs_cli, tmp_path):
    run_on_both(pair, sshjobs_cli, tmp_path)
    host, token = tokens(tmp_path)["nap-1"]
    machine = pair.host(host)
    orphan(machine, token, 4000)
    paths = RunPaths(tmp_path / "results", "r")
    left = receipt(paths, looks=1)
    assert (left.hosts, left.processes, left.files, left.unasked) == (2, 1, 0, [])
    assert re.fullmatch(rf"process \d+ of nap-1 on {host}", left.left[0])
    other = next(one for one in pair.hosts if one is not machine)
    other.power_off()
    assert [line.partition(":")[0] for line in receipt(paths, looks=1).unasked] == [other.name]
    told = sshjobs_cli("gc", "r")
    assert (told.returncode, sleepers(machine)) == (1, [])
    assert f"{other.name}: " in told.stderr
    assert told.stdout.endswith("; 0 processes, 0 files left on 1 host\n"), told.stdout


def test_what_cannot_be_killed_is_told_with_the_reason():
    theirs = ProcessTrace(12, 1, "S", "t", "nap", "r", None, 0)
    waits = ProcessTrace(13, 1, "D", "t", "nap", "r", None, None)
    assert describe(theirs, "nap", "h1") == "process 12 of nap on h1: it belongs to user 0, whom we cannot signal"
    assert describe(waits, None, "h1") == (
        "process 13 of the agent on h1: it waits for a disk or a file server, and cannot be killed before")


def kill_agents(lab) -> None:
    """Let agents and runners die as at a power failure; jobs go on."""
    for host in lab.hosts:
        host.run(["pkill", "-9", "-f", "ISc"])


#: A python whose agent is heard with a delay: its first words at once, the others when somebody has said so.
SLOW = """#!/bin/sh
python3 "$@" | { IFS= read -r none; IFS= read -r marker; printf '\\n%s\\n' "$marker"; : > ~/greeted
until [ -e ~/go ]; do sleep 0.05; done; cat; }
"""


def test_a_host_that_came_too_late_for_a_job_keeps_nothing_of_the_run(pair, sshjobs_cli, tmp_path):
    quick, late = pair.hosts
    (late.home / "slow").write_text(SLOW)
    (late.home / "slow").chmod(0o755)
    slow = late.ssh("echo ~/slow").stdout.strip()
    (tmp_path / "hosts").write_text(f"{quick.name}\n{late.name} python={slow}\n")
    run = start(pair, tmp_path, UNTIL_GO, hosts=str(tmp_path / "hosts"))
    try:
        wait_until((late.home / "greeted").exists, 30, "the late host to be greeted")
        (quick.home / "go").touch()
        wait_until(lambda: count(sshjobs_cli, "done") == 4, 30, "the jobs to end")
        (late.home / "go").touch()
        assert run.wait(60) == 0
    finally:
        run.kill()
        run.wait()
    assert not list(late.home.glob(".sshjobs/*")), output(tmp_path)


def test_what_an_ended_run_left_is_removed_and_proved_to_be(pair, sshjobs_cli, tmp_path):
    run_on_both(pair, sshjobs_cli, tmp_path)
    assert of_ours(pair) == []
    with RunReader.open(RunPaths(tmp_path / "results", "r")) as reader:
        uid = reader.summary().uid
    # A directory, a socket, and an orphan in a session of its own, as hosts have them that were away at the end.
    host, token = tokens(tmp_path)["nap-1"]
    machine = pair.host(host)
    base = f".sshjobs/{uid}/{host_key(host)}"
    assert machine.ssh(f"mkdir -p -m 700 ~/{base}/w/1.1 ~/{base}/o ~/{base}/j; echo done > ~/{base}/o/1.1.out; "
                       "sleep 3001 >/dev/null 2>&1 </dev/null & true").returncode == 0
    orphan(machine, token, 3000)
    dry = sshjobs_cli("gc", "r", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout.splitlines()[-1] == "would remove 1 directory, 1 file, 1 process on 2 hosts"
    assert machine.pids_with(token)
    told = sshjobs_cli("gc", "r")
    assert (told.returncode, told.stderr) == (0, "")
    assert re.fullmatch(rf"removed 1 run, \d+ files?, 1 process on 2 hosts; {NOTHING_LEFT}\n", told.stdout), told.stdout
    assert sleepers(machine) == ["sleep 3001"]
    assert not (machine.home / base).exists()


def test_inputs_kept_for_later_runs_go_when_no_run_is_named(pair, sshjobs_cli, tmp_path):
    (tmp_path / "large.bin").write_bytes(os.urandom(300_000))
    jobs = [{"name": "nap", "per_host": True, "files": ["large.bin"], "commands": "cmp large.bin large.bin"}]
    (tmp_path / "nap.yaml").write_text(json.dumps({"jobs": jobs}))
    done = sshjobs_cli("run", "nap.yaml", "--hosts", ",".join(pair.names), "--ssh-config", pair.ssh_config, "--name", "r")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sshjobs_cli("gc", "r").stdout.startswith("removed 0 runs, 0 files")
    assert len([path for path in of_ours(pair) if path.count("/cache/") and len(path.split("/")[-1]) == 64]) == 2
    dry = sshjobs_cli("gc", "--dry-run")
    assert dry.stdout.count("would remove 1 input kept for later runs on ") == 2
    told = sshjobs_cli("gc")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.endswith(f"0 processes on 2 hosts; {NOTHING_LEFT}\n")
    assert of_ours(pair) == []


def test_nothing_of_a_run_that_is_not_over_is_touched(pair, sshjobs_cli, tmp_path):
    run = start(pair, tmp_path, f"{UNTIL_GO}; echo $SSHJOBS_JOB")
    try:
        wait_for_naps(sshjobs_cli)
        live = sshjobs_cli("gc")
        assert live.returncode == 0, live.stderr
        assert live.stdout.count(": r: a manager works on it\n") == 2
    finally:
        run.kill()
        run.wait()
    kept = sshjobs_cli("gc", "--force")
    assert kept.stdout.count(": r: 4 of its jobs are not over; resume it, or cancel them\n") == 2
    # Nor by somebody who does not have the run here at all.
    foreign = sshjobs_cli("gc", "--results", tmp_path / "elsewhere", "--hosts", ",".join(pair.names), "--ssh-config",
                          pair.ssh_config)
    assert foreign.returncode == 0, foreign.stderr
    # Files there may be: this machine's own litter.
    assert re.fullmatch(rf"removed 0 runs, \d+ files?, 0 processes on 2 hosts; {NOTHING_LEFT}\n", foreign.stdout)
    let_them_end(pair)
    resumed = sshjobs_cli("resume", "r")
    assert resumed.returncode == 0, resumed.stdout
    assert {(tmp_path / "results/r/jobs" / f"nap-{n}" / "stdout").read_text() for n in range(1, 5)} == {
        f"nap-{n}\n" for n in range(1, 5)}


def test_outputs_that_nobody_collected_are_kept_unless_forced(pair, sshjobs_cli, tmp_path):
    abandon(pair, sshjobs_cli, tmp_path, f"{UNTIL_GO}; echo precious")
    let_them_end(pair)
    wait_until(lambda: sshjobs_cli("verify", "r").stdout.count("has ended there") == 4, 30, "the jobs to end")
    kill_agents(pair)
    elsewhere = ["gc", "--results", tmp_path / "elsewhere", "--hosts", ",".join(pair.names), "--ssh-config",
                 pair.ssh_config]
    told = sshjobs_cli(*elsewhere)
    assert told.stdout.count("of a run that is not here: 2 of its attempts were not collected") == 2, told.stdout
    assert "removed 0 runs" in told.stdout
    # Not even then, as long as somebody else may be about to fetch them.
    forced = sshjobs_cli(*elsewhere, "--force")
    assert forced.stdout.count("of a run that is not here: it was in use within the last hour") == 2, forced.stdout
    resumed = sshjobs_cli("resume", "r")
    assert resumed.returncode == 0, resumed.stdout
    assert (tmp_path / "results/r/jobs/nap-1/stdout").read_text() == "precious\n"


def test_outputs_of_jobs_that_were_given_up_are_kept_unless_forced(pair, sshjobs_cli, tmp_path):
    here, away = pair.hosts
    run = start(pair, tmp_path, f"{UNTIL_GO}; echo precious", once=True)
    try:
        wait_for_naps(sshjobs_cli)
        away.cut("reset")
        (here.home / "go").touch()
        wait_until(lambda: count(sshjobs_cli, "unknown") == 2, 60, "two jobs to be unknown")
        declared = sshjobs_cli("hosts", "lost", "r", away.name)
        assert declared.returncode == 0, declared.stderr
        assert run.wait(60) == 1
    finally:
        run.kill()
        run.wait()
    (away.home / "go").touch()
    away.heal()
    written = wait_until(lambda: [path for path in away.home.glob(".sshjobs/*/*/o/*.out")
                                  if path.read_text() == "precious\n"], 30, "the jobs to end")
    kept = sshjobs_cli("gc", "r")
    assert re.search(rf"^kept on {away.name}: r: outputs in \S+/o were not collected: "
                     r"attempt \d\.1, which was given up, attempt \d\.1, which was given up$", kept.stdout, re.MULTILINE)
    assert all(path.exists() for path in written)
    forced = sshjobs_cli("gc", "r", "--force")
    assert (forced.returncode, forced.stderr) == (0, "")
    assert re.fullmatch(rf"removed 1 run, \d+ files?, \d+ process(es)? on 2 hosts; {NOTHING_LEFT}\n", forced.stdout)
    assert of_ours(pair) == []
