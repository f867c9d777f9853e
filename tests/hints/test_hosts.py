"""Hints about hosts that cannot be used: each is met on a host over real ssh, done as it says, and the host comes up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sshjobs.cli import checkup
from sshjobs.errors import CommandError, HostError
from sshjobs.model.host import Host
from sshjobs.network import HostUp, oneshot
from sshjobs.network.helpers import WriteRemoteFile
from sshjobs.network.session import dialog
from tests.cli.here import call_here
from tests.hints import matches, tries
from tests.lab import BaseLab, LabHost
from tests.network.meeting import meet, with_known_hosts

REAL_PYTHON = os.path.realpath("/usr/bin/python3")


@pytest.fixture
def host(lab: BaseLab, clean_home: Path) -> LabHost:
    """A host that is called ``h`` too."""
    return lab.hosts[0]


class Wrong(NamedTuple):
    """A hint, and the lines of an ssh_config about the host ``h`` that lead to it; without them it comes up.

    :ivar shown: what plain ssh shows where the hint says to try that
    """

    hint: str
    lines: str
    shown: str = ""


class Row(Wrong):
    """What tests/house looks for."""


def config_of(lab: BaseLab, directory: Path, lines: str = "") -> str:
    """Write a configuration in which the lab's first host is called ``h``; return its path."""
    host = lab.hosts[0]
    own = "".join(f"    {line.strip()}\n" for line in lines.splitlines())
    usual = f"    HostName {host.address}\n    HostKeyAlias {host.name}\n    User {host.user}\n"
    return str(lab.write_ssh_config(directory / "config", extra=f"Host h\n{own}{usual}"))


def trouble(config: str, host: str | Host = "h") -> str | None:
    """Return what is said of a host that cannot be used, ``None`` for one that can."""
    (answer,) = meet([host], ssh_config=config).values()
    return None if isinstance(answer, HostUp) else str(answer.error)


