"""A host on which everything fails at once is kept away from the jobs, and its failures are not theirs."""

from __future__ import annotations

import json


def test_a_sweep_ends_done_although_one_host_has_a_broken_bash(fresh_lab, sshjobs_cli, tmp_path):
    lab = fresh_lab(hosts=4)
    broken = lab.hosts[2]
    broken.set_shell("/bin/sh")
    broken.replace_program("bash", "#!/bin/sh\necho 'bash: cannot load libtinfo.so.6' >&2\nexit 127\n")
    (tmp_path / "sweep.yaml").write_text("jobs: [{name: sweep, repeat: 200, commands: 'sleep 0.05; echo ok'}]")
    done = sshjobs_cli("run", "sweep.yaml", "--hosts", ",".join(lab.names), "--ssh-config", lab.ssh_config)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if "quarantine" in line]
    assert said and all(broken.name in line and "exit 127" in line for line in said), done.stdout
    jobs = json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]
    assert {job["state"] for job in jobs} == {"done"}
    assert broken.name not in {job["host"] for job in jobs}
    assert any(attempt["host"] == broken.name for job in jobs for attempt in job["attempts"])


def test_jobs_that_fail_everywhere_put_no_host_in_quarantine(lab, sshjobs_cli, tmp_path):
    (tmp_path / "sweep.yaml").write_text("jobs: [{name: bad, repeat: 60, commands: exit 1}]")
    done = sshjobs_cli("run", "sweep.yaml", "--hosts", ",".join(lab.names), "--ssh-config", lab.ssh_config)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "quarantine" not in done.stdout
    jobs = json.loads(sshjobs_cli("status", "--json").stdout)["jobs"]
    assert {(job["outcome"], len(job["attempts"])) for job in jobs} == {("failed", 1)}
