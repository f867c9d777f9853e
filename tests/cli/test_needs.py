"""What jobs need, from the jobfile to the hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK, EXIT_USAGE
from tests.cli.test_run import events
from tests.conftest import SshjobsCli

HOSTS = "one slots=2 memory=8G count.license=1\ntwo slots=4 memory=4G\n"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "hosts.txt").write_text(HOSTS)
    return tmp_path


def test_a_dry_run_and_a_plan_say_on_which_hosts_each_job_can_run(sshjobs_cli: SshjobsCli, files: Path) -> None:
    (files / "jobs.yaml").write_text(
        "jobs: [{name: any, argv: [x]}, {name: wide, cpus: 3, argv: [x]}, {name: deep, memory: 6G, argv: [x]},"
        " {name: legal, needs: {license: 1}, argv: [x]}]\n")
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--dry-run")
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    assert told.stdout.splitlines()[:4] == ["any on any of 2 hosts: x", "wide on two: x", "deep on one: x", "legal on one: x"]
    plan = sshjobs_cli("plan", "jobs.yaml", "--hosts", "hosts.txt", "--json")
    assert [event["hosts"] for event in events(plan.stdout) if event["event"] == "planned"] == [
        ["one", "two"], ["two"], ["one"], ["one"]]


@pytest.mark.parametrize("words", [["run", "--dry-run"], ["plan"], ["run"], ["run", "--detach"]], ids=" ".join)
@pytest.mark.parametrize(("keys", "said"), [
    ("cpus: 5", "cpus: 5): two, the nearest, has 4 slots"),
    ("memory: 100T", "memory: 100T): one, the nearest, has 8G of memory"),
    ("needs: {seat: 1}", "seat: 1): one, the nearest, has no seat"),
    ("needs: {license: 2}", "license: 2): one, the nearest, has 1 of license"),
    ("hosts: [two], needs: {license: 1}", "license: 1): two, the nearest, has no license"),
    ("cpus: 4096, memory: 1024T", "cpus: 4096, memory: 1024T): one, the nearest, has 2 slots and 8G of memory"),
])
def test_what_no_host_can_have_is_refused_before_anything_starts(sshjobs_cli: SshjobsCli, files: Path, words: list[str],
                                                                keys: str, said: str) -> None:
    (files / "jobs.yaml").write_text(f"jobs: [{{name: fine, argv: [x]}}, {{name: large, {keys}, argv: [x]}}]\n")
    told = sshjobs_cli(*words, "jobs.yaml", "--hosts", "hosts.txt")
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    assert told.stderr == (f"sshjobs: large: no host has what it needs ({said}; "
                           "lower its needs, or name a host that has more\n")
    assert not list((files / "results").glob("*")) if (files / "results").exists() else True


def test_slots_of_the_command_line_count_where_a_host_says_nothing(sshjobs_cli: SshjobsCli, files: Path) -> None:
    told = sshjobs_cli("run", "-", "--slots", "2", "--dry-run", input="jobs: [{name: x, cpus: 3, argv: [y]}]\n")
    assert told.returncode == EXIT_USAGE and "localhost, the nearest, has 2 slots" in told.stderr


def test_a_job_that_turns_out_to_fit_nowhere_is_skipped_and_the_others_run(sshjobs_cli: SshjobsCli, files: Path) -> None:
    jobs = {"jobs": [{"name": "fine", "argv": ["true"]}, {"name": "large", "memory": "1000T", "argv": ["true"]}]}
    told = sshjobs_cli("run", "-", "--json", input=json.dumps(jobs))
    assert told.returncode == EXIT_JOBS_FAILED
    ends = {event["job"]: event for event in events(told.stdout) if event.get("outcome")}
    assert ends["fine"]["outcome"] == "succeeded" and ends["large"]["outcome"] == "skipped"
    assert str(ends["large"]["reason"]).startswith("no host has what it needs (memory: 1000T): localhost, the nearest, has ")


def test_no_more_run_at_a_time_than_the_host_has(sshjobs_cli: SshjobsCli, files: Path) -> None:
    """Each job notes how many of its kind run: a counter and slots, each by the jobs' own ledger."""
    script = [f"mkdir {files}/$SSHJOBS_JOB; set -- {files}/legal*; echo $#; sleep 0.05; rmdir {files}/$SSHJOBS_JOB"]
    jobs = {"jobs": [{"name": "legal", "repeat": 12, "needs": {"license": 2}, "commands": script},
                     {"name": "small", "repeat": 12, "commands": "true"}]}
    told = sshjobs_cli("run", "-", "--hosts", "localhost slots=4 count.license=4", "--name", "r", input=json.dumps(jobs))
    assert told.returncode == EXIT_OK
    seen = [int((files / f"results/r/jobs/legal-{number}/stdout").read_text()) for number in range(1, 13)]
    assert max(seen) <= 2
