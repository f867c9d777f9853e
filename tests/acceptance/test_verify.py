"""``sshjobs verify`` over real ssh: whatever was tampered with is named, and what is only under way is not."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance.naps import UNTIL_GO, abandon, count, let_them_end, start, wait_for_naps
from tests.hints import tries
from tests.lab.waiting import wait_until

JOBS = {"jobs": [
    {"name": "say", "repeat": 3, "commands": ["echo out of $SSHJOBS_JOB", "echo err >&2"]},
    {"name": "again", "retries": 1, "commands": ["echo attempt $SSHJOBS_ATTEMPT", "test $SSHJOBS_ATTEMPT = 2"]},
]}


@pytest.fixture
def run(lab, sshjobs_cli, tmp_path):
    """A run on two hosts that has ended well; returns its directory."""
    (tmp_path / "jobs.yaml").write_text(json.dumps(JOBS))
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", ",".join(lab.names[:2]), "--ssh-config", lab.ssh_config, "--name",
                       "r")
    assert told.returncode == 0, told.stdout + told.stderr
    return tmp_path / "results" / "r"


def verify(sshjobs_cli, *options: str) -> tuple[int, list[str]]:
    told = sshjobs_cli("verify", "r", *options)
    assert told.stderr == ""
    return told.returncode, told.stdout.splitlines()


def test_after_a_run_all_agree(run, sshjobs_cli):
    code, lines = verify(sshjobs_cli)
    assert (code, lines) == (0, ["r: 4 jobs, 10 files, 2 hosts: all agree"])
    told = json.loads(sshjobs_cli("verify", "r", "--json", "--no-hosts").stdout)
    assert (told["agree"], told["files"], told["by_size_only"], told["hosts"]) == (True, 10, 0, 0)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def link_elsewhere(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to("real")


@pytest.mark.parametrize(("name", "tamper", "complaint"), [
    ("say-1/stdout", flip, r"say-1/stdout: has other bytes than came from the host: their crc32 is not [0-9a-f]{8}; "),
    ("again/attempt-1/stdout", flip, r"again/attempt-1/stdout: has other bytes than came"),
    ("say-2/stdout", lambda path: os.truncate(path, 3), r"say-2/stdout: has 3 bytes: the store says 13 bytes; "),
    ("say-2/stderr", lambda path: path.unlink(), r"say-2/stderr: is missing: the store says 4 bytes; "),
    ("say-3", lambda path: (path / "attempt-7").mkdir(), r"say-3/attempt-7: should not be there: "),
    ("", lambda path: (path / "alien").mkdir(), r"jobs/alien: should not be there: it is none of the run's; "),
    ("say-3/stderr", link_elsewhere, r"say-3/stderr: is not a file: the store says 4 bytes; "),
])
def test_tampered_files_are_named(run, sshjobs_cli, name, tamper, complaint):
    tamper(run / "jobs" / name)
    code, lines = verify(sshjobs_cli, "--no-hosts")
    assert code == 1
    assert re.search(complaint, lines[0]), lines
    assert "disagreement" in lines[-1]


@pytest.mark.parametrize(("statement", "complaint"), [
    ("UPDATE jobs SET outcome = 'failed' WHERE name = 'say-1'", "job say-1: its outcome does not fit its state"),
    ("UPDATE attempts SET n = 5 WHERE job = 2", "job say-2: an attempt is missing"),
    ("UPDATE counts SET n = n + 1", "the counts are wrong"),
    ("UPDATE attempts SET out_size = 12 WHERE job = 3", "say-3/stdout: has 13 bytes: the store says 12 bytes"),
])
def test_tampered_rows_are_named(run, sshjobs_cli, statement, complaint):
    with sqlite3.connect(run / "run.db") as connection:
        connection.execute(statement)
    connection.close()
    code, lines = verify(sshjobs_cli, "--no-hosts")
    assert code == 1
    assert any(complaint in line for line in lines), lines


def test_bad_usage_is_told_apart(run, sshjobs_cli):
    assert sshjobs_cli("verify", "nosuch").returncode == 2
    assert sshjobs_cli("verify", "--frob").returncode == 2


def test_what_is_under_way_is_no_disagreement(lab, sshjobs_cli, tmp_path):
    manager = start(lab, tmp_path, "for i in $(seq 2000); do echo line $i; sleep 0.01; done")
    try:
        wait_for_naps(sshjobs_cli)
        code, lines = verify(sshjobs_cli)
        assert (code, len(lines)) == (0, 1), lines
        assert re.fullmatch(r"r: 4 jobs, \d+ files?, 2 hosts: all agree; in motion, and not compared: 4 jobs", lines[0])
        assert count(sshjobs_cli, "busy") == 4
        assert sshjobs_cli("cancel", "r", "--all").returncode == 0
        manager.wait(30)
    finally:
        manager.kill()
        manager.wait()
    assert verify(sshjobs_cli)[0] == 0


@tries("or leave hosts out: --no-hosts", "bring run.db back from a copy, or look at what it wrote in {}/o")
def test_without_a_manager_each_end_that_nobody_collected_is_named(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=2)
    abandon(lab, sshjobs_cli, tmp_path, UNTIL_GO)
    let_them_end(lab)
    wait_until(lambda: verify(sshjobs_cli)[0] == 1 and len(verify(sshjobs_cli)[1]) == 5, 30, "the ends to be named")
    lines = verify(sshjobs_cli)[1]
    assert all(re.fullmatch(r"nap-\d, attempt 1, on node0\d: has ended there: the store says busy; "
                            r"collect it: sshjobs resume r", line) for line in lines[:4]), lines

    # A host whose directory was deleted, and an attempt that nobody has heard of.
    lab.hosts[0].run(["sh", "-c", "rm -r /home/*/.sshjobs; pkill -9 -f ISc"])
    (known,) = lab.hosts[1].home.glob(".sshjobs/*/*/w")
    lab.hosts[1].run(["mkdir", f"/home/{lab.hosts[1].user}/{known.relative_to(lab.hosts[1].home)}/77.1"])
    code, lines = verify(sshjobs_cli)
    assert code == 1
    assert sum(": is not there: the store says busy; have that settled: sshjobs resume r" in line for line in lines) == 2
    (line,) = [line for line in lines if line.startswith("attempt 77.1 on node02: is there: the store knows no such attempt;")]
    assert lab.hosts[1].run(["ls", line.partition("look at what it wrote in ")[2]]).returncode == 0

    lab.hosts[0].power_off()
    code, lines = verify(sshjobs_cli)
    assert code == 1
    assert any(re.match(r"node01: could not be asked: .*--no-hosts$", line) for line in lines), lines
    assert verify(sshjobs_cli, "--no-hosts")[0] == 0


@tries("look who started it there")
def test_a_process_on_another_host_is_named(run, lab, sshjobs_cli):
    with sqlite3.connect(run / "run.db") as connection:
        (host, token), = connection.execute("SELECT host, token FROM attempts WHERE job = 1")
    connection.close()
    (other,) = [one for one in lab.hosts[:2] if one.name != host]
    assert other.ssh(f"SSHJOBS_TOKEN={token} setsid sleep 301 >/dev/null 2>&1 </dev/null &").returncode == 0
    try:
        code, lines = verify(sshjobs_cli)
        assert code == 1
        found = re.match(rf"say-1, attempt 1, on {other.name}: process (\d+) lives there: .*; look who started it there$", lines[0])
        assert found, lines
        assert "sleep 301" in other.run(["ps", "-o", "user,args", "-p", found[1]]).stdout
    finally:
        for pid in other.pids_with(token):
            os.kill(pid, signal.SIGKILL)
    assert verify(sshjobs_cli)[0] == 0


def test_an_orphan_of_an_ended_attempt_is_named(run, lab, sshjobs_cli):
    with sqlite3.connect(run / "run.db") as connection:
        (host, token), = connection.execute("SELECT host, token FROM attempts WHERE job = 1")
    connection.close()
    machine = lab.host(host)
    assert machine.ssh(f"SSHJOBS_TOKEN={token} setsid sleep 300 >/dev/null 2>&1 </dev/null &").returncode == 0
    try:
        code, lines = verify(sshjobs_cli)
        assert code == 1
        assert re.fullmatch(rf"say-1, attempt 1, on {host}: process \d+ still lives: the store says that it has ended: "
                            r"succeeded; remove it: sshjobs gc r", lines[0]), lines
    finally:
        for pid in machine.pids_with(token):
            os.kill(pid, signal.SIGKILL)
