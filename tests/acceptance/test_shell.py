"""``sshjobs shell`` on real hosts: in a kept directory, in that of a job at work, at a terminal and without one, under every
login shell; whatever a job, its variables and its directory are called, nothing of that is run.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.shells import SHELLS, shell_hosts
from tests.cli.terminal import Terminal
from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.hints import tries
from tests.lab import BaseLab, LabHost
from tests.lab.waiting import wait_until

HOSTILE = ["a;touch ~/pwned", "$(touch ~/pwned)", "`touch ~/pwned`", "'\"; touch ~/pwned; \"'", "&& touch ~\\pwned", "*",
           "é ü", "x|sh", "%n%h ${IFS}"]


@pytest.fixture(scope="module")
def shells() -> Iterator[BaseLab]:
    """Hosts whose users have a login shell each."""
    with shell_hosts() as made:
        yield made


def ran(cli: SshjobsCli, lab: BaseLab, directory: Path, host: LabHost, *jobs: dict[str, Any]) -> None:
    """Have a run end on a host."""
    (directory / "jobs.yaml").write_text(json.dumps({"jobs": list(jobs)}))
    told = cli("run", "-q", "jobs.yaml", "--hosts", host.name, "--ssh-config", lab.ssh_config)
    assert told.returncode in (0, 1), told.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_it_begins_where_the_job_was_under_every_login_shell(shells: BaseLab, shell: str, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    host = shells.hosts[SHELLS.index(shell)]
    ran(sshjobs_cli, shells, tmp_path, host, {"name": "a", "commands": ["echo left > mark; exit 1"], "keep_directory": "on_failure",
                                              "env": {"LR": "0.1 and 'more' $HOME"}})
    told = sshjobs_cli("shell", "a", input="cat mark; env | grep ^LR; env | grep ^SSHJOBS_JOB; exit 7\n")
    assert told.returncode == 7, told.stderr
    assert [line for line in told.stdout.splitlines() if line.startswith(("left", "LR", "SSHJOBS"))] == [
        "left", "LR=0.1 and 'more' $HOME", "SSHJOBS_JOB=a"]
    assert "plain login" not in told.stderr
    assert sshjobs_cli("gc", "jobs-1").returncode == 0
    told = sshjobs_cli("shell", "jobs-1", "a", input="pwd; exit 3\n")
    assert told.returncode == 3 and host.ssh("pwd").stdout.strip() in told.stdout
    assert f"sshjobs: the directory of a is gone from {host.name}: this is a plain login" in told.stderr.splitlines()


def test_no_name_and_no_value_is_run(lab: BaseLab, lab_host: LabHost, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    ran(sshjobs_cli, lab, tmp_path, lab_host, *({
        "name": name.replace("/", "_"), "commands": ["exit 1"], "keep_directory": "always",
        "env": {"VALUE": f"{name}\n{name}"}} for name in HOSTILE))
    for name in HOSTILE:
        told = sshjobs_cli("shell", "jobs-1", "--", name.replace("/", "_"), input='printf "%s|%s" "$SSHJOBS_JOB" "$VALUE"; exit 4\n')
        assert told.returncode == 4, (name, told.stderr)
        assert f"{name.replace('/', '_')}|{name}\n{name}" in told.stdout
    assert not (lab_host.home / "pwned").exists() and not (tmp_path / "pwned").exists()
    assert sshjobs_cli("gc", "jobs-1").returncode == 0
    told = sshjobs_cli("shell", "jobs-1", "--", HOSTILE[1].replace("/", "_"), input="exit 5\n")
    assert told.returncode == 5 and "plain login" in told.stderr
    assert not (lab_host.home / "pwned").exists()


def test_it_is_a_terminal_where_a_person_sits_at_one(lab: BaseLab, lab_host: LabHost, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    ran(sshjobs_cli, lab, tmp_path, lab_host, {"name": "a", "commands": ["exit 1"], "keep_directory": "always"})
    with Terminal(sshjobs_argv(["shell", "a"]), tmp_path) as terminal:
        terminal.press(b"tty; stty size; echo in:$SSHJOBS_ATTEMPT\n")
        terminal.read_until(lambda text: "/dev/pts/" in text and "24 80" in text and "in:1" in text)
        # An interrupt is for what runs there.
        terminal.press(b"sh -c 'trap \"echo heard-$((1 + 1)); exit 9\" INT; echo waits-$((1 + 1)); while :; do sleep 0.1; done'; exit $?\n")
        terminal.read_until(lambda text: "waits-2" in text)
        terminal.press_ctrl_c()
        terminal.read_until(lambda text: "heard-2" in text)
        assert terminal.wait() == 9
    assert sshjobs_cli("gc", "jobs-1").returncode == 0


def test_it_is_opened_in_the_directory_of_a_job_at_work_and_harms_it_not(lab: BaseLab, lab_host: LabHost, sshjobs_cli: SshjobsCli,
                                                                        tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{
        "name": "slow", "commands": ["touch begun; until [ -e go ]; do sleep 0.05; done"]}]}))
    run = subprocess.Popen(sshjobs_argv(["run", "-q", "jobs.yaml", "--hosts", lab_host.name, "--ssh-config", lab.ssh_config]),
                           cwd=tmp_path, env={**os.environ, **cli_environment()})
    try:
        wait_until(lambda: list(lab_host.home.glob(".sshjobs/*/*/w/*/begun")), 60, "the job to begin")
        assert sshjobs_cli("shell", "slow", input='test -z "$SSHJOBS_TOKEN" && touch go\n').returncode == 0
        assert run.wait(60) == 0
    finally:
        run.kill()
        run.wait()


@tries("write: sshjobs shell {} JOB")
def test_what_cannot_be_is_told_in_a_line(fresh_lab: Any, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    lab = fresh_lab(hosts=1)
    [host] = lab.hosts
    ran(sshjobs_cli, lab, tmp_path, host, {"name": "a", "commands": ["exit 1"], "keep_directory": "always", "repeat": 2},
        {"name": "b", "commands": ["true"], "after": "a"})
    for words, line in ((["a-*"], "a shell is opened for one job: 2 jobs were named; write: sshjobs shell jobs-1 JOB"),
                        (["b"], "b: it has no directory: it has not started; see: sshjobs status jobs-1 --all"),
                        (["--attempt", "2", "a-1"], "a-1: there is no such attempt: it has 1 attempt; see: sshjobs status jobs-1 --all"),
                        (["nobody"], "no job is called 'nobody'")):
        told = sshjobs_cli("shell", *words)
        assert told.returncode == 2 and line in told.stderr and len(told.stderr.splitlines()) == 1, told.stderr
    assert sshjobs_cli("shell", "jobs-1", "a-1", input="exit 0\n").returncode == 0
    host.power_off()
    told = sshjobs_cli("shell", "a-1", input="exit 0\n")
    assert told.returncode not in (0, 255, -signal.SIGINT) and told.stderr.startswith(f"sshjobs: {host.name}: ")
    assert len(told.stderr.splitlines()) == 1, told.stderr


def test_on_this_machine_it_needs_no_ssh(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{"name": "a", "commands": ["echo x > mark; exit 1"], "keep_directory": "always",
                                                              "env": {"BIG": "x" * 50_000}}]}))
    assert sshjobs_cli("run", "-q", "jobs.yaml").returncode == 1
    told = sshjobs_cli("shell", "a", input="cat mark; exit 6\n")
    assert told.returncode == 6 and "x\n" in told.stdout
    assert "its variables are too long for a shell, which is opened without them" in told.stderr
