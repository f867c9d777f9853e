"""``sshjobs run`` on this machine: what is printed, where output lands, and the exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_NO_HOST, EXIT_OK, EXIT_USAGE
from tests.conftest import SshjobsCli

MIXED = """
jobs:
  - {name: fine, commands: ["echo to stdout; echo warning >&2"]}
  - {name: bad, commands: ["echo 'ValueError: bad seed' >&2", exit 3]}
  - {name: again, retries: 1, commands: ["test $SSHJOBS_ATTEMPT = 2"]}
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A jobfile with a job that succeeds, one that fails, and one that is tried twice."""
    path = tmp_path / "mixed.yaml"
    path.write_text(MIXED)
    return path


def events(text: str) -> Iterator[dict[str, object]]:
    """Parse lines of JSON."""
    return (json.loads(line) for line in text.splitlines())


def test_a_pipe_gets_a_line_per_event_and_a_summary(sshjobs_cli: SshjobsCli, mixed: Path, tmp_path: Path) -> None:
    told = sshjobs_cli("run", "mixed.yaml")
    assert (told.returncode, told.stderr) == (EXIT_JOBS_FAILED, "")
    lines = told.stdout.splitlines()
    clock = r"\d\d:\d\d:\d\d"
    for pattern in (f"{clock} run    mixed-1: 3 jobs on this machine, in results/mixed-1",
                    f"{clock} up     localhost: .*Python 3.*",
                    f"{clock} launch fine on localhost",
                    rf"{clock} done   fine on localhost exit 0 in \d.*",
                    rf"{clock} error  bad on localhost exit 3 in \d.*",
                    f"{clock} retry  again on localhost: attempt 1 ended failed.*",
                    f"{clock} launch again on localhost, attempt 2",
                    rf"{clock} done   again on localhost exit 0 in \d.* \(attempt 2\)"):
        assert sum(bool(re.fullmatch(pattern, line)) for line in lines) == 1, (pattern, told.stdout)
    assert lines[-1].startswith("mixed-1 failed: 2 done, 1 error of 3 jobs")
    assert lines[-5:-1] == [
        "  bad on localhost: exit 3",
        "      ValueError: bad seed",
        "      results/mixed-1/jobs/bad/stderr",
        "outputs: results/mixed-1/jobs/<job>/stdout and stderr",
    ]
    assert (tmp_path / "results/mixed-1/jobs/fine/stdout").read_text() == "to stdout\n"
    assert (tmp_path / "results/mixed-1/jobs/fine/stderr").read_text() == "warning\n"


def test_quiet_tells_failures_and_the_summary_only(sshjobs_cli: SshjobsCli, mixed: Path) -> None:
    lines = sshjobs_cli("run", "mixed.yaml", "--quiet").stdout.splitlines()
    assert re.fullmatch(r"\S+ error  bad on localhost exit 3 in .*", lines[0])
    assert lines[-1].startswith("mixed-1 failed:")
    assert len(lines) == 6


def test_json_is_one_object_a_line_and_nothing_else(sshjobs_cli: SshjobsCli, mixed: Path) -> None:
    told = sshjobs_cli("run", "mixed.yaml", "--json", "--name", "named")
    found = list(events(told.stdout))
    assert (told.returncode, told.stderr) == (EXIT_JOBS_FAILED, "")
    assert (found[0]["event"], found[0]["run"]) == ("run", "named")
    last = found[-1]
    assert (last["event"], last["state"], last["exit_code"]) == ("end", "failed", EXIT_JOBS_FAILED)
    assert last["outcomes"] == {"succeeded": 2, "failed": 1}
    assert {event["job"]: event["exit_status"] for event in found if event["event"] in ("done", "error")} == {
        "fine": 0, "bad": 3, "again": 0}


def test_standard_input_can_be_the_jobfile(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("run", "-", "--results", "elsewhere", input="jobs: [{name: x, argv: [echo, hello]}]\n")
    assert told.returncode == EXIT_OK
    assert (tmp_path / "elsewhere/stdin-1/jobs/x/stdout").read_text() == "hello\n"
    assert (tmp_path / "elsewhere/stdin-1/jobfile.yaml").read_text().startswith("jobs: [")


def test_every_mistake_is_a_line_and_nothing_is_started(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("jobs:\n  - {name: a, comands: [x]}\n  - {name: b, argv: 3}\n")
    (tmp_path / "hosts.txt").write_text("good\n-oProxyCommand=x\n")
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt")
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    places = [line.partition(": ")[0] for line in told.stderr.splitlines()]
    assert [place.rpartition(":")[0] for place in places] == ["jobs.yaml:2", "jobs.yaml:3", "hosts.txt:2"]
    assert "commands" in told.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["--name", "../x"], "a run cannot be called '../x'"),
    (["--hosts", "a", "--hosts", "a"], "host 'a' is named by two --hosts"),
    (["--hosts", "nosuch.txt"], "nosuch.txt: there is no such hosts file"),
    (["--hosts", "h", "--ssh-config", "nosuch"], "nosuch: the ssh configuration cannot be read"),
    (["--transport", "pigeon"], "pigeon"),
    (["--slots", "0"], "0 is not in the range"),
])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["for real", "dry"])
def test_what_cannot_be_is_refused_before_anything_starts(sshjobs_cli: SshjobsCli, mixed: Path, tmp_path: Path,
                                                          dry: list[str], arguments: list[str],
                                                          complaint: str) -> None:
    told = sshjobs_cli("run", "mixed.yaml", *arguments, *dry)
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    assert complaint in told.stderr
    assert told.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_dry_run_names_jobs_and_hosts_and_leaves_nothing(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(
        "jobs: [{name: any, repeat: 2, argv: [x]}, {name: some, hosts: [gpu], argv: [x]},"
        " {name: each, per_host: true, hosts: ['b*'], argv: [x]}]\n")
    (tmp_path / "hosts.txt").write_text("b1 gpu\nb2\n[::1]:22 gpu\n")
    told = sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--dry-run")
    assert (told.returncode, told.stderr) == (EXIT_OK, "")
    assert told.stdout.splitlines() == [
        "any-1 on any of 3 hosts: x", "any-2 on any of 3 hosts: x", "some on b1, [::1]:22: x", "each@b1 on b1: x",
        "each@b2 on b2: x",
        "5 jobs on 3 hosts; nothing was started"]
    plan = list(events(sshjobs_cli("run", "jobs.yaml", "--hosts", "hosts.txt", "--dry-run", "--json").stdout))
    assert plan[2] == {"event": "would_run", "job": "some", "hosts": ["b1", "[::1]:22"], "commands": [],
                       "argv": ["x"]}
    assert not (tmp_path / "results").exists()


def test_a_dry_run_finds_a_job_that_no_host_may_run(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("run", "-", "--hosts", "a,b", "--dry-run", input="jobs: [{name: x, hosts: [gpu], argv: [y]}]\n")
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    assert told.stderr == "sshjobs: x: no host matches gpu; the hosts are a, b\n"


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["for real", "dry"])
def test_a_job_whose_name_is_too_long_with_that_of_its_host_is_refused_before_anything_starts(
        sshjobs_cli: SshjobsCli, tmp_path: Path, dry: list[str]) -> None:
    name, host = "n" * 200, "h" * 39
    jobs = json.dumps({"jobs": [{"name": name, "per_host": True, "argv": ["echo", "ran"]}]})
    fits = ["run", "-", "--transport", "local", *dry, "--hosts"]
    told = sshjobs_cli(*fits, f"{host}x,{host}", input=jobs)
    assert (told.returncode, told.stdout) == (EXIT_USAGE, "")
    assert told.stderr == (f"sshjobs: a job cannot be called '{name}@{host}x': a directory is named after it, and it has 241 "
                           "bytes; make it shorter: 240 bytes, with the host's name where each host has the job\n")
    assert not (tmp_path / "results").exists()
    assert sshjobs_cli(*fits, host, input=jobs).returncode == EXIT_OK
    assert dry or (tmp_path / f"results/stdin-1/jobs/{name}@{host}/stdout").read_text() == "ran\n"


def test_a_name_that_is_taken_is_refused(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "results" / "mine").mkdir(parents=True)
    for dry in ([], ["--dry-run"]):
        told = sshjobs_cli("run", "-", "--name", "mine", *dry, input="jobs: [argv: [echo]]\n")
        assert told.returncode == EXIT_USAGE
        assert told.stderr.startswith("sshjobs: results/mine: there is a run called mine already; ")


def test_fail_fast_cancels_the_others(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("run", "-", "--fail-fast", "--slots", "2",
                       input="jobs: [{name: bad, argv: ['false']}, {name: long, repeat: 3, argv: [sleep, '60']}]\n")
    assert told.returncode == EXIT_JOBS_FAILED
    assert "stdin-1 failed: 4 error of 4 jobs" in told.stdout
    assert told.stdout.count(" cancelled") >= 3


ENDS = """
jobs:
  - name: grow
    commands: [echo $SSHJOBS_MEMORY, test $SSHJOBS_ATTEMPT = 3]
    memory: 1G
    retries: {failed: {times: 2, memory: x2}}
  - name: slow
    commands: ["test $SSHJOBS_ATTEMPT = 2 || sleep 60"]
    timeout: 0.3
    retries: {timed_out: {times: 1, timeout: x100}}
  - {name: grep, commands: ["(exit 2)", echo not reached], ok_exit: [0, 2]}
  - {name: words, argv: [bash, -c, exit 7], ok_exit: 7}
  - {name: zero, argv: ["true"], ok_exit: 7}
  - {name: killed, commands: [kill -9 $$], ok_exit: [0, 9, 137], retries: {failed: 5}}
