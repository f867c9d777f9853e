"""Workers behind their management host, over every transport that uses ssh."""

from __future__ import annotations

import json

import pytest

from sshjobs.network import HostDown
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.network.meeting import SSH, kinds, meet


@pytest.fixture(params=SSH)
def transport(request) -> str:
    return request.param


def logins_from(host, other) -> int:
    return sum(1 for line in host.sshd_log.read_text().splitlines()
               if "Accepted publickey" in line and f"from {other.address} port" in line)


def test_workers_are_reached_through_their_management_host_or_directly(lab, transport):
    manager, worker = lab.hosts[:2]
    before = logins_from(worker, manager)
    options = {"transport": transport, "ssh_config": str(lab.ssh_config)}
    assert kinds(meet({manager.name: [worker.name]}, **options)) == {worker.name: "up"}
    assert logins_from(worker, manager) == before + 1
    assert kinds(meet({manager.name: [worker.name]}, direct=True, **options)) == {worker.name: "up"}
    assert logins_from(worker, manager) == before + 1


def test_user_and_port_of_the_management_host_count(lab, transport):
    manager, worker = lab.hosts[:2]
    options = {"transport": transport, "ssh_config": str(lab.ssh_config)}
    for name, kind in ((f"{manager.user}@{manager.name}:22", "up"), (f"nobody-knows@{manager.name}", "auth"),
                       (f"{manager.name}:1009", "refused")):
        assert kinds(meet({name: [worker.name]}, **options)) == {worker.name: kind}


def test_a_worker_that_its_management_host_cannot_reach_is_named(lab, transport, tmp_path):
    manager, worker = lab.hosts[:2]
    config = lab.write_ssh_config(tmp_path / "config", {worker.name: {"Port": "9"}})
    (answer,) = meet({manager.name: [worker.name]}, transport=transport, ssh_config=str(config)).values()
    assert isinstance(answer, HostDown)
    assert (answer.error.kind, answer.error.lasting) == ("jump", False)


def test_a_path_with_spaces_and_percents_reaches_the_ssh_to_the_management_host(lab, transport, tmp_path):
    manager, worker = lab.hosts[:2]
    directory = tmp_path / "it's 100%h of $HOME"
    directory.mkdir()
    config = lab.write_ssh_config(directory / "config")
    assert kinds(meet({manager.name: [worker.name]}, transport=transport, ssh_config=str(config))) == {
        worker.name: "up"}


def test_a_hint_names_the_way_to_the_worker(lab, transport, tmp_path):
    manager, worker = lab.hosts[:2]
    known = tmp_path / "known"
    known.write_text("".join(line + "\n" for line in lab.known_hosts.read_text().splitlines()
                             if not line.startswith(f"{worker.name},")))
    config = lab.write_ssh_config(tmp_path / "config", extra=f"Host *\n    UserKnownHostsFile {known}\n")
    (answer,) = meet({manager.name: [worker.name]}, transport=transport, ssh_config=str(config)).values()
    assert isinstance(answer, HostDown) and answer.error.kind == "host-key-unknown"
    assert f"ssh -J {manager.name} {worker.name}" in str(answer.error)


# -- on the command line ---------------------------------------------------------------------------------------------


def test_cluster_files_are_taken_by_run_and_hosts_check(lab, sshjobs_cli, tmp_path):
    first, one, second, two = lab.hosts
    (tmp_path / "a.cluster").write_text(f"# the old rack\n{first.name}\n\n{one.name} slots=1 big  # ours\n")
    (tmp_path / "b.cluster").write_text(f"{second.name}\n{two.name} slots=1\n")
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: job, per_host: true, commands: ':'}, {name: big, hosts: [big], commands: ':'}]")
    arguments = ("--clusters", "a.cluster,b.cluster", "--ssh-config", lab.ssh_config)
    done = sshjobs_cli("hosts", "check", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("2 of 2 can be used\n")
    before = logins_from(one, first), logins_from(two, second)
    done = sshjobs_cli("run", "jobs.yaml", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]
    assert {job["name"]: job["host"] for job in jobs} == {
        f"job@{one.name}": one.name, f"job@{two.name}": two.name, "big": one.name}
    assert (logins_from(one, first), logins_from(two, second)) == (before[0] + 1, before[1] + 1)
    with RunReader.open(RunPaths(tmp_path / "results", "jobs-1")) as reader:
        # By which a resume finds the way.
        assert {row.host.name: row.host.via for row in reader.hosts()} == {one.name: first.name, two.name: second.name}
    done = sshjobs_cli("run", "jobs.yaml", *arguments, "--direct")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (logins_from(one, first), logins_from(two, second)) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(("arguments", "said"), [
    (("--direct",), "--direct is about --clusters"),
    (("--clusters", "absent"), "absent"),
    (("--clusters", "c", "--hosts", "w"), "host 'w' is named by two --hosts or --clusters"),
    (("--clusters", "c,c"), "host 'w' is named twice"),
    (("--clusters", "empty,bad"), "bad:2:1: '-w'"),
])
def test_mistakes_about_clusters_are_said_before_anything_starts(sshjobs_cli, tmp_path, arguments, said):
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: ':'}]")
    (tmp_path / "c").write_text("m\nw\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "bad").write_text("m\n-w\n")
    done = sshjobs_cli("run", "jobs.yaml", *arguments)
    assert done.returncode == 2
    assert said in done.stderr, done.stderr
    assert not (tmp_path / "results").exists()
