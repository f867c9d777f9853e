"""Setups: each host runs the script of a run once before its first job, whatever becomes of managers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sshjobs import Builder, Network, NoHostError, Run, UsageError
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_NO_HOST, EXIT_OK, EXIT_USAGE
from sshjobs.inputs.hostfile import load_hosts
from sshjobs.running.unattended import change
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab.waiting import wait_until

HOSTS = ["one slots=2", "two slots=2"]


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)

    def make(jobs: Any, hosts: list[str] | None = None, **options: Any) -> Run:
        return Run.start(jobs, HOSTS if hosts is None else hosts, transport="local", name="r", **options)
    return make


def outcomes(run: Run) -> dict[str, str | None]:
    return {job.name: job.outcome and str(job.outcome) for job in run.jobs}


def notes(directory: Path) -> list[str]:
    """What setups have noted, each a line."""
    path = directory / "noted"
    return path.read_text().split() if path.exists() else []


@pytest.fixture
def note(tmp_path: Path) -> str:
    """A line of script that notes that it ran, and for whom."""
    return f"echo $SSHJOBS_HOST >> {tmp_path}/noted; touch {tmp_path}/ready-$SSHJOBS_HOST"


def test_each_host_is_prepared_once_and_before_its_first_job(start: Callable[..., Run], note: str, tmp_path: Path) -> None:
    look = f"test -e {tmp_path}/ready-$SSHJOBS_HOST"
    run = start(Builder().AddJob(look, name="j", repeat=6, hosts=["one"]).AddJob(look, name="k", repeat=6, hosts=["two"]),
                setup=["echo hello", note])
    assert run.wait(60) == EXIT_OK, outcomes(run)
    assert sorted(notes(tmp_path)) == ["one", "two"]
    assert run.paths.stdout("setup@one").read_text() == "hello\n"
    assert len(run.jobs) == 12, "it is no job of the run"
    with RunReader.open(run.paths) as reader:
        assert reader.summary().counts["done"] == 12
        assert [(row.host, str(row.attempt.outcome)) for row in reader.setups()] == [("one", "succeeded"), ("two", "succeeded")]


def test_a_host_without_work_is_left_alone(start: Callable[..., Run], note: str, tmp_path: Path) -> None:
    run = start(Builder().AddJob("true", name="j", hosts=["two"]), setup=note)
    assert run.wait(60) == EXIT_OK
    assert notes(tmp_path) == ["two"]


def test_a_host_whose_setup_fails_is_named_and_not_used_and_others_go_on(start: Callable[..., Run], note: str,
                                                                           tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    run = start(Builder().AddJob(f"until test -e {tmp_path}/go; do sleep 0.05; done", name="j", repeat=9),
                setup=[note, "echo no image >&2", "test $SSHJOBS_HOST = two"], listener=events.append)
    wait_until(lambda: any(event.get("state") == "blocked" for event in events))
    (tmp_path / "go").touch()
    assert run.wait(60) == EXIT_OK
    assert {job.host for job in run.jobs} == {"two"}
    (blocked,) = (event for event in events if event["event"] == "host" and event["state"] == "blocked")
    assert blocked["reason"] == (f"one: its setup failed: exit 1: no image; see {run.paths.stderr('setup@one')}, mend it, "
                                 "then: sshjobs resume r")
    ended = [event for event in events if event["event"] == "setup" and event["outcome"]]
    assert {(event["host"], event["outcome"], event["exit_status"]) for event in ended} == {
        ("one", "failed", 1), ("two", "succeeded", 0)}
    with RunReader.open(run.paths) as reader:
        assert {row.host.name: row.state for row in reader.hosts()} == {"one": "blocked", "two": "up"}


def test_a_job_that_only_such_a_host_may_run_is_skipped(start: Callable[..., Run]) -> None:
    run = start(Builder().AddJob("true", name="a", hosts=["one"]).AddJob("true", name="b", hosts=["two"]),
                setup="test $SSHJOBS_HOST = two")
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert outcomes(run) == {"a": "skipped", "b": "succeeded"}
    assert (run.jobs[0].reason or "").startswith("one: its setup failed: exit 1; see ")


@tries("see {}, mend it, then: sshjobs resume {}")
def test_a_resume_tries_a_setup_again_that_failed_and_none_that_succeeded(start: Callable[..., Run], note: str,
                                                                            tmp_path: Path) -> None:
    run = start(Builder().AddJob("true", name="j", repeat=3), hosts=["one slots=2"],
                setup=[note, f"test -e {tmp_path}/mended"])
    with pytest.raises(NoHostError, match="its setup failed"):
        run.wait(60)
    (tmp_path / "mended").touch()
    assert Run.resume(run.paths).process() == EXIT_OK
    assert notes(tmp_path) == ["one", "one"]
    assert (run.paths.attempt("setup@one", 1) / "stdout").exists()
    change(run.paths, {"do": "add", "specs": [spec.as_dict() for spec in Builder().AddJob("true", name="k").job_specs]})
    assert Run.resume(run.paths).process() == EXIT_OK
    assert len(notes(tmp_path)) == 2


def test_a_person_may_have_it_tried_again_while_the_run_goes_on(start: Callable[..., Run], note: str, tmp_path: Path) -> None:
    run = start(Builder().AddJob(f"until test -e {tmp_path}/go; do sleep 0.05; done", name="long", hosts=["two"])
                .AddJob("true", name="j", hosts=["one"], after={"long": {"when": "ended"}}),
                setup=[note, f"test $SSHJOBS_HOST = two -o -e {tmp_path}/mended"], stays_open=True)
    run.add(Builder().AddJob("true", name="k", hosts=["one"]))
    wait_until(lambda: outcomes(run).get("k") == "skipped")
    (tmp_path / "mended").touch()
    run.request({"do": "hosts-undrain", "hosts": ["one"]})
    (tmp_path / "go").touch()
    run.finish()
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert outcomes(run) == {"long": "succeeded", "j": "succeeded", "k": "skipped"}
    assert sorted(notes(tmp_path)) == ["one", "one", "two"]


@pytest.mark.parametrize("when", ["during", "after"])
def test_a_manager_that_leaves_has_no_setup_run_twice(start: Callable[..., Run], note: str, tmp_path: Path, when: str) -> None:
    gate = f"until test -e {tmp_path}/go; do sleep 0.05; done"
    run = start(Builder().AddJob("true" if when == "during" else gate, name="j", repeat=3), hosts=["one slots=2"],
                setup=[note, gate if when == "during" else "true"])
    wait_until(lambda: notes(tmp_path) == ["one"] and (when == "during" or run.jobs[0].state == "busy"))
    run.request({"do": "leave"})
    run.wait(60)
    (tmp_path / "go").touch()
    assert Run.resume(run.paths).process() == EXIT_OK
    assert notes(tmp_path) == ["one"]
    assert run.paths.stdout("setup@one").exists()


def test_a_setup_that_nobody_waits_for_any_more_is_ended(start: Callable[..., Run], note: str, tmp_path: Path) -> None:
    run = start(Builder().AddJob("true", name="j", repeat=2), setup=[note, "test $SSHJOBS_HOST = two || exec sleep 600"])
    assert run.wait(60) == EXIT_OK
    with RunReader.open(run.paths) as reader:
        assert {row.host: str(row.attempt.outcome) for row in reader.setups()}.get("one", "cancelled") in ("cancelled", "signalled")


def test_a_host_that_is_added_is_prepared_too(start: Callable[..., Run], note: str, tmp_path: Path) -> None:
    run = start(Builder().AddJob("true", name="first"), hosts=["one"], setup=note, stays_open=True)
    wait_until(lambda: outcomes(run)["first"] == "succeeded")
    run.request({"do": "hosts-add", "hosts": [asdict(load_hosts("two")[0])]})
    run.add(Builder().AddJob("true", name="second", hosts=["two"]))
    run.finish()
    assert run.wait(60) == EXIT_OK
    assert notes(tmp_path) == ["one", "two"]


JOBFILE = """
setup:
- echo "{word}"
- "{line}"
jobs:
- {{name: j, argv: ['true']}}
"""


@tries("mend it there, or the setup in the jobfile", "write setup: and a script beside jobs")
def test_hosts_check_tries_the_setup_of_a_jobfile(clean_home: Path, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    check = ["hosts", "check", "--hosts", "one,two", "--transport", "local", "--setup", "jobs.yaml"]
    (tmp_path / "jobs.yaml").write_text(JOBFILE.format(word="hi", line="exit 3"))
    told = sshjobs_cli(*check)
    assert told.returncode == EXIT_NO_HOST, told.stderr
    *lines, last = told.stdout.splitlines()
    assert last == "0 of 2 can be used"
    # They are the same machine, which is told of that which answers last.
    assert [line.partition("; the same machine")[0] for line in lines] == [
        f"{host}  NO  its setup failed: exit 3: hi; mend it there, or the setup in the jobfile" for host in ("one", "two")]
    (tmp_path / "jobs.yaml").write_text(JOBFILE.format(word="hi", line="test $SSHJOBS_HOST = two"))
    found = [json.loads(line) for line in sshjobs_cli(*check, "--json").stdout.splitlines()]
    assert [(one["usable"], one["kind"]) for one in found] == [(False, "setup"), (True, None)]
    assert any(note.startswith("its setup took ") for note in found[1]["notes"])
    (tmp_path / "jobs.yaml").write_text("jobs: [argv: ['true']]\n")
    told = sshjobs_cli(*check)
    assert (told.returncode, told.stderr) == (
        EXIT_USAGE, "sshjobs: jobs.yaml: the jobfile has no setup; write setup: and a script beside jobs\n")


def test_verify_knows_what_setups_left_and_a_jobfile_says_them(clean_home: Path, sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBFILE.format(word="hi", line="true"))
    told = sshjobs_cli("run", "jobs.yaml")
    assert told.returncode == EXIT_OK
    assert " setup  localhost\n" in told.stdout and " setup  localhost: exit 0 in " in told.stdout
    assert sshjobs_cli("verify").stdout.endswith("all agree\n")
    (tmp_path / "jobs.yaml").write_text("jobs: [argv: ['true']]\nsetup: []\n")
    assert sshjobs_cli("run", "jobs.yaml").stderr == "jobs.yaml:2:8: setup must hold at least one command\n"


@tries("choose another name")
def test_no_job_is_called_as_a_setup_is(start: Callable[..., Run]) -> None:
    with pytest.raises(UsageError, match="cannot be called so"):
        start(Builder().AddJob("true", name="setup", per_host=True), setup="true")
    assert start(Builder().AddJob("true", name="prepare", per_host=True), setup="true").wait(60) == EXIT_OK


def test_no_job_that_is_added_is_called_as_a_setup_is(start: Callable[..., Run]) -> None:
    run = start(Builder().AddJob("true", name="first"), setup="true", stays_open=True)
    with pytest.raises(UsageError, match="cannot be called so: in a run with a setup .*; choose another name"):
        run.add(Builder().AddJob("true", name="setup@one"))
    run.add(Builder().AddJob("true", name="prepare@one"))
    run.finish()
    assert run.wait(60) == EXIT_OK


def test_jobs_are_launched_for_the_boot_for_which_their_host_was_prepared(start: Callable[..., Run],
                                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(Network, "launch_for_boot", lambda self, host, boot: said.append((host, boot)))
    assert start(Builder().AddJob("true", name="j", repeat=2), hosts=["one slots=2"], setup="true").wait(60) == EXIT_OK
    assert {host for host, _ in said} == {"one"} and all(boot for _, boot in said)


def test_what_a_setup_wrote_is_shown_by_its_name(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("setup: [echo here is $SSHJOBS_HOST, echo careful >&2]\njobs: [{name: j, argv: [echo, job]}]\n")
    assert sshjobs_cli("run", "jobs.yaml", "--hosts", "one,two", "--transport", "local", "--slots", "1").returncode == EXIT_OK
    with RunReader.open(RunPaths(tmp_path / "results", "jobs-1")) as reader:
        ran = sorted(row.host for row in reader.setups() if row.attempt.outcome == "succeeded")
    for words in (["setup@" + ran[0]], ["jobs-1", "setup@" + ran[0]], ["jobs-1", "setup@" + ran[0], "--follow"]):
        told = sshjobs_cli("logs", *words)
        assert (told.returncode, told.stdout, told.stderr) == (0, f"here is {ran[0]}\n", ""), words
    assert sshjobs_cli("logs", "setup@" + ran[0], "--stderr").stdout == "careful\n"
    several = sshjobs_cli("logs", "setup@*").stdout
    assert all(f"here is {host}\n" in several for host in ran) and "job" not in several
    told = sshjobs_cli("logs", "setup@three")
    assert told.returncode == EXIT_USAGE and "no job is called 'setup@three'" in told.stderr
