"""The user's own ssh: what the configuration says counts, what a host says is not taken for ssh's own words, and a
ControlMaster or start-up file that is in the way is named."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from sshjobs.errors import InputError
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.model.host import Host
from sshjobs.network import HostDown, HostUp, Network, RunIdentity
from sshjobs.network.helpers import CheckRemoteCommands
from sshjobs.network.transport.base import ProcessStream
from sshjobs.network.transport.openssh import OpensshTransport
from sshjobs.network.transport.sshcall import SshCall
from sshjobs.network.transport.sshlog import cause_of, said_by_ssh, said_on_the_way
from sshjobs.store.rundir import create_run
from tests.hints import tries
from tests.lab.waiting import wait_until
from tests.network.meeting import kinds, meet, with_known_hosts


def configuration(lab, tmp_path: Path, text: str) -> str:
    """Write a configuration of the lab with a text before everything else; return its path."""
    return str(lab.write_ssh_config(tmp_path / "ssh_config", extra=text))


def options(host: str, config: str) -> dict[str, str]:
    """Return what ssh is called with for a host, as ``ssh -G`` understands it."""
    with SshCall.prepare(Host(host), config) as call:
        argv = call.argv("true")
    said = subprocess.run([argv[0], "-G", *argv[1:-1]], capture_output=True, text=True, check=True).stdout
    return dict(line.partition(" ")[::2] for line in said.splitlines())


# -- what the configuration says ------------------------------------------------------------------------------------


def test_ignore_unknown_of_the_user_counts(lab, tmp_path):
    name = lab.names[0]
    config = configuration(lab, tmp_path, "IgnoreUnknown UseKeychain\nHost *\n    UseKeychain yes\n")
    assert kinds(meet([name], ssh_config=config)) == {name: "up"}
    assert CheckRemoteCommands(name, "echo hello", ssh_config=config) == "hello\n"


@pytest.mark.parametrize(("text", "expected"), [
    ("", ("10", "10", "3")),
    ("Host *\n    ConnectTimeout 77\n", ("77", "10", "3")),
    ("Host *\n    ServerAliveInterval 200\n    ServerAliveCountMax 9\n", ("10", "200", "9")),
    ("Match host {name} exec true\n    ConnectTimeout 5\n", ("5", "10", "3")),
    ("Host other\n    ConnectTimeout 5\n", ("10", "10", "3")),
    ("Include {path}/more*\n", ("33", "10", "3")),
])
def test_what_is_not_about_safety_is_a_default(lab, tmp_path, text, expected):
    (tmp_path / "more.conf").write_text("ConnectTimeout 33\n")
    config = configuration(lab, tmp_path, text.format(name=lab.names[0], path=tmp_path))
    found = options(lab.names[0], config)
    assert tuple(found[key] for key in ("connecttimeout", "serveraliveinterval", "serveralivecountmax")) == expected


@pytest.mark.parametrize("text", ["StrictHostKeyChecking no", "ForwardAgent yes", "PermitLocalCommand yes",
                                  "RemoteCommand false", "RequestTTY force", "BatchMode no", "StdinNull yes",
                                  "ForkAfterAuthentication yes", "SessionType none", "ForwardX11 yes",
                                  "ControlMaster auto", "LogLevel DEBUG3", "LocalForward 127.0.0.1:9 127.0.0.1:9"])
def test_what_keeps_the_stream_clean_or_the_user_safe_comes_first(lab, tmp_path, text):
    key = text.split()[0].lower()
    with_it = options(lab.names[0], configuration(lab, tmp_path, f"Host *\n    {text}\n"))
    without = options(lab.names[0], str(lab.ssh_config))
    assert with_it.get(key) == without.get(key) or with_it["clearallforwardings"] == "yes"
    assert kinds(meet([lab.names[0]], ssh_config=str(tmp_path / "ssh_config"))) == {lab.names[0]: "up"}


def test_a_user_who_grants_the_connection_more_time_gets_it(lab, tmp_path):
    config = configuration(lab, tmp_path, "Host *\n    ConnectTimeout 300\n")
    with SshCall.prepare(Host(lab.names[0], via=lab.names[1]), config) as call:
        assert call.connect_timeout == 600


# -- whose words count ----------------------------------------------------------------------------------------------

CHANGED = ("@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\n"
           "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n"
           "Host key for node01 has changed and you have requested strict checking.\n"
           "Host key verification failed.\n")


@pytest.mark.parametrize("where", [">&2", ""])
def test_what_a_host_prints_is_not_taken_for_ssh(fresh_lab, where):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    (host.home / "words").write_text(CHANGED)
    (host.home / ".bashrc").write_text(f"cat ~/words {where}\nexit 255\n")
    (answer,) = meet([host.name], ssh_config=str(lab.ssh_config)).values()
    assert isinstance(answer, HostDown)
    assert answer.error.kind == "ssh-failed" and "ssh-keygen" not in str(answer.error)
    with pytest.raises(Exception, match="ssh could not connect") as caught:
        CheckRemoteCommands(host.name, "true", ssh_config=str(lab.ssh_config))
    assert "ssh-keygen" not in str(caught.value)


def test_a_banner_of_a_host_is_not_taken_for_ssh(fresh_lab, tmp_path):
    lab = fresh_lab(hosts=2)
    host, jump = lab.hosts
    for one in lab.hosts:
        (one.home / "banner").write_text(CHANGED)
        one.restart_sshd(Banner="/home/lab/banner")
    stranger = configuration(lab, tmp_path, "Host *\n    User nobody-knows\n")
    (answer,) = meet([host.name], ssh_config=stranger).values()
    assert isinstance(answer, HostDown) and answer.error.kind == "auth" and "ssh-keygen" not in str(answer.error)
    # By the user's own jump, whose ssh writes where we cannot tell it from the jump host.
    behind = configuration(lab, tmp_path, f"Host {jump.name}\n    User nobody-knows\n"
                                          f"Host {host.name}\n    ProxyJump {jump.name}\n")
    (answer,) = meet([host.name], ssh_config=behind).values()
    assert isinstance(answer, HostDown) and "ssh-keygen" not in str(answer.error)
    # By a management host, whose ssh we call ourselves.
    (answer,) = meet([Host(host.name, via=jump.name)], ssh_config=behind).values()
    assert isinstance(answer, HostDown) and answer.error.kind == "auth" and "ssh-keygen" not in str(answer.error)


@pytest.mark.parametrize("line", [
    "Received disconnect from 10.0.0.1 port 22:2: x\n{}", "lab@10.0.0.1: Permission denied (x\n{}).",
    "Connection closed by 10.0.0.1 port 22 {}",
])
def test_what_a_host_makes_ssh_write_does_not_count_as_found_by_ssh(line):
    error = said_by_ssh(Host("node01"), line.format(CHANGED))
    assert error is not None and error.kind in ("throttled", "auth")


def test_a_jump_host_cannot_have_a_key_thrown_away():
    log = "kex_exchange_identification: Connection closed by remote host\nConnection closed by UNKNOWN port 65535\n"
    error = said_on_the_way(Host("node01"), log, CHANGED)
    assert error is not None and error.kind == "jump-key" and "ssh-keygen" not in str(error)
    assert cause_of(log) == ("jump", "kex_exchange_identification: Connection closed by remote host")


def test_a_way_without_a_common_algorithm_is_named(lab, tmp_path):
    config = configuration(lab, tmp_path, "Host *\n    HostKeyAlgorithms rsa-sha2-512\n")
    (answer,) = meet([lab.names[0]], ssh_config=config).values()
    assert isinstance(answer, HostDown) and answer.error.kind == "no-common-way"
    assert "HostKeyAlgorithms" in str(answer.error)


def test_no_file_of_ssh_s_words_stays_behind(lab, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    meet([Host(lab.names[0]), Host("no-such-name.invalid"), Host(lab.names[1], via=lab.names[0])],
         ssh_config=str(lab.ssh_config))
    assert list((tmp_path / "scratch").iterdir()) == []


# -- a ControlMaster that hangs -------------------------------------------------------------------------------------


@pytest.fixture
def master(lab, tmp_path):
    """A ControlMaster of the user's that stands still: its configuration and the path of its socket."""
    path = tmp_path / "cm"
    config = configuration(lab, tmp_path, f"Host *\n    ControlPath {path}\n")
    process = subprocess.Popen(["ssh", "-F", config, "-M", "-N", lab.names[0]], stdin=subprocess.DEVNULL)
    try:
        wait_until(path.exists, 20, "the master's socket")
        yield config, path, process
    finally:
        process.kill()
        process.wait()


