"""Any login shell, and whatever its start-up files do; accounts that let nobody in are named."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from sshjobs.network import HostDown
from tests.acceptance.mixed import differences, mixed_jobs
from tests.acceptance.shells import SHELLS, shell_hosts
from tests.lab import Lab
from tests.network.meeting import SSH, kinds, meet

#: What each shell reads before it runs the command of an ssh connection.
START_UP = {"bash": ".bashrc", "zsh": ".zshenv", "csh": ".cshrc", "tcsh": ".cshrc", "fish": ".config/fish/config.fish"}


@pytest.fixture(scope="module")
def shells() -> Iterator[Lab]:
    """Six hosts, whose users have a login shell each."""
    with shell_hosts() as made:
        yield made


@pytest.fixture(params=SSH)
def transport(request) -> str:
    return request.param


@pytest.mark.parametrize("shell", SHELLS)
def test_two_hundred_mixed_jobs_end_as_they_must_under_every_login_shell(shells, shell, sshjobs_cli, tmp_path):
    host = shells.hosts[SHELLS.index(shell)]
    itself = "$fish_pid" if shell == "fish" else "$$"
    assert host.ssh(f"ps -o comm= -p {itself}; true").stdout.strip() == shell
    mixed = mixed_jobs(tmp_path, 200)
    jobfile = mixed.write(tmp_path / "mixed.yaml")
    done = sshjobs_cli("run", jobfile, "--hosts", host.name, "--ssh-config", shells.ssh_config, "--slots", "4")
    assert done.returncode == 1, done.stdout + done.stderr
    status = json.loads(sshjobs_cli("status", "--json").stdout)
    assert differences(mixed, tmp_path / "results" / "mixed-1", status) == []


def test_noise_of_start_up_files_is_passed_over_under_every_shell(shells, transport):
    noise = "echo 'Welcome to the machine! SSHJOBS-READY'\n" * 50
    for host, shell in zip(shells.hosts, SHELLS, strict=True):
        path = host.home / START_UP.get(shell, ".profile")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(noise)
    try:
        answers = meet(shells.names, transport=transport, ssh_config=str(shells.ssh_config))
        assert set(kinds(answers).values()) == {"up"}
    finally:
        for host, shell in zip(shells.hosts, SHELLS, strict=True):
            (host.home / START_UP.get(shell, ".profile")).unlink()


@pytest.mark.parametrize("bashrc", [
    "head -c 1000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero | tr '\\0' y >&2",
    "sleep 2",
    "printf 'no newline at the end'",
    "cat >/dev/null <<<'it reads, but not from us'",
], ids=["a megabyte on both streams", "slow", "no newline", "reading"])
def test_whatever_a_bashrc_does_a_job_runs_and_its_output_is_clean(shells, transport, bashrc, tmp_path, sshjobs_cli):
    host = shells.hosts[0]
    (host.home / ".bashrc").write_text(bashrc + "\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: ['echo clean', 'echo fine >&2']}]")
    try:
        done = sshjobs_cli("run", "jobs.yaml", "--hosts", host.name, "--ssh-config", shells.ssh_config,
                           "--transport", transport)
    finally:
        (host.home / ".bashrc").unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    directory = tmp_path / "results" / "jobs-1" / "jobs" / "job"
    assert ((directory / "stdout").read_text(), (directory / "stderr").read_text()) == ("clean\n", "fine\n")


@pytest.mark.parametrize("hush", [False, True], ids=["login messages", "hushlogin"])
def test_a_banner_and_a_message_of_the_day_are_passed_over(shells, transport, hush):
    host = shells.hosts[1]
    (host.base / "ssh" / "banner").write_text("Authorized users only!\n" * 200)
    (host.base / "etc" / "motd").write_text("m" * 1_000_000)
    if hush:
        (host.home / ".hushlogin").touch()
    host.restart_sshd(Banner="/etc/ssh/banner", PrintMotd="yes")
    try:
        assert kinds(meet([host.name], transport=transport, ssh_config=str(shells.ssh_config))) == {host.name: "up"}
    finally:
        (host.home / ".hushlogin").unlink(missing_ok=True)
        host.restart_sshd()


def test_a_forced_command_is_named(shells, transport):
    host = shells.hosts[2]
    host.restart_sshd(ForceCommand="echo only backups here")
    try:
        (answer,) = meet([host.name], transport=transport, ssh_config=str(shells.ssh_config)).values()
    finally:
        host.restart_sshd()
    assert isinstance(answer, HostDown) and answer.error.lasting
    assert "forced command" in str(answer.error) and "only backups here" in str(answer.error)


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/false"])
def test_an_account_without_a_login_shell_is_named(shells, transport, shell):
    host = shells.hosts[3]
    host.set_shell(shell)
    try:
        (answer,) = meet([host.name], transport=transport, ssh_config=str(shells.ssh_config)).values()
    finally:
        host.set_shell(host.options.shell)
    assert isinstance(answer, HostDown) and answer.error.lasting
    assert answer.error.kind == ("nologin" if "nologin" in shell else "no-agent")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_missing_python_is_named_under_every_shell(shells, transport, shell):
    host = shells.hosts[SHELLS.index(shell)]
    host.break_python()
    try:
        (answer,) = meet([host.name], transport=transport, ssh_config=str(shells.ssh_config)).values()
    finally:
        host.restore_programs()
    assert isinstance(answer, HostDown)
    assert (answer.error.kind, answer.error.lasting) == ("no-python", True), str(answer.error)
