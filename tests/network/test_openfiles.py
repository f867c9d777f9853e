"""Many hosts and few open files: the limit is raised where that may be, and what cannot be is said before anything starts."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_OK, EXIT_USAGE, LocalError
from sshjobs.model.host import Host
from sshjobs.network.transport import make_transport
from tests.conftest import cli_environment, sshjobs_argv
from tests.hints import tries

HOSTS = [f"h{number}" for number in range(30)]


def run_with(limits: tuple[int, int], where: Path, hosts: Sequence[str] = HOSTS) -> subprocess.CompletedProcess[str]:
    """Have each host say how many files a job there may open, by a manager with such limits, soft and hard."""
    jobs = {"jobs": [{"name": "say", "per_host": True, "commands": "ulimit -Sn"}]}
    return subprocess.run(
        ["prlimit", f"--nofile={limits[0]}:{limits[1]}",
         *sshjobs_argv(["run", "-", "--transport", "local", "--hosts", ",".join(hosts), "--name", "r"])],
        cwd=where, env={**os.environ, **cli_environment()}, input=json.dumps(jobs), capture_output=True, text=True,
        timeout=120, check=False)


def test_a_soft_limit_that_is_too_low_for_the_hosts_is_raised_for_the_manager_and_for_no_job(
        clean_home: Path, tmp_path: Path) -> None:
    told = run_with((64, 1024), tmp_path)
    assert told.returncode == EXIT_OK, told.stdout + told.stderr
    assert "no-files" not in told.stdout
    assert [(tmp_path / f"results/r/jobs/say@{host}/stdout").read_text() for host in HOSTS] == ["64\n"] * 30


@tries("raise the hard limit (ulimit -Hn; LimitNOFILE= of a service), or name fewer hosts")
def test_a_hard_limit_that_is_too_low_for_the_hosts_is_one_line_before_anything_starts(
        clean_home: Path, tmp_path: Path) -> None:
    told = run_with((64, 150), tmp_path)
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    assert told.stderr == ("sshjobs: 30 hosts take 154 open files, and this process may have 150; raise the hard limit "
                           "(ulimit -Hn; LimitNOFILE= of a service), or name fewer hosts\n")
    assert not (tmp_path / "results").exists()
    # What it advises works.
    for name, limit, hosts in (("raised", 300, HOSTS), ("fewer", 150, HOSTS[:20])):
        (tmp_path / name).mkdir()
        assert run_with((64, limit), tmp_path / name, hosts).returncode == EXIT_OK


@pytest.mark.parametrize("transport", ["openssh", "local"])
@tries("see the limits of this user (ulimit -n -u) and the memory")
def test_no_host_is_blamed_where_this_machine_has_no_file_left_for_it(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(*args: object, **more: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async def connect() -> None:
        await (await make_transport(transport, ssh_config="/dev/null").open(Host("127.0.0.1", port=1))).close()

    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", too_many)
        with pytest.raises(LocalError, match="no further process can be started on this machine: Too many open files; see the "
                                             r"limits of this user \(ulimit -n -u\) and the memory") as caught:
            asyncio.run(connect())
    assert caught.value.passing
    told = subprocess.run(["bash", "-c", "ulimit -n -u"], capture_output=True, text=True, check=True)
    assert "open files" in told.stdout and "processes" in told.stdout
    asyncio.run(connect())
