"""Logins that a command begins while it still loads: one a host, for what was checked, and none is left over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sshjobs.model.host import Host
from sshjobs.network.transport import early
from sshjobs.network.transport.early import MOST_HOSTS, connecting, taken
from tests.lab.waiting import wait_until

#: Stands for ssh: says which it is, and waits as long as somebody may write to it.
SSH = """#!/bin/sh
echo $$ >> "$HOME/pids"
exec cat > /dev/null
"""


@pytest.fixture
def called(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which each call of ssh leaves its pid."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return clean_home / "pids"


def is_gone(pid: str) -> bool:
    return not Path("/proc", pid).exists()


def logins(host) -> int:
    return sum("Accepted publickey" in line for line in host.sshd_log.read_text().splitlines())


def test_a_command_logs_in_once_at_each_host(lab, sshjobs_cli):
    before = [logins(host) for host in lab.hosts]
    hosts = ["--hosts", ",".join(lab.names), "--ssh-config", lab.ssh_config]
    assert sshjobs_cli("exec", *hosts, "--per-host", "-q", "true").returncode == 0
    assert [logins(host) for host in lab.hosts] == [count + 1 for count in before]


def test_who_does_not_take_a_login_ends_it(called):
    with connecting([Host("a"), Host("b", user="c", port=7)], None, None, accept_new=False):
        begun = list(early._begun.values())
        wait_until(lambda: called.exists() and len(called.read_text().split()) == 2)
        logs = [Path(one.call.log.path) for one in begun]
        assert all(log.exists() for log in logs)
    assert all(map(is_gone, called.read_text().split()))
    assert not early._begun and not any(log.exists() for log in logs)


@pytest.mark.parametrize(("host", "ssh_config", "accept_new"), [
    (Host("a"), None, True), (Host("a"), "/other", False), (Host("a", user="b"), None, False), (Host("a", via="b"), None, False),
    (Host("a", python="python3.9"), None, False)], ids=str)
def test_a_login_is_taken_once_and_only_for_the_same_way(called, host, ssh_config, accept_new):
    with connecting([Host("a", slots=3)], None, None, accept_new=False):
        assert taken(host, ssh_config, accept_new=accept_new) is None
        begun = taken(Host("a"), None, accept_new=False)
        assert begun is not None and taken(Host("a"), None, accept_new=False) is None
    assert begun.process.poll() is None
    with begun.process:
        begun.process.kill()
    begun.call.close()


@pytest.mark.parametrize(("hosts", "transport"), [
    ([Host(f"h{n}") for n in range(MOST_HOSTS + 1)], None), ([Host("localhost", local=True)], None), ([Host("a")], "fabric"),
    ([Host("a", slurm=(("nodes", "1"),))], None)], ids=str)
def test_none_is_begun_where_that_is_not_sshs_or_for_many(called, hosts, transport):
    with connecting(hosts, transport, None, accept_new=False):
        assert not early._begun


def test_none_is_begun_where_ssh_has_to_be_asked_first(called, tmp_path):
    (tmp_path / "config").write_text("Host *\n ControlPath ~/.ssh/%C\n")
    with connecting([Host("a")], None, str(tmp_path / "config"), accept_new=False):
        assert not early._begun


def test_where_there_is_no_ssh_the_command_says_so_as_ever(sshjobs_cli, tmp_path):
    answer = sshjobs_cli("exec", "--per-host", "--hosts", "a", "true", env={"PATH": str(tmp_path)})
    assert answer.returncode == 3 and "there is no ssh program on this machine" in answer.stderr


def test_a_run_that_is_refused_leaves_no_login(called, sshjobs_cli):
    first = sshjobs_cli("exec", "--per-host", "--name", "taken", "true")
    assert first.returncode == 0
    answer = sshjobs_cli("exec", "--per-host", "--hosts", "a", "--name", "taken", "true")
    assert answer.returncode == 2 and "taken" in answer.stderr
    assert not called.exists() or all(map(is_gone, called.read_text().split()))
