"""A host whose owner wants it, for all accounts on it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import SshjobsCli
from tests.lab import HostOptions, Lab, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")]


def test_who_may_write_to_the_hosts_own_directory_keeps_everybody_off_it(
        fresh_lab: Callable[..., Lab], sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    lab = fresh_lab(options=HostOptions(others=("anna",)))
    host = lab.hosts[0]
    host.run(["mkdir", "/etc/sshjobs"]).check_returncode()
    host.run(["chown", "anna", "/etc/sshjobs"]).check_returncode()
    host.run(["touch", "/etc/sshjobs/away"], user="anna").check_returncode()
    (tmp_path / "jobs.yaml").write_text("jobs: [{name: j, argv: ['true']}]\n")
    assert sshjobs_cli("run", "jobs.yaml", "--ssh-config", lab.ssh_config, "--hosts", "node01", "--detach").returncode == 0
    wait_until(lambda: "/etc/sshjobs/away" in sshjobs_cli("status").stdout, 30, "the word why the host is closed")
    assert " 1 free" in sshjobs_cli("status").stdout
    host.run(["rm", "/etc/sshjobs/away"], user="anna").check_returncode()
    assert sshjobs_cli("attach", "jobs-1").returncode == 0