"""


def test_a_job_says_which_ends_are_good_and_what_follows_from_bad_ones(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    told = sshjobs_cli("run", "-", "--json", input=ENDS)
    assert told.returncode == EXIT_JOBS_FAILED
    ends = {str(event["job"]): event for event in events(told.stdout) if event["event"] in ("done", "error")}
    assert {name: (end["outcome"], end["exit_status"], end["attempts"]) for name, end in ends.items()} == {
        "grow": ("succeeded", 0, 3), "slow": ("succeeded", 0, 2), "grep": ("succeeded", 2, 1),
        "words": ("succeeded", 7, 1), "zero": ("failed", 0, 1), "killed": ("signalled", None, 1)}
    gib = 1 << 30
    jobs = tmp_path / "results/stdin-1/jobs"
    assert [int((jobs / "grow" / name).read_text()) for name in ("attempt-1/stdout", "attempt-2/stdout", "stdout")] == [
        gib, 2 * gib, 4 * gib]
    assert [event["memory"] for event in events(told.stdout) if event["event"] == "launch" and "memory" in event] == [
        gib, 2 * gib, 4 * gib]
    status = json.loads(sshjobs_cli("status", "--json").stdout)
    assert {job["name"]: job.get("memory") for job in status["jobs"]} == dict.fromkeys(ends) | {"grow": gib}
    assert not (jobs / "grep/stdout").read_text()


def test_no_usable_host_is_an_error_at_once(sshjobs_cli: SshjobsCli, mixed: Path) -> None:
    told = sshjobs_cli("run", "mixed.yaml", "--hosts", "nosuch.invalid", "--ssh-config", "/dev/null")
    assert told.returncode == EXIT_NO_HOST
    assert told.stdout.count(" away   nosuch.invalid: ") == 1, "each trouble is told once"
    assert told.stderr.startswith("sshjobs: no host could be used, so nothing was run: nosuch.invalid: ")
    assert told.stderr.count("\n") == 1


def test_a_reader_that_goes_away_does_not_stop_the_run(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    from tests.conftest import cli_environment

    (tmp_path / "jobs.yaml").write_text("jobs: [{name: x, repeat: 3, commands: [sleep 0.3, echo hello]}]\n")
    command = f'"{sys.executable}" -m sshjobs run jobs.yaml --slots 1 | head -n 1; echo "${{PIPESTATUS[0]}}"'
    told = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                          env={**os.environ, **cli_environment()}, check=True)
    assert told.stderr == ""
    assert told.stdout.splitlines()[-1] == "0"
    assert (tmp_path / "results/jobs-1/jobs/x-3/stdout").read_text() == "hello\n"
