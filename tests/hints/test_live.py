"""Hints about runs that are alive or that hosts keep from it: what they say to type is typed."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab import BaseLab
from tests.lab.waiting import wait_until


def command_in(text: str) -> list[str]:
    """Return the words behind ``sshjobs`` of the command that a message ends with."""
    found = re.search(r"sshjobs ([a-z][^;\n]*)$", text.strip())
    assert found, text
    return shlex.split(found[1])


@tries("mend one, then: sshjobs resume {}")
def test_a_run_without_a_usable_host_goes_on_when_one_is_mended(lab: BaseLab, sshjobs_cli: SshjobsCli,
                                                                tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host h\n  Hostname 127.0.0.1\n  Port 1\n")
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{"name": "x", "commands": "echo done"}]}))
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "h", "--ssh-config", config)
    assert told.returncode == 3
    host = lab.hosts[0]
    config.write_text(f"Include {lab.ssh_config}\n")
    text = Path(lab.ssh_config).read_text()
    # The alias is another name of a host that answers.
    config.write_text(re.sub(rf"(?m)^(\s*)Host {host.name}\b", rf"\1Host h {host.name}", text))
    told = sshjobs_cli(*command_in(told.stderr))
    assert told.returncode == 0, told.stderr


@tries("attach to it, or end it first", "first: sshjobs cancel {} --all", "drain or remove it, or cancel its jobs")
def test_a_run_that_is_managed_is_attached_to_or_ended(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [
        {"name": "x", "commands": f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"}]}))
    assert sshjobs_cli("run", "jobs.yaml", "-d", "--name", "r").returncode == 0
    try:
        wait_until(lambda: "busy" in sshjobs_cli("status", "r").stdout, 30, "the job to run")
        told = sshjobs_cli("resume", "r")
        assert told.returncode == 2 and "attach to it, or end it first" in told.stderr
        told = sshjobs_cli("hosts", "lost", "r", "localhost")
        assert told.returncode == 2 and told.stderr.endswith("drain or remove it, or cancel its jobs\n")
        assert sshjobs_cli("hosts", "drain", "r", "localhost").returncode == 0
        told = sshjobs_cli("rm", "r")
        assert told.returncode != 0
        assert sshjobs_cli(*command_in(told.stderr)).returncode == 0
        assert sshjobs_cli("rm", "r").returncode == 0
    finally:
        (tmp_path / "go").touch()


@tries("first: sshjobs resume {} --detach")
def test_a_host_is_declared_lost_to_a_manager(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(json.dumps({"jobs": [{"name": "x", "commands": "true"}]}))
    assert sshjobs_cli("run", "jobs.yaml", "--name", "r").returncode == 0
    told = sshjobs_cli("hosts", "lost", "r", "localhost")
    assert told.returncode == 2
    assert sshjobs_cli(*command_in(told.stderr)).returncode == 0