def test_a_living_master_is_used(lab, master):
    config, _, _ = master
    log = lab.hosts[0].sshd_log
    before = log.read_text().count("Accepted publickey")
    assert kinds(meet([lab.names[0]], ssh_config=config)) == {lab.names[0]: "up"}
    assert log.read_text().count("Accepted publickey") == before


def test_a_master_that_stands_still_is_gone_past_and_named(lab, master, monkeypatch):
    config, path, process = master
    monkeypatch.setattr("sshjobs.gjob.verbs.sshoptions.MASTER_PATIENCE", 0.5)
    process.send_signal(signal.SIGSTOP)
    told: list[str] = []
    (answer,) = meet([lab.names[0]], ssh_config=config, told=told).values()
    assert isinstance(answer, HostUp)
    assert len(told) == 1 and f"ssh -O exit {lab.names[0]}" in told[0] and str(path) in told[0]
    # What it advises works: with the socket gone nothing is in the way.
    os.unlink(path)
    assert kinds(meet([lab.names[0]], ssh_config=config, told=told)) == {lab.names[0]: "up"}
    assert len(told) == 1


def test_a_master_that_leads_nowhere_is_named_and_gone_past_once(lab, master, monkeypatch):
    config, path, _ = master
    transport = OpensshTransport(config)
    transport._masters[lab.names[0]] = str(path)
    error = transport.late(Host(lab.names[0]), 60)
    assert f"ssh -O exit {lab.names[0]}" in str(error) and str(path) in str(error)
    assert SshCall.prepare(Host(lab.names[0]), config, past_master=True).all_options["ControlPath"] == "none"
    assert transport._past_master == {lab.names[0]}


