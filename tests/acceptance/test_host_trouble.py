"""Hosts that cannot be used: each named with its cause and its fix, while the run ends on the others."""

from __future__ import annotations

import json

import pytest

from tests.lab import HostOptions


def test_a_list_of_bad_hosts_finishes_on_the_good_one_and_names_each_reason(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=4)
    good, unknown_key, changed_key, no_python = lab.hosts
    changed_key.new_host_key()
    no_python.break_python()
    known = [line for line in lab.known_hosts.read_text().splitlines() if unknown_key.address not in line
             and unknown_key.name not in line]
    lab.known_hosts.write_text("\n".join(known) + "\n")
    config = tmp_path / "ssh_config"
    config.write_text(f"Host refused\n  HostName {good.address}\n  Port 9\n{lab.ssh_config.read_text()}")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, repeat: 20, commands: sleep 0.3}]")
    names = ["no-such-name.invalid", "refused", *(host.name for host in lab.hosts)]
    (tmp_path / "hosts.txt").write_text("".join(f"{name}\n" for name in names))
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--ssh-config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout + done.stderr
    for host, reason, fix in (
        ("no-such-name.invalid", "cannot be resolved", "correct the name"),
        ("refused", "refused", "sshd"),
        (unknown_key.name, "host key is not known", f"ssh {unknown_key.name}"),
        (changed_key.name, "host key has changed", "ssh-keygen -R"),
        (no_python.name, "no python", "install Python 3.6"),
    ):
        lines = [line for line in said.splitlines() if host in line and reason in line and fix in line]
        assert lines, f"no line about {host} with {reason!r} and {fix!r} in:\n{said}"
    jobs = json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]
    assert {job["host"] for job in jobs} == {good.name}


def test_no_usable_host_at_all_is_an_error_at_once(lab, sshjobs_cli, tmp_path):
    config = tmp_path / "ssh_config"
    config.write_text(f"Host refused\n  HostName {lab.hosts[0].address}\n  Port 9\n{lab.ssh_config.read_text()}")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: echo ok}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "refused,no-such-name.invalid", "--ssh-config", config)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "sshjobs resume jobs-1" in done.stderr


def test_a_job_bound_to_a_dead_host_is_skipped_with_its_reason_and_the_rest_runs(lab, sshjobs_cli, tmp_path):
    good = lab.hosts[0].name
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: everywhere, per_host: true, commands: echo ok}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", f"{good},no-such-name.invalid", "--ssh-config", lab.ssh_config)
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = {job["name"]: job["outcome"] for job in json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]}
    assert outcomes == {f"everywhere@{good}": "succeeded", "everywhere@no-such-name.invalid": "skipped"}


def test_one_machine_under_two_names_is_said(lab, sshjobs_cli, tmp_path):
    host = lab.hosts[0]
    config = tmp_path / "ssh_config"
    config.write_text(f"Host twin\n  HostName {host.address}\n  HostKeyAlias {host.name}\n{lab.ssh_config.read_text()}")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, repeat: 4, commands: sleep 0.2}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", f"{host.name},twin", "--ssh-config", config)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in (done.stdout + done.stderr).splitlines()
            if host.name in line and "twin" in line and "same machine" in line]


@pytest.mark.parametrize("lines", ["-oProxyCommand=touch${IFS}pwned", "a;touch pwned", "$(touch pwned)", "h host`id`"])
def test_a_hostile_host_name_is_refused_before_any_process_starts(sshjobs_cli, tmp_path, lines):
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, commands: echo ok}]")
    (tmp_path / "hosts.txt").write_text(lines + "\n")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt")
    assert done.returncode == 2
    assert done.stderr.startswith("hosts.txt:1:")
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "results").exists()


def test_a_host_with_an_old_python_is_named(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=2)
    lab.hosts[1].replace_program("python3", "#!/bin/sh\necho 'Unknown option: -I' >&2\nexit 2\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: job, per_host: true, commands: echo ok}]")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", ",".join(lab.names), "--ssh-config", lab.ssh_config)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "python is too old" in done.stdout + done.stderr


def test_the_options_of_a_host_reach_it(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=1, options=HostOptions())
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: job, repeat: 6, hosts: [big], commands: 'echo $SSHJOBS_HOST $SSHJOBS_SLOT; sleep 0.3'}]")
    name = lab.hosts[0].name
    (tmp_path / "hosts.txt").write_text(f"# the lab\n\n{name} slots=3 big\n")
    done = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--ssh-config", lab.ssh_config)
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = {path.read_text() for path in tmp_path.glob("results/jobs-1/jobs/*/stdout")}
    assert outputs == {f"{name} {slot}\n" for slot in (1, 2, 3)}
