"""``sshjobs hosts check``: what each host has, or why it cannot be used and what to do."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from sshjobs.cli import checkup
from sshjobs.cli.checkup import Finding
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_NO_HOST, EXIT_OK, EXIT_USAGE, HostError
from sshjobs.model.host import Host
from sshjobs.network import HostDown, HostUp, News, Warned
from tests.conftest import SshjobsCli

FACTS = {"clock": 0.0, "cores": 8, "memory": 64 << 30, "gpus": ["A100", "A100"], "disk": 300 << 30, "python": "3.9.2",
         "machine": "m1", "boot": "b1", "hostname": "n"}


def test_this_machine_can_be_used_and_nothing_stays(sshjobs_cli: SshjobsCli, tmp_path: Path, clean_home: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    told = sshjobs_cli("hosts", "check", "--hosts", "localhost", env={"TMPDIR": str(scratch)})
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    assert re.fullmatch(r"localhost  ok  \d+ cores?, .*Python 3\.\S+, \S+ .iB free, clock right\n"
                        r"1 of 1 can be used\n", told.stdout), told.stdout
    assert list(scratch.iterdir()) == []
    assert [path for path in clean_home.rglob("*") if path.is_file()] == []


def test_each_trouble_has_its_name_and_fix_and_the_rest_is_still_asked(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("hosts", "check", "--hosts", "nosuch.invalid", "--hosts", "localhost,127.0.0.1:1",
                       "--ssh-config", "/dev/null", "--json")
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert told.returncode == EXIT_JOBS_FAILED
    assert [(host["host"], host["usable"], host["kind"]) for host in found] == [
        ("nosuch.invalid", False, "unresolvable"), ("localhost", True, None), ("127.0.0.1:1", False, "refused")]
    assert found[1]["cores"] == len(os.sched_getaffinity(0)) or found[1]["cores"] == os.cpu_count()
    assert "correct the name" in found[0]["reason"]


def test_when_none_can_be_used_the_exit_code_says_so(sshjobs_cli: SshjobsCli) -> None:
    told = sshjobs_cli("hosts", "check", "--hosts", "nosuch.invalid", "--ssh-config", "/dev/null")
    assert told.returncode == EXIT_NO_HOST
    assert told.stdout.startswith("nosuch.invalid  NO  the name cannot be resolved: ")
    assert told.stdout.endswith("\n0 of 1 can be used\n")


def test_bad_hosts_are_bad_usage(sshjobs_cli: SshjobsCli) -> None:
    assert sshjobs_cli("hosts", "check").returncode == EXIT_USAGE
    assert sshjobs_cli("hosts", "check", "--hosts", "h;reboot").returncode == EXIT_USAGE


class StagedNetwork:
    """A network on which events come as they were written down, one batch per look."""

    script: list[News] = []

    def __init__(self, results_dir: str, hosts: list[Host], **more: object):
        self.hosts = {host.name: host for host in hosts}
        self.batches = list(self.script)

    def open(self, run: object, paths: object) -> None:
        """Nothing to contact."""

    def wait(self, timeout: float) -> News:
        return self.batches.pop(0) if self.batches else News()

    def close(self, *, finished: bool) -> list[str]:
        assert finished
        return []


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> type[StagedNetwork]:
    """Let ``examine`` meet a staged network."""
    monkeypatch.setattr(checkup, "Network", StagedNetwork)
    monkeypatch.setattr(checkup, "PATIENCE", 0.05)
    return StagedNetwork


def _up(host: str, **facts: object) -> HostUp:
    return HostUp(host, {**FACTS, "clock": time.time(), **facts})


def test_clock_disk_and_doubled_machines_are_said(staged: type[StagedNetwork]) -> None:
    staged.script = [News(hosts=[_up("a"), _up("b", clock=time.time() + 3600, disk=5 << 20)])]
    first, second = checkup.examine([Host("a", slots=4), Host("b")])
    assert first.text() == ("8 cores, 64.0 GiB, 2 GPUs, Python 3.9.2, 4 slots (A100, A100), 300 GiB free, clock right")
    assert second.skew == pytest.approx(3600, abs=5)
    assert second.notes == ["set its clock (NTP)", "little disk is left", "the same machine as a: name it once"]
    assert re.search(r"clock (1 h 0|59) min( \d+ s)? ahead; set its clock", second.text())


def test_a_silent_host_does_not_hold_up_the_others(staged: type[StagedNetwork]) -> None:
    staged.script = [News(hosts=[_up("b")]), News(hosts=[Warned("b", "its home is full")])]
    silent, loud = checkup.examine([Host("a"), Host("b")])
    assert not silent.usable
    assert "no answer in time" in silent.text()
    assert "try: ssh a" in silent.text()
    assert loud.notes == ["its home is full"]


def test_a_busy_sshd_is_given_time(staged: type[StagedNetwork]) -> None:
    busy = HostDown("a", HostError("throttled", "a", "sshd closed the connection at once"))
    staged.script = [News(hosts=[busy]), News(hosts=[_up("a")])]
    assert [finding.usable for finding in checkup.examine([Host("a")])] == [True]


def test_text_of_hosts_cannot_reach_the_terminal() -> None:
    from sshjobs.cli.hosts import _line

    assert "\x1b" not in _line(Finding("a", {**FACTS, "gpus": ["\x1b[31m"]}), 1)