def ssh(config: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Call ssh as a person does, who has no terminal at hand."""
    return subprocess.run(["ssh", "-F", config, "-o", "BatchMode=yes", *words], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False)


@contextlib.contextmanager
def start_up(host: LabHost, text: str) -> Iterator[Path]:
    """Give the login user of a host a start-up file for a while."""
    path = host.home / ".bashrc"
    path.write_text(text)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


# -- what the user's configuration of ssh says ------------------------------------------------------------------------

ROWS = [
    Row("correct the name, or give it a HostName in ssh_config", "HostName nosuch.invalid"),
    Row("see that sshd runs there, and the port", "Port 1"),
    Row("see that the machine and the network are up", "HostName 255.255.255.255"),
    Row("make `{ssh}` work without a question (key, agent, or a live ControlMaster)",
        "User nosuchuser", "Permission denied"),
    Row("correct the named line; try: ssh -G {host}", "NoSuchWord yes", "Bad configuration option: nosuchword"),
    Row("see HostKeyAlgorithms, KexAlgorithms, Ciphers and MACs in ssh_config; try: {ssh}", "HostKeyAlgorithms rsa-sha2-512",
        "no matching host key type"),
    Row("see ProxyJump and ProxyCommand in ssh_config, and that the machine is up",
        "HostName 127.0.0.1\nPort 1\nProxyJump {other}"),
    Row("try: {ssh}", "BindAddress 203.0.113.1", "Cannot assign requested address"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:40])
def test_a_host_is_used_once_the_configuration_is_corrected(row: Row, host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path, row.lines.replace("{other}", lab.names[1]))
    told = trouble(config)
    assert told is not None and matches(row.hint, told), told
    if "try:" in row.hint or "`" in row.hint:
        found = re.search(r"(?:try: |`)ssh ([^`;]*)", told)
        assert found and row.shown in ssh(config, *found[1].split(), "true").stderr, told
    assert trouble(config_of(lab, tmp_path)) is None


@tries("check it and accept it once: {ssh}; or take it unseen: sshjobs hosts check --accept-new-host-keys --hosts {host}")
@tries("accept it once: ssh {}; or take it unseen: sshjobs hosts check --accept-new-host-keys --hosts {}")
@pytest.mark.parametrize("extra", ["", "Host *\n    StrictHostKeyChecking no\n"])
@pytest.mark.parametrize("unseen", [False, True])
def test_a_key_is_accepted_by_ssh_or_by_a_check(host: LabHost, lab: BaseLab, tmp_path: Path, unseen: bool, extra: str) -> None:
    config = with_known_hosts(lab, tmp_path, [], extra)
    told = trouble(config, host.name)
    found = re.search(r"accept it once: ssh (\S+); or take it unseen: sshjobs (.*)$", told or "")
    assert found, told
    if unseen:
        assert call_here(*found[2].split(), "--ssh-config", config).returncode == 0
    else:
        # As a person who types "yes".
        assert ssh(config, "-o", "StrictHostKeyChecking=accept-new", found[1], "true").returncode == 0
    assert trouble(config, host.name) is None


@tries("make sure that it is the right machine, then: ssh-keygen -R {host}; {ssh}")
def test_the_key_of_a_machine_that_was_installed_anew_is_taken(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    keys = {line.partition(",")[0]: line.partition(" ")[2] for line in lab.known_hosts.read_text().splitlines()}
    config = with_known_hosts(lab, tmp_path, [f"{name} {keys[lab.names[1]]}" for name in (host.name, host.address)])
    told = trouble(config, host.name)
    found = re.search(r"then: ((?:ssh-keygen -R \S+ -f \S+; )+)ssh (\S+)$", told or "")
    assert found, told
    subprocess.run(found[1], shell=True, check=True, capture_output=True)
    assert ssh(config, "-o", "StrictHostKeyChecking=accept-new", found[2], "true").returncode == 0
    assert trouble(config, host.name) is None


@tries("do not log in there; have it given a new key, and the old one taken from its name")
def test_a_host_whose_key_was_revoked_is_used_with_a_new_one(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    (old,) = [line.partition(" ")[2] for line in lab.known_hosts.read_text().splitlines() if line.startswith(host.name)]
    config = with_known_hosts(lab, tmp_path, [f"@revoked * {old}", f"{host.address} {old}"])
    told = trouble(config, host.name)
    assert told is not None and told.endswith("do not log in there; have it given a new key, and the old one taken from its name")
    directory = host.base / "ssh"  # type: ignore[attr-defined]
    shutil.copytree(directory, tmp_path / "ssh")
    try:
        host.new_host_key()
        new = subprocess.run(["ssh-keyscan", "-t", "ed25519", host.address], capture_output=True, text=True, check=True).stdout
        config = with_known_hosts(lab, tmp_path, [f"@revoked * {old}", new.strip()])
        assert trouble(config, host.name) is None
    finally:
        for path in (tmp_path / "ssh").iterdir():
            shutil.copy2(path, directory)
        host.restart_sshd()


@tries("see what is wrong with it: {ssh}")
def test_what_is_wrong_with_the_key_of_a_jump_host_is_shown_by_ssh(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    jump = lab.hosts[1]
    keys = {line.partition(",")[0]: line.partition(" ")[2] for line in lab.known_hosts.read_text().splitlines()}
    lines = [f"{host.address} {keys[host.name]}", f"{jump.address} {keys[host.name]}"]
    jumping = f"Host {host.name}\n    ProxyJump {jump.name}\n"
    config = with_known_hosts(lab, tmp_path, lines, jumping)
    told = trouble(config, host.name)
    found = re.search(r"see what is wrong with it: ssh (\S+)$", told or "")
    assert found, told
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in ssh(config, found[1], "true").stderr
    config = with_known_hosts(lab, tmp_path, [lines[0], f"{jump.address} {keys[jump.name]}"], jumping)
    assert trouble(config, host.name) is None


# -- the network and the host's sshd ----------------------------------------------------------------------------------


@tries("see that the machine is up and reachable")
def test_a_host_that_is_reachable_again_is_used(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path, "ConnectTimeout 1")
    host.cut("drop")
    try:
        told = trouble(config)
        assert told is not None and told.endswith("see that the machine is up and reachable"), told
    finally:
        host.heal()
    assert trouble(config) is None


@tries("it may be too busy (MaxStartups); trying again")
def test_a_busy_sshd_is_tried_again(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path)
    host.restart_sshd(MaxStartups="2:100:2")
    try:
        with contextlib.ExitStack() as others:
            for _ in range(2):
                others.enter_context(socket.create_connection((host.address, host.port), timeout=20)).recv(100)
            told = trouble(config)
        assert told is not None and told.endswith("it may be too busy (MaxStartups); trying again"), told
        assert trouble(config) is None
    finally:
        host.restart_sshd()


@tries("give the account a login shell")
def test_an_account_that_has_a_login_shell_is_used(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path)
    host.set_shell("/usr/sbin/nologin")
    try:
        told = trouble(config)
        assert told is not None and told.endswith("give the account a login shell"), told
    finally:
        host.set_shell("/bin/bash")
    assert trouble(config) is None


# -- Python on the host -----------------------------------------------------------------------------------------------


@tries("install Python 3.6 or newer there, or set python=PATH in the hosts file",
       "set python=PATH of Python 3.6 or newer in the hosts file")
@pytest.mark.parametrize(("program", "hint"), [
    (None, "install Python 3.6 or newer there, or set python=PATH in the hosts file"),
    ("#!/bin/sh\necho 'Unknown option: -I' >&2\nexit 2\n", "set python=PATH of Python 3.6 or newer in the hosts file")])
def test_another_python_of_the_host_is_named(host: LabHost, lab: BaseLab, tmp_path: Path, program: str | None, hint: str) -> None:
    config = config_of(lab, tmp_path)
    host.replace_program("python3", program)
    try:
        told = trouble(config)
        assert told is not None and told.endswith(hint), told
        assert trouble(config, Host("h", python=REAL_PYTHON)) is None
    finally:
        host.restore_programs()
    assert trouble(config) is None


# -- start-up files ---------------------------------------------------------------------------------------------------


@tries("see what reads input or starts a shell in ~/.bashrc there, or in the like of its login shell; put before it: "
       "case $- in *i*) ;; *) return ;; esac")
def test_a_start_up_file_that_starts_a_shell_does_so_for_people_only(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path)
    with start_up(host, "exec bash\n") as path:
        told = trouble(config)
        found = re.search(r"put before it: (.*)$", told or "")
        assert found, told
        path.write_text(f"{found[1]}\nexec bash\n")
        assert trouble(config) is None


@tries("see what a start-up file of the login shell there (~/.bashrc) waits for or reads")
def test_a_start_up_file_that_waits_is_mended(host: LabHost, lab: BaseLab, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(lab, tmp_path)
    with start_up(host, "while [ -e ~/wait ]; do sleep 0.1; done\n"):
        (host.home / "wait").touch()
        with monkeypatch.context() as hasty:
            hasty.setattr("sshjobs.network.session.session.READY_TIMEOUT", 1.0)
            told = trouble(config)
        (host.home / "wait").unlink()
        assert told is not None and told.endswith("(~/.bashrc) waits for or reads"), told
        assert trouble(config) is None


@tries("a forced command or a start-up file (~/.bashrc) may be in the way; try: {ssh} python3 --version")
def test_what_is_in_the_way_of_the_agent_is_in_the_way_of_python_too(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path)
    with start_up(host, "exit 0\n"):
        told = trouble(config)
        found = re.search(r"may be in the way; try: ssh (.*)$", told or "")
        assert found, told
        assert "Python" not in ssh(config, *found[1].split()).stdout
    assert "Python 3" in ssh(config, *found[1].split()).stdout
    assert trouble(config) is None


@tries("see what runs there, and whether a start-up file (~/.bashrc) prints in the background",
       "see what runs there, and whether a start-up file (~/.bashrc) prints in the background; trying again")
@pytest.mark.parametrize("often", [False, True])
def test_a_start_up_file_prints_no_longer_in_the_background(host: LabHost, lab: BaseLab, tmp_path: Path, often: bool,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if often:
        monkeypatch.setattr(dialog, "MAX_NONSENSE", 1)
    config = config_of(lab, tmp_path)
    # The job mends the file, so that the next login is a quiet one.
    Path("jobs.yaml").write_text("jobs: [{name: x, commands: ['sleep 0.5', 'rm -f ~/.bashrc', 'sleep 0.5']}]")
    with start_up(host, "(while echo hello from the background; do sleep 0.1; done) &\n"):
        told = call_here("run", "jobs.yaml", "--name", "r", "--hosts", "h", "--ssh-config", config, "--json",
                         *(["--give-up-host", "1s"] if often else []))
    reasons = [json.loads(line).get("reason") or "" for line in told.stdout.splitlines()]
    hint = "whether a start-up file (~/.bashrc) prints in the background" + ("" if often else "; trying again")
    assert any(reason.endswith(hint) for reason in reasons), told
    if told.returncode:
        # The host was left alone, or could not be used at all: the file is mended, and so the run goes on.
        told = call_here("resume", "r")
    assert told.returncode == 0, told


# -- one question to a host -------------------------------------------------------------------------------------------


@tries("try: ssh {} true")
def test_a_host_that_did_not_answer_in_time_is_tried_by_ssh(host: LabHost, lab: BaseLab, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(lab, tmp_path)

    async def stuck(stream: Any, answer: Any, data: bytes) -> bytes:
        answer.ready = True
        await asyncio.sleep(60)
        return b""

    def asked() -> object:
        (answer,) = asyncio.run(oneshot.ask_hosts([Host("h")], lambda host: {"t": "facts"}, ssh_config=config, patience=0.2))
        return answer

    with monkeypatch.context() as silent:
        silent.setattr(oneshot, "_converse", stuck)
        answer = asked()
    assert isinstance(answer, HostError)
    found = re.search(r"try: ssh (\S+) true$", str(answer))
    assert found, answer
    assert ssh(config, found[1], "true").returncode == 0


@tries("try: ssh {}")
def test_a_host_that_a_check_did_not_hear_of_is_tried_by_ssh(host: LabHost, lab: BaseLab, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(lab, tmp_path)
    with start_up(host, "while [ -e ~/wait ]; do sleep 0.1; done\n"), monkeypatch.context() as hasty:
        (host.home / "wait").touch()
        hasty.setattr(checkup, "PATIENCE", 0.2)
        (silent,) = checkup.examine([Host("h")], ssh_config=config)
        (host.home / "wait").unlink()
    found = re.search(r"try: ssh (\S+)$", silent.text())
    assert found, silent.text()
    assert ssh(config, found[1], "true").returncode == 0
    (answered,) = checkup.examine([Host("h")], ssh_config=config)
    assert answered.usable


@tries("see that its directory is there, and may be written to")
def test_a_file_is_written_into_a_directory_that_is_there(host: LabHost, lab: BaseLab, tmp_path: Path) -> None:
    config = config_of(lab, tmp_path)
    with pytest.raises(CommandError, match="see that its directory is there, and may be written to"):
        WriteRemoteFile("h", "absent/file", "x", ssh_config=config)
    ssh(config, "h", "mkdir absent")
    WriteRemoteFile("h", "absent/file", "x", ssh_config=config)
    ssh(config, "h", "rm -r absent")
