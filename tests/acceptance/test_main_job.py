"""The main job, over real sshd: every job's state, outcome, status and bytes."""

from __future__ import annotations

import json

from tests.acceptance.mixed import differences, mixed_jobs


def test_two_hundred_mixed_jobs_on_four_hosts_end_as_they_must(lab, sshjobs_cli, tmp_path):
    mixed = mixed_jobs(tmp_path, 200)
    jobfile = mixed.write(tmp_path / "mixed.yaml")
    hosts = tmp_path / "hosts.txt"
    hosts.write_text("".join(f"{host.name} slots=4\n" for host in lab.hosts))
    done = sshjobs_cli("run", jobfile, "--hosts", hosts, "--ssh-config", lab.ssh_config, cwd=tmp_path, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    status = json.loads(sshjobs_cli("status", "--json", cwd=tmp_path).stdout)
    assert differences(mixed, tmp_path / "results" / "mixed-1", status) == []
    assert status["state"] == "failed"
    assert sum(status["counts"].values()) == 200
    assert {job["host"] for job in status["jobs"]} == {host.name for host in lab.hosts}
    for host in lab.hosts:
        left = [path for path in host.home.glob(".sshjobs/*/*/*") if path.parts[-3] != "cache"]
        assert not left, f"something of ours is left on {host.name}"


def test_this_machine_is_the_host_when_none_is_named(sshjobs_cli, tmp_path):
    mixed = mixed_jobs(tmp_path, 40)
    jobfile = mixed.write(tmp_path / "mixed.yaml")
    done = sshjobs_cli("run", jobfile, "--slots", "4", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    status = json.loads(sshjobs_cli("status", "--json", cwd=tmp_path).stdout)
    assert differences(mixed, tmp_path / "results" / "mixed-1", status) == []
