"""The transport fabric: it does and names what the openssh transport does, and takes what a program supplies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sshjobs import Network, UsageError
from sshjobs.gjob.verbs import sshoptions
from sshjobs.model.host import Host
from sshjobs.network import HostDown, HostUp
from sshjobs.network.transport.base import Ending
from sshjobs.network.transport.fabric import READ_AHEAD, FabricStream
from sshjobs.network.transport.sshclient import SshClient
from tests.acceptance.mixed import differences, mixed_jobs
from tests.hints import tries
from tests.lab.waiting import wait_until
from tests.network.meeting import SSH, kinds, meet, with_known_hosts


@pytest.fixture
def first(lab):
    return lab.hosts[0]


def without_identity(lab, path: Path) -> str:
    """An ssh configuration that knows no key to log in with."""
    text = lab.ssh_config.read_text()
    path.write_text(text.replace(f"IdentityFile {lab.key}", "IdentityFile /dev/null/none"))
    return str(path)


def test_two_hundred_mixed_jobs_over_fabric_end_as_they_must(lab, sshjobs_cli, tmp_path):
    mixed = mixed_jobs(tmp_path, 200)
    jobfile = mixed.write(tmp_path / "mixed.yaml")
    (tmp_path / "hosts.txt").write_text("".join(f"{host.name} slots=4\n" for host in lab.hosts))
    done = sshjobs_cli("run", jobfile, "--hosts", "hosts.txt", "--ssh-config", lab.ssh_config, "--transport", "fabric",
                       timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    status = json.loads(sshjobs_cli("status", "--json").stdout)
    assert differences(mixed, tmp_path / "results" / "mixed-1", status) == []


# -- trouble, by name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", SSH)
def test_both_transports_name_the_same_trouble(lab, first, tmp_path, transport, monkeypatch):
    monkeypatch.setitem(sshoptions.DEFAULTS, "ConnectTimeout", ("4", "none"))
    if transport == "fabric":
        monkeypatch.setattr("sshjobs.network.transport.sshclient.CONNECT_TIMEOUT", 4.0)
    config = str(lab.write_ssh_config(tmp_path / "config", extra=(
        f"Host refused\n    HostName {first.address}\n    Port 9\n    HostKeyAlias {first.name}\n"
        f"Host stranger\n    HostName {first.address}\n    HostKeyAlias {first.name}\n    User nobody-knows\n"
        f"Host behind\n    HostName 192.0.2.1\n    ProxyJump {first.name}\n"
        f"Host behind-refusal\n    HostName {first.address}\n    Port 9\n    ProxyJump {first.name}\n"
        f"Host closed\n    HostName x.invalid\n    ProxyCommand true\n"
        f"Host silent\n    HostName 127.0.0.1\n    ProxyCommand sleep 60\n")))
    hosts = ["refused", "stranger", "no-such-name.invalid", "behind-refusal", "silent"]
    answers = meet(hosts, transport=transport, ssh_config=config)
    assert kinds(answers) == {"refused": "refused", "stranger": "auth", "no-such-name.invalid": "unresolvable",
                              "behind-refusal": "jump", "silent": "timeout"}
    lasting = {name for name, answer in answers.items() if isinstance(answer, HostDown) and answer.error.lasting}
    assert lasting == {"stranger"}
    unreached = {name for name, answer in answers.items() if isinstance(answer, HostDown) and not answer.error.reached}
    assert unreached == {"refused", "no-such-name.invalid"}


@pytest.mark.parametrize("transport", SSH)
def test_a_configuration_that_ssh_refuses_is_named(transport, tmp_path):
    (tmp_path / "config").write_text("Host *\n    NoSuchThing yes\n")
    (answer,) = meet(["somewhere"], transport=transport, ssh_config=str(tmp_path / "config")).values()
    assert isinstance(answer, HostDown)
    assert (answer.error.kind, answer.error.lasting) == ("bad-config", True)
    assert "nosuchthing" in str(answer.error).lower()


def test_jump_hosts_that_lead_in_a_circle_are_named(lab, tmp_path):
    a, b = lab.hosts[:2]
    config = lab.write_ssh_config(tmp_path / "config", {a.name: {"ProxyJump": b.name}, b.name: {"ProxyJump": a.name}})
    (answer,) = meet([a.name], transport="fabric", ssh_config=str(config)).values()
    assert isinstance(answer, HostDown) and answer.error.kind == "bad-config"


def test_the_jump_host_is_named_where_the_trouble_is_there(lab, tmp_path):
    jump, worker = lab.hosts[:2]
    config = lab.write_ssh_config(tmp_path / "config", {jump.name: {"User": "nobody-knows"}})
    (answer,) = meet([Host(worker.name, via=jump.name)], transport="fabric", ssh_config=str(config)).values()
    assert isinstance(answer, HostDown)
    assert answer.error.kind == "auth" and f"jump host {jump.name}" in str(answer.error)


def test_nothing_but_our_own_lines_reaches_the_terminal(lab, first, sshjobs_cli, tmp_path):
    config = with_known_hosts(lab, tmp_path, [], f"Host refused\n    HostName {first.address}\n    Port 9\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'true'}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", f"refused,{first.name}", "--ssh-config", config,
                       "--transport", "fabric")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr and "paramiko" not in done.stderr
    assert all(line.startswith("sshjobs: ") for line in done.stderr.splitlines()), done.stderr


def test_a_link_that_is_cut_is_lost_and_comes_back(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: job, commands: ['echo up', 'until [ -e ~/go ]; do sleep 0.05; done', 'echo down']}]")
    manager = subprocess.Popen(
        [sys.executable, "-m", "sshjobs", "run", "jobs.yaml", "--hosts", host.name, "--transport", "fabric",
         "--ssh-config", str(lab.ssh_config)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    stdout = tmp_path / "results" / "jobs-1" / "jobs" / "job" / "stdout"
    try:
        wait_until(lambda: stdout.exists() and stdout.read_text() == "up\n", 30, "the first line")
        host.cut("reset")
        (host.home / "go").touch()
        wait_until(lambda: '"unknown": 1' in sshjobs_cli("status", "--json").stdout, 30, "the host to be away")
        host.heal()
        said, _ = manager.communicate(timeout=60)
    finally:
        manager.kill()
        manager.wait()
    assert manager.returncode == 0, said
    assert stdout.read_text() == "up\ndown\n"


# -- what it leaves on this machine ----------------------------------------------------------------------------------


def fabric_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("sshjobs", "Thread"))
            and "execut" not in thread.name]


def test_no_thread_is_left_after_the_end(lab, first):
    before = fabric_threads()
    assert isinstance(meet([first.name], transport="fabric", ssh_config=str(lab.ssh_config))[first.name], HostUp)
    assert fabric_threads() == before


def test_a_connection_that_is_being_made_ends_at_once(fresh_lab, monkeypatch, tmp_path):
    # The test's own time limit would pass before any of these.
    lab = fresh_lab(hosts=1)
    pytest.importorskip("paramiko")
    monkeypatch.setattr("sshjobs.network.transport.sshclient.CONNECT_TIMEOUT", 3000.0)
    lab.hosts[0].cut("drop")
    config = lab.write_ssh_config(tmp_path / "config", extra=(
        "Host silent\n    HostName 127.0.0.1\n    ProxyCommand sleep 3000\n"))
    before = fabric_threads()
    network = Network(str(tmp_path), [lab.hosts[0].name, "silent"], transport="fabric", ssh_config=str(config))
    from sshjobs.network import RunIdentity
    from sshjobs.store.rundir import create_run
    network.open(RunIdentity("0" * 32, "cut", 1), create_run(tmp_path, name="cut"))
    wait_until(lambda: len(fabric_threads()) >= len(before) + 4, 10, "both to be tried")
    network.close(finished=True)
    wait_until(lambda: fabric_threads() == before, 10, "all threads to end")


class FakeChannel:
    """A host that sends for ever, and keeps count of what was sent before anything of it was taken."""

    def __init__(self):
        self.sent = self.taken = self.most = 0
        self.status_event = threading.Event()
        self.status_event.set()
        self.exit_status = 0
        self.cut = threading.Event()

    def recv(self, size):
        if self.cut.is_set():
            return b""
        self.sent += 1
        self.most = max(self.most, self.sent - self.taken)
        return b"x"

    def recv_stderr(self, size):
        return b""

    def shutdown_write(self):
        self.cut.set()

    def exit_status_ready(self):
        return True


class FakeClient(SshClient):
    def __init__(self):
        self.channel = FakeChannel()

    def execute(self, command):
        return self.channel

    def cut(self):
        self.channel.cut.set()

    def close(self):
        self.cut()


def test_what_nobody_takes_holds_the_host_up():
    client = FakeClient()

    async def take() -> tuple[int, Ending]:
        stream = FabricStream(client, "command")
        for _ in range(1000):
            assert await stream.read() == b"x"
            client.channel.taken += 1
        # From its end on it takes all that comes, and throws it away.
        return client.channel.most, await stream.close()

    most, ending = asyncio.run(take())
    assert ending.status == 0
    # One more is in the hands of the thread, and one in those of the reader.
    assert most <= READ_AHEAD + 2


def test_an_aborted_stream_ends_for_whoever_reads_and_writes():
    async def abort() -> tuple[bytes, Ending]:
        stream = FabricStream(FakeClient(), "command")
        await stream.read()
        stream.abort()
        last = await stream.read()
        with pytest.raises(OSError):
            await stream.write(b"too late")
        return last, await stream.close()

    assert asyncio.run(abort())[0] == b""


def test_fabric_is_loaded_only_for_its_transport():
    code = ("import sys, sshjobs; sshjobs.Network('r', ['h'], transport={!r}); sshjobs.Run;"
            "print(sorted({{'fabric', 'paramiko', 'invoke'}} & set(sys.modules)))")
    for transport in ("openssh", "fabric"):
        done = subprocess.run([sys.executable, "-c", code.format(transport)], capture_output=True, text=True,
                              check=True, cwd=Path(__file__).parents[2])
        assert done.stdout == "[]\n"


# -- what a program supplies -----------------------------------------------------------------------------------------


def test_a_key_file_of_the_program_counts(lab, first, tmp_path):
    config = without_identity(lab, tmp_path / "config")
    assert kinds(meet([first.name], transport="fabric", ssh_config=config)) == {first.name: "auth"}
    answers = meet([first.name], transport="fabric", ssh_config=config, connect_kwargs={"key_filename": str(lab.key)})
    assert kinds(answers) == {first.name: "up"}


def test_a_key_and_a_user_of_the_program_count(lab, first, tmp_path):
    import paramiko
    config = tmp_path / "config"
    config.write_text(lab.ssh_config.read_text().replace(f"User {first.user}", "User nobody-knows"))
    given = {"user": first.user, "pkey": paramiko.Ed25519Key.from_private_key_file(str(lab.key))}
    without = {"pkey": given["pkey"]}
    assert kinds(meet([first.name], transport="fabric", ssh_config=str(config), connect_kwargs=given)) == {
        first.name: "up"}
    assert kinds(meet([first.name], transport="fabric", ssh_config=str(config), connect_kwargs=without)) == {
        first.name: "auth"}


def test_a_password_of_the_program_counts(fresh_lab, tmp_path):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    hashed = subprocess.run(["openssl", "passwd", "-6", "open sesame"], capture_output=True, text=True, check=True)
    shadow = host.path("/etc/shadow")
    shadow.write_text(shadow.read_text().replace(f"{host.user}:*:", f"{host.user}:{hashed.stdout.strip()}:"))
    config = without_identity(lab, tmp_path / "config")
    for password, kind in (("open sesame", "up"), ("wrong", "auth")):
        answers = meet([host.name], transport="fabric", ssh_config=config, connect_kwargs={"password": password})
        assert kinds(answers) == {host.name: kind}


def test_a_gateway_of_the_program_is_gone_through(lab):
    worker, gateway = lab.hosts[2:4]
    answers = meet([worker.name], transport="fabric", ssh_config=str(lab.ssh_config),
                   connect_kwargs={"gateway": gateway.name})
    assert kinds(answers) == {worker.name: "up"}
    assert f"from {gateway.address} port" in worker.sshd_log.read_text()


@pytest.mark.parametrize("kwargs", [
    {"hostname": "x"}, {"sock": None}, {"transport_factory": None}, {"gateway": "-oProxyCommand=x"},
    {"gateway": "a,b"}, {"gateway": 7}, {"gateway": "h slots=2"},
])
def test_what_would_get_round_the_checks_is_refused(kwargs, tmp_path):
    with pytest.raises(UsageError):
        Network(str(tmp_path), ["h"], transport="fabric", connect_kwargs=kwargs)


def test_other_transports_take_no_connect_kwargs(tmp_path):
    with pytest.raises(UsageError, match="transport='fabric'"):
        Network(str(tmp_path), ["h"], connect_kwargs={"password": "x"})


# -- the user's settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", SSH)
def test_proxy_jumps_and_proxy_commands_of_the_configuration_are_taken(lab, tmp_path, transport):
    jump, second, worker = lab.hosts[:3]
    config = lab.write_ssh_config(tmp_path / "config", extra=(
        f"Host by-jumps\n    HostName {worker.address}\n    HostKeyAlias {worker.name}\n"
        f"    ProxyJump {jump.name},{second.name}\n"
        f"Host by-command\n    HostName {worker.address}\n    HostKeyAlias {worker.name}\n"
        f"    ProxyCommand ssh -F {tmp_path}/config -W %h:%p {jump.name}\n"))
    answers = meet(["by-jumps", "by-command"], transport=transport, ssh_config=str(config))
    assert kinds(answers) == {"by-jumps": "up", "by-command": "up"}


@tries("install the OpenSSH client, or use --transport fabric")
def test_fabric_works_where_no_ssh_program_is(lab, first, sshjobs_cli, tmp_path):
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'echo over fabric'}]")
    (tmp_path / "bin").mkdir()
    arguments = ("run", "jobs.yaml", "--hosts", first.name, "--ssh-config", lab.ssh_config)
    nowhere = {"PATH": str(tmp_path / "bin")}
    refused = sshjobs_cli(*arguments, env=nowhere)
    assert refused.returncode == 3 and "--transport fabric" in refused.stdout + refused.stderr
    done = sshjobs_cli(*arguments, "--transport", "fabric", env=nowhere)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results" / "jobs-2" / "jobs" / "job" / "stdout").read_text() == "over fabric\n"