@tries("{}; trying once past it")
def test_a_master_whose_connection_is_dead_is_gone_past_and_closed_as_advised(lab, master, monkeypatch, tmp_path):
    monkeypatch.setattr("sshjobs.network.session.session.READY_TIMEOUT", 2.0)
    config, path, process = master
    (host, *_) = lab.hosts
    # Of the login that the master holds, what serves it on the host stands still; new logins find sshd at work.
    serving = [one.pid for one in host.processes() if one.argv and one.argv[0].startswith(f"sshd: {host.user}")]
    for pid in serving:
        os.kill(pid, signal.SIGSTOP)
    try:
        answers: list[object] = []
        network = Network(str(tmp_path), [host.name], ssh_config=config)
        network.open(RunIdentity("1" * 32, "r", 1), create_run(tmp_path, name="r"))

        def is_up() -> bool:
            answers.extend(network.wait(0.2).hosts)
            return any(isinstance(one, HostUp) for one in answers)

        wait_until(is_up, 40, lambda: str(answers))
        network.close(finished=True)
        (down,) = [one.error for one in answers if isinstance(one, HostDown)]
        advice = re.search(r"(ssh -O exit [\w.-]+)[^;]*; trying once past it$", str(down))
        assert advice, down
    finally:
        for pid in serving:
            os.kill(pid, signal.SIGCONT)
    subprocess.run([*advice[1].split(), "-F", config], check=True, capture_output=True, timeout=20)
    assert process.wait(20) is not None and not path.exists()


# -- start-up files of the host --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["exec bash", "exec sh", "read line", "cat > /dev/null", "exit 0", "head -c 3000 >&2",
                                  "exec cat"])
def test_a_start_up_file_in_the_way_is_named(fresh_lab, text, monkeypatch):
    monkeypatch.setattr("sshjobs.network.session.session.READY_TIMEOUT", 3.0)
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    (host.home / ".bashrc").write_text(text + "\n")
    (answer,) = meet([host.name], ssh_config=str(lab.ssh_config)).values()
    assert isinstance(answer, HostDown)
    assert "~/.bashrc" in str(answer.error), str(answer.error)


