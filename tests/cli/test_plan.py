"""``sshjobs plan`` and ``run --continue``: what they print, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshjobs import Builder, Run
from tests.cli.here import call_here

FILE = """
jobs:
  - {name: good, commands: echo good}
  - {name: bad, commands: exit 3}
  - {name: late, after: bad, commands: echo late}
"""


@pytest.fixture(autouse=True)
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    Path("jobs.yaml").write_text(FILE)
    yield


def test_what_stands_where_is_counted_first_and_listed_when_wanted() -> None:
    assert call_here("run", "jobs.yaml", "-q").returncode == 1
    told = call_here("plan", "jobs.yaml", "--list")
    assert told.returncode == 0 and told.stderr == ""
    assert told.stdout.splitlines()[:4] == ["3 jobs, compared with jobs-1:", "  2 failed before", "  1 done",
                                            "2 jobs to run"]
    assert told.stdout.splitlines()[4:] == [
        "done          good: in jobs-1", "failed before bad on localhost: exit 3 in jobs-1",
        "failed before late on localhost: skipped: bad did not succeed in jobs-1"]
    told = call_here("plan", "jobs.yaml", "--json")
    *jobs, total = map(json.loads, told.stdout.splitlines())
    assert [(job["job"], job["standing"], job["hosts"], job["run"]) for job in jobs] == [
        ("good", "done", ["localhost"], "jobs-1"), ("bad", "failed", ["localhost"], "jobs-1"),
        ("late", "failed", ["localhost"], "jobs-1")]
    assert total["to_run"] == 2 and total["counts"]["failed"] == 2 and total["runs"] == ["jobs-1"]


def test_without_an_earlier_run_all_is_new() -> None:
    Path("results").mkdir()
    (Path("results") / "jobs-x").mkdir()
    told = call_here("plan", "jobs.yaml", "--hosts", "h1,h2")
    assert told.stdout.splitlines()[:2] == ["3 jobs, compared with no earlier run:", "  3 new"]
    told = call_here("plan", "-", input=FILE)
    assert told.returncode == 0 and "3 new" in told.stdout


def test_mistakes_are_told_in_one_go_and_nothing_is_started() -> None:
    Path("wrong.yaml").write_text("jobs:\n  - {name: a, uses: [{path: absent}], comands: x}\n  - {commands: x, uses: 5}\n")
    for words in (["plan", "wrong.yaml"], ["run", "wrong.yaml"]):
        told = call_here(*words)
        assert told.returncode == 2 and told.stdout == ""
        assert [line.partition(": ")[0] for line in told.stderr.splitlines()] == [
            "wrong.yaml:2:29", "wrong.yaml:2:39", "wrong.yaml:3:25"], told.stderr
    for words in (["plan", "jobs.yaml", "--against", "gone"], ["run", "jobs.yaml", "--continue", "gone"],
                  ["plan", "jobs.yaml", "--hosts", "h1,h1"], ["plan", "absent.yaml"]):
        told = call_here(*words)
        assert told.returncode == 2 and told.stdout == "" and told.stderr.count("\n") == 1, told.stderr
    assert not Path("results").exists()


def test_a_dry_run_tells_what_would_be_left_out() -> None:
    call_here("run", "jobs.yaml", "-q")
    told = call_here("run", "jobs.yaml", "--continue", "jobs-1", "--dry-run")
    assert told.stdout.splitlines() == ["bad on localhost: exit 3", "late on localhost: echo late",
                                        "2 jobs on this machine, 1 more done already; nothing was started"]
    assert [path.name for path in Path("results").iterdir()] == ["jobs-1"]


def test_a_run_that_goes_on_by_itself_continues_another_too() -> None:
    call_here("run", "jobs.yaml", "-q")
    Path("jobs.yaml").write_text(FILE.replace("exit 3", "echo mended"))
    assert call_here("run", "jobs.yaml", "--continue", "jobs-1", "-d").returncode == 0
    told = call_here("attach", "jobs-2", "-q")
    assert told.returncode == 0, told.stdout + told.stderr
    jobs = json.loads(call_here("status", "jobs-2", "--json").stdout)["jobs"]
    assert [job["attempts"][-1].get("from") for job in jobs] == ["jobs-1", None, None]
    assert call_here("logs", "jobs-2", "good").stdout == "good\n"


def test_files_that_were_brought_are_there_too() -> None:
    def write(*outputs: str) -> None:
        Path("jobs.yaml").write_text(json.dumps({"jobs": [{
            "name": "fit", "commands": ["mkdir a", "echo model > a/model", "echo log > log"], "outputs": outputs}]}))

    write("a/", "log")
    assert call_here("run", "jobs.yaml", "-q").returncode == 0
    assert call_here("run", "jobs.yaml", "-q", "--continue", "jobs-1").returncode == 0
    assert call_here("rm", "jobs-1").returncode == 0
    told = call_here("verify", "jobs-2")
    assert told.returncode == 0 and Path("results/jobs-2/jobs/fit/files/a/model").read_text() == "model\n", told.stdout
    write("log")
    assert "1 done" in call_here("plan", "jobs.yaml").stdout
    write("log", "a/", "more/*")
    assert "changed       fit on localhost: more/* was not brought" in call_here("plan", "jobs.yaml", "--list").stdout
    write("a/", "log")
    Path("results/jobs-2/jobs/fit/files/a/model").write_text("")
    assert "1 changed" in call_here("plan", "jobs.yaml").stdout


def test_from_python() -> None:
    def jobs(*names: str) -> Builder:
        builder = Builder()
        for name in names:
            builder.AddJob(f"echo {name}", name=name)
        return builder

    with Run.start(jobs("a", "b"), name="one"):
        pass
    events: list[dict[str, object]] = []
    with Run.start(jobs("b", "c"), name="two", continue_from="one", listener=events.append) as run:
        assert [job.name for job in run.as_completed()] == ["c"]
    assert {job.name: job.stdout.read_text() for job in run.jobs} == {"b": "b\n", "c": "c\n"}
    assert run.jobs[0].attempt is not None and run.jobs[0].attempt.origin == "one" and run.jobs[1].seconds is not None
    assert {"event": "carried", "jobs": 1, "runs": {"one": 1}} in events
    assert Run.start(jobs("b"), continue_from=["one", Path("results/two")]).wait(30) == 0
