"""Others on the same machine: what they make cannot lock a user out of a host, and what they could write is not
trusted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sshjobs.network import HostDown
from tests.conftest import cli_environment, sshjobs_argv
from tests.hints import tries
from tests.lab.files import USER_ID
from tests.lab.waiting import wait_until
from tests.network.meeting import kinds, meet

SQUATTED = [f"{parent}/sshjobs-{USER_ID}" for parent in ("/tmp", "/dev/shm")]


@pytest.mark.parametrize("plant", ["touch", "ln -s /nowhere", "ln -s /home"])
def test_neither_can_a_file_or_a_link(fresh_lab, sshjobs_cli, tmp_path, plant):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    for path in SQUATTED:
        assert host.run([*plant.split(), path]).returncode == 0
    said = run_one(lab, host, sshjobs_cli, tmp_path)
    assert "/home/lab/.sshjobs/doors" in said and f"{SQUATTED[0]} is not a directory" in said
    assert not (host.home / ".sshjobs").exists()


@pytest.fixture
def squatted(fresh_lab):
    """A host on which somebody else was first wherever everybody may make files."""
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    assert host.run(["mkdir", "-m", "777", *SQUATTED, f"/var/tmp/sshjobs-{USER_ID}"]).returncode == 0
    return lab, host


def run_one(lab, host, sshjobs_cli, tmp_path: Path, *more: str) -> str:
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: 'echo done'}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", host.name, "--ssh-config", lab.ssh_config, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_nobody_can_lock_a_user_out_of_a_host(squatted, sshjobs_cli, tmp_path):
    lab, host = squatted
    said = run_one(lab, host, sshjobs_cli, tmp_path)
    assert "/home/lab/.sshjobs/doors" in said and f"{SQUATTED[0]} belongs to user 0" in said
    assert (tmp_path / "results" / "jobs-1" / "jobs" / "job" / "stdout").read_text() == "done\n"
    assert not (host.home / ".sshjobs").exists()
    assert sshjobs_cli("verify", "jobs-1").returncode == 0
    assert sshjobs_cli("gc").returncode == 0
    assert not (host.home / ".sshjobs").exists()
    assert host.run(["find", *SQUATTED, "-mindepth", "1"]).stdout == ""


def test_a_home_with_a_long_path_has_a_door_too(squatted, sshjobs_cli, tmp_path):
    lab, host = squatted
    long = "/home/lab/" + "x" * 150
    assert host.run(["mkdir", long], user=host.user).returncode == 0
    passwd = host.path("/etc/passwd")
    passwd.write_text(passwd.read_text().replace("/home/lab:", f"{long}:"))
    assert long in run_one(lab, host, sshjobs_cli, tmp_path)


def test_an_agent_behind_another_door_is_found(fresh_lab, tmp_path, sshjobs_cli):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: ['echo $PPID >> ~/agents', "
                                        "'until [ -e ~/go ]; do sleep 0.1; done']}]")
    assert host.run(["mkdir", *SQUATTED]).returncode == 0
    manager = subprocess.Popen(
        sshjobs_argv(["run", "jobs.yaml", "--hosts", host.name, "--ssh-config", lab.ssh_config]), cwd=tmp_path,
        env={**os.environ, **cli_environment()}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (host.home / "agents").exists(), 30, "the job")
    finally:
        manager.kill()
        manager.wait()
    assert host.run(["rmdir", *SQUATTED]).returncode == 0
    (host.home / "go").touch()
    again = sshjobs_cli("resume")
    assert again.returncode == 0, again.stdout + again.stderr
    assert len((host.home / "agents").read_text().split()) == 1
    assert not (host.home / ".sshjobs").exists()


@tries("see whether all in it is yours, then there: chmod go-w {}")
def test_what_others_could_write_is_not_gone_on_with(fresh_lab, tmp_path):
    lab = fresh_lab(hosts=1)
    (host,) = lab.hosts
    (host.home / ".sshjobs").mkdir(mode=0o777)
    (host.home / ".sshjobs").chmod(0o777)
    host.run(["chown", "lab:lab", "/home/lab/.sshjobs"])
    told: list[str] = []
    assert kinds(meet([host.name], ssh_config=str(lab.ssh_config), told=told)) == {host.name: "up"}
    # The home is not used, and that is said, with what mends it.
    assert any("others may write to /home/lab/.sshjobs" in text and "chmod go-w" in text for text in told), told
    assert (host.home / ".sshjobs").stat().st_mode & 0o777 == 0o777
    assert list((host.home / ".sshjobs").iterdir()) == []
    (host.home / ".sshjobs").chmod(0o755)
    told.clear()
    assert kinds(meet([host.name], ssh_config=str(lab.ssh_config), told=told)) == {host.name: "up"}
    assert told == []


def test_where_there_is_no_place_at_all_that_is_said_by_name(squatted):
    lab, host = squatted
    host.run(["chown", "0:0", "/home/lab"])
    (answer,) = meet([host.name], ssh_config=str(lab.ssh_config)).values()
    assert isinstance(answer, HostDown)
    assert answer.error.kind == "not-ours" and "belongs to user 0" in str(answer.error)