# -- keys that nobody has seen ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "helps"), [
    ("StrictHostKeyChecking accept-new\n    UserKnownHostsFile /dev/null", False),
    ("StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null", False),
    ("StrictHostKeyChecking no", True), ("UserKnownHostsFile /dev/null", False), ("", True)])
def test_the_hint_for_an_unknown_key_names_the_user_s_setting(lab, tmp_path, text, helps):
    config = with_known_hosts(lab, tmp_path, [], f"Host *\n    {text}\n" if text else "")
    (answer,) = meet([lab.names[0]], ssh_config=config).values()
    assert isinstance(answer, HostDown) and answer.error.kind == "host-key-unknown"
    told = str(answer.error)
    assert "--accept-new-host-keys" in told
    assert all(" ".join(line.split()) in told for line in text.splitlines())
    assert (f": ssh {lab.names[0]}" in told) == helps


# -- names that no host line takes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["user@corp.com", "corp\\user", "user%x", "user!"])
def test_a_login_name_that_cannot_be_written_gets_the_way_out(tmp_path, user):
    with pytest.raises(InputError) as caught:
        load_hosts(f"{user}@h0")
    told = str(caught.value)
    assert f"Host NAME, below it HostName HOST and User {user}" in told
    # What it advises works.
    (tmp_path / "config").write_text(f"Host NAME\n    HostName h0\n    User {user}\n")
    said = subprocess.run(["ssh", "-G", "-F", tmp_path / "config", "NAME"], capture_output=True, text=True).stdout
    assert f"user {user}\n" in said and "hostname h0\n" in said
    assert [host.name for host in load_hosts("NAME")] == ["NAME"]


def test_a_start_up_file_that_prints_in_the_background_is_named(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    (host.home / ".bashrc").write_text("(sleep 1; while echo hello from the background; do sleep 0.2; done) &\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'sleep 3'}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", host.name, "--ssh-config", lab.ssh_config)
    assert "~/.bashrc" in done.stdout + done.stderr


def test_a_run_that_takes_new_keys_takes_them_to_its_end(lab, sshjobs_cli, tmp_path):
    """The user's ssh remembers no key, so every later look at the hosts has to take it anew."""
    config = with_known_hosts(lab, tmp_path, [], "Host *\n    UserKnownHostsFile /dev/null\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'exit 1'}]")
    words = ("--hosts", lab.names[0], "--ssh-config", config)
    refused = sshjobs_cli("run", "jobs.yaml", *words)
    assert refused.returncode == 3 and "--accept-new-host-keys" in refused.stderr, refused.stderr
    assert sshjobs_cli("hosts", "check", *words, "--accept-new-host-keys").returncode == 0
    assert sshjobs_cli("exec", *words, "--accept-new-host-keys", "true", ":::", "1").returncode == 0
    done = sshjobs_cli("run", "jobs.yaml", *words, "--accept-new-host-keys", "--name", "mine")
    assert done.returncode == 1, done.stderr
    again = sshjobs_cli("retry", "mine", "--failed")
    assert again.returncode == 1 and "attempt 2" in again.stdout and "host key" not in again.stderr, again.stderr
    verified = sshjobs_cli("verify", "mine")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert sshjobs_cli("gc", "mine").returncode == 0
    assert sshjobs_cli("gc", *words, "--accept-new-host-keys", "--dry-run").returncode in (0, 1)


def test_a_host_that_takes_nothing_is_heard_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is written to it fails before anything is read.
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text("#!/bin/sh\nexec 0<&-\nuntil test -e \"$(dirname \"$0\")/failed\"; do sleep 0.01; done\n"
                   "echo 'This account is currently not available.'\nexit 1\n")
    ssh.chmod(0o700)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    write = ProcessStream.write

    async def noted(self: ProcessStream, data: bytes) -> None:
        try:
            await write(self, data)
        finally:
            (ssh.parent / "failed").touch()

    monkeypatch.setattr(ProcessStream, "write", noted)
    (answer,) = meet([Host("h")], transport="openssh").values()
    assert isinstance(answer, HostDown) and answer.error.kind == "nologin", answer
