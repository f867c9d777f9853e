"""Runs ``r`` of jobs ``nap-1``, … on two slots of each host, and what becomes of them when their manager dies."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import SshjobsCli, cli_environment, sshjobs_argv
from tests.lab import BaseLab, wait_until

#: A job that ends when somebody has said so on its host.
UNTIL_GO = "until test -e ~/go; do sleep 0.1; done"


def start(lab: BaseLab, directory: Path, commands: str, *, repeat: int = 4,
          hosts: str | None = None, **keys: Any) -> subprocess.Popen[bytes]:
    """Begin a run on the first two hosts, or on ``hosts``; what its manager says goes to ``out.txt``.

    :param keys: what else the jobfile says of the job
    """
    job = {"name": "nap", "repeat": repeat, "commands": commands, **keys}
    (directory / "nap.yaml").write_text(json.dumps({"jobs": [job]}))
    with (directory / "out.txt").open("w") as output:
        return subprocess.Popen(
            sshjobs_argv(["run", "nap.yaml", "--hosts", hosts or ",".join(lab.names[:2]), "--slots", "2", "--name", "r",
                          "--ssh-config", lab.ssh_config]),
            cwd=directory, env={**os.environ, **cli_environment()}, stdout=output, stderr=subprocess.STDOUT)


def count(sshjobs_cli: SshjobsCli, state: str) -> int:
    """How many of the run's jobs are in a state; none before there is a run."""
    text = sshjobs_cli("status", "r", "--json").stdout
    return json.loads(text)["counts"][state] if text else 0


def wait_for_naps(sshjobs_cli: SshjobsCli) -> None:
    """Wait until four jobs run: there are no more slots."""
    wait_until(lambda: count(sshjobs_cli, "busy") == 4, 30, "all slots to be in use")


def abandon(lab: BaseLab, sshjobs_cli: SshjobsCli, directory: Path, commands: str) -> None:
    """Have a run whose manager was killed while its four jobs ran."""
    manager = start(lab, directory, commands)
    try:
        wait_for_naps(sshjobs_cli)
    finally:
        manager.kill()
        manager.wait()


def let_them_end(lab: BaseLab) -> None:
    """Say it, on every host."""
    for host in lab.hosts:
        (host.home / "go").touch()
