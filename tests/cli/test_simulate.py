"""``sshjobs simulate``: how long a run would take, from what is said, from a file, or from what an earlier run did."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from sshjobs.cli import simulate as simulate_command
from sshjobs.forecast.plays import Played
from tests.cli.here import call_here
from tests.cli.runs import edit


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def simulate(*words: str, jobs: int = 40, hosts: str = "n[1-5]") -> dict[str, Any]:
    """Return the document of plays of so many jobs; of none: of what a file holds."""
    jobfile = ["jobs.yaml"] if jobs else []
    if jobs:
        Path("jobs.yaml").write_text(f"jobs: [{{name: a, argv: ['true'], repeat: {jobs}}}]\n")
    told = call_here("simulate", *jobfile, "--hosts", hosts, "--slots", "2", "--json", *words)
    assert (told.returncode, told.stderr) == (0, ""), told.stderr
    document: dict[str, Any] = json.loads(told.stdout)
    assert document["version"] == 1
    return document


def refused(*words: str) -> str:
    told = call_here("simulate", "--hosts", "n1", *words)
    assert (told.returncode, told.stdout) == (2, ""), told.stdout
    assert told.stderr.count("\n") == 1, told.stderr
    return told.stderr.removesuffix("\n")


def finished_run(results: Path, *seconds: float) -> None:
    """Make a run whose jobs have taken so long."""
    names = [f"j-{number}" for number in range(len(seconds))]
    with edit(results, "earlier", names) as run:
        for name, taken in zip(names, seconds, strict=True):
            run.done(name)
            attempt = run.jobs[name].attempts[-1]
            attempt.started, attempt.ended = 1_700_000_000.0, 1_700_000_000.0 + taken
            run.store.touch_attempt(run.jobs[name], attempt)


def test_jobs_of_the_same_length_fill_the_slots_one_after_the_other(here: Path) -> None:
    told = simulate("--seconds", "10")
    assert told["p10"] == told["p50"] == told["p90"] == 40.0
    assert set(told["use"].values()) == {1.0}
    assert told["waits"] == {"p50": pytest.approx(15.0, abs=5), "p90": pytest.approx(30.0, abs=1), "longest": 30.0}


def test_what_more_hosts_would_bring_is_said(here: Path) -> None:
    told = simulate("--seconds", "10", "--add", "5xn1", "--add", "15xn2")
    assert [(one["add"], one["p50"]) for one in told["with"]] == [("5xn1", 20.0), ("15xn2", 10.0)]
    assert len(told["with"][1]["use"]) == 20


def test_people_are_told_in_few_lines(here: Path) -> None:
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['true'], repeat: 100}]\n")
    told = call_here("simulate", "jobs.yaml", "--hosts", "n[1-2]", "--slots", "5", "--seconds", "60", "--add", "2xn1")
    assert told.stdout.splitlines() == [
        "100 jobs on 2 hosts: p10 10 min 0 s, p50 10 min 0 s, p90 10 min 0 s",
        "half of the jobs wait 4 min 30 s at most, nine in ten 8 min 6 s, the longest 9 min 0 s",
        "  n1  5 slots, 100% used", "  n2  5 slots, 100% used",
        "with 2xn1: p10 5 min 0 s, p50 5 min 0 s, p90 5 min 0 s (-50%)"]


def test_durations_come_from_an_earlier_run(here: Path) -> None:
    finished_run(here / "results", *[100.0] * 30)
    told = simulate("--like", "earlier")
    assert 399.0 <= told["p10"] <= told["p90"] <= 420.0


def test_no_end_is_before_the_longest_job_of_a_heavy_tail(here: Path) -> None:
    finished_run(here / "results", *[1.0] * 60, *[600.0] * 20)
    told = simulate("--like", "earlier", jobs=200)
    assert told["p50"] >= 600.0
    assert told["p10"] < told["p50"] < told["p90"]


def test_the_same_seed_gives_the_same_in_any_process(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    from tests.conftest import cli_environment, sshjobs_argv

    finished_run(here / "results", 1.0, 1.0, 1.0, 60.0)
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['true'], repeat: 40}]\n")
    told = {subprocess.run(sshjobs_argv(["simulate", "jobs.yaml", "--hosts", "n[1-5]", "--like", "earlier"]), capture_output=True, text=True,
                           check=True, env={**os.environ, **cli_environment(), "PYTHONHASHSEED": seed}).stdout for seed in ("101", "105")}
    assert len(told) == 1


def test_a_parameter_that_explains_lengths_is_used(here: Path) -> None:
    rows = [f"fit,{1 + 99 * (n % 2)},{('small', 'large')[n % 2]}" for n in range(80)]
    (here / "took.csv").write_text("job,seconds,size\n" + "\n".join(rows) + "\n")
    (here / "jobs.yaml").write_text("jobs: [{name: fit, argv: ['x'], matrix: {size: [small], n: 0..9}}]\n")
    told = json.loads(call_here("simulate", "jobs.yaml", "--hosts", "n1", "--slots", "1", "--durations", "took.csv", "--json").stdout)
    assert 9.0 <= told["p50"] <= 12.0


def test_hosts_of_different_speed(here: Path) -> None:
    told = simulate("--seconds", "10", "--speed", "n*=2", jobs=40)
    assert told["p50"] == 20.0
    (here / "took.csv").write_text("job,seconds,host\n" + "a,10,n1\na,30,n2\n" * 40)
    told = simulate("--durations", "took.csv", hosts="n[1-2]", jobs=200)
    # Four slots, two of which are three times as slow: a rate of 2 / 10 + 2 / 30.
    assert told["p50"] == pytest.approx(200 / (0.2 + 2 / 30), rel=0.08)


def test_needs_are_counted(here: Path) -> None:
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['x'], repeat: 8, cpus: 2}, {name: b, argv: ['x'], repeat: 4, needs: {license: 1}}]\n")
    (here / "hosts.txt").write_text("h1 slots=4 count.license=1\nh2 slots=4\n")
    told = json.loads(call_here("simulate", "jobs.yaml", "--hosts", "hosts.txt", "--seconds", "10", "--json").stdout)
    # The eight large ones first, then the four with a licence, one after the other.
    assert told["p50"] == 60.0
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['x'], cpus: 9}]\n")
    assert refused("jobs.yaml", "--seconds", "1", "--slots", "4").startswith("sshjobs: a: no host has what it needs (cpus: 9): n1, the nearest, has 4 slots")
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['x'], hosts: [m*]}]\n")
    assert "no host matches its hosts" in refused("jobs.yaml", "--seconds", "1")


SWF = "; a comment\n" + "".join(f"{n} {n * 10} -1 {seconds} {cpus} -1 -1 -1 -1 -1 1 1 1 -1 -1 -1 -1 -1\n"
                              for n, (seconds, cpus) in enumerate([(100, 1), (50, 2), (-1, 1), (10, 4)], 1))


def test_the_jobs_of_a_trace_come_at_their_times(here: Path) -> None:
    (here / "a.swf").write_text(SWF)
    told = call_here("simulate", "--hosts", "n1", "--slots", "4", "--durations", "a.swf", "--json")
    assert told.stderr == "sshjobs: a.swf: 1 jobs are left out: how long they took is not known\n"
    found = json.loads(told.stdout)
    # The one with four slots came after 30 s, and waits for the first, which takes 100 s.
    assert (found["jobs"], found["p50"], found["waits"]["longest"]) == (3, 110.0, 70.0)
    (here / "a.csv").write_text("seconds,submit\n10,5\n10,5\n10,1000\n")
    assert simulate("--durations", "a.csv", jobs=0, hosts="n1")["p50"] == 1005.0


@pytest.mark.parametrize(("name", "text", "where"), [
    ("a.csv", "", "a.csv: tells of no job"), ("a.csv", "seconds\n", "a.csv: tells of no job"),
    ("a.csv", "job,took\na,1\n", "a.csv:1:1: has no heading 'seconds'"), ("a.csv", "seconds,seconds\n1,2\n", "a.csv:1:1: names its columns badly"),
    ("a.csv", "seconds\n1\nsoon\n", "a.csv:3:1: seconds cannot be 'soon'"), ("a.csv", "seconds\n1\n-1\n", "a.csv:3:1: seconds cannot be '-1'"),
    ("a.csv", "seconds\nnan\n", "a.csv:2:1: seconds cannot be 'nan'"), ("a.csv", "seconds\n1e99\n", "a.csv:2:1: seconds cannot be '1e99'"),
    ("a.csv", "seconds,cpus\n1,0\n", "a.csv:2:1: cpus cannot be '0'"), ("a.csv", "seconds,memory\n1,lots\n", "a.csv:2:1: memory cannot be 'lots'"),
    ("a.csv", "seconds,job\n1\n", "a.csv:2:1: has 1 columns, the first line 2"), ("a.csv", 'seconds\n"1\n', "a.csv:"),
    ("a.csv", "seconds\n" + "1" * 200_000 + "\n", "a.csv:2:1: has more than 100,000 characters"),
    ("a.swf", "1 2 3\n", "a.swf:1:1: has 3 fields, a job of SWF has 18"), ("a.swf", SWF.replace("100", "x"), "a.swf:2:1: field 4 cannot be 'x'"),
    ("a.swf", ";\n", "a.swf: tells of no job"), ("a.csv", "\x1b[2J\x00seconds\n1\n", "a.csv:1:1: "), ("a.csv", "seconds\n\u202e\x1b[2J\n", "a.csv:2:1: "),
])
def test_a_bad_row_is_told_with_its_line(here: Path, name: str, text: str, where: str) -> None:
    (here / name).write_text(text)
    told = refused("--durations", name)
    assert told.startswith(where), told
    assert told.isprintable()


def test_a_file_that_cannot_be_read_is_told(here: Path) -> None:
    assert refused("--durations", "none.csv").startswith("none.csv: cannot be read: No such file")
    assert refused("--durations", ".").startswith(".: cannot be read: Is a directory")


def test_a_run_that_tells_no_duration_is_no_model(here: Path) -> None:
    with edit(here / "results", "fresh", ["a"]):
        pass
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['true']}]\n")
    assert "fresh" in refused("jobs.yaml", "--like", "fresh")
    assert "missing" in refused("jobs.yaml", "--like", "missing")


@pytest.mark.parametrize("words", [
    (), ("--seconds", "1", "--like", "x"), ("--seconds", "soon"), ("--seconds", "-1"), ("--seconds", "1", "--speed", "n1=0"), ("--seconds", "1", "--speed", "x=1"),
    ("--seconds", "1", "--speed", "fast"), ("--seconds", "1", "--add", "2xm1"), ("--seconds", "1", "--add", "0xn1"), ("--seconds", "1", "--add", "99999xn1"),
    ("--seconds", "1", "--add", "more")])
def test_what_cannot_be_is_told_in_a_line(here: Path, words: tuple[str, ...]) -> None:
    (here / "jobs.yaml").write_text("jobs: [{name: a, argv: ['true']}]\n")
    refused("jobs.yaml", *words)


def test_without_a_jobfile_and_a_trace_there_is_nothing_to_play(here: Path) -> None:
    assert "there is nothing to play" in refused("--seconds", "3")


def test_long_plays_run_side_by_side_and_give_the_same() -> None:
    mine, seeds = os.getpid(), ["1.5", "2.5", "3.5", "4.5"]

    def play(seed: str) -> Played:
        return Played(float(os.getpid() != mine), [float(seed)], [])

    several = sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1
    found = simulate_command._plays(play, seeds, 10**6)
    assert [one.end for one in found] == [0.0, *[float(several)] * 3]
    assert [one.busy for one in found] == [one.busy for one in simulate_command._plays(play, seeds, 1)] == [[1.5], [2.5], [3.5], [4.5]]


def test_many_jobs_on_many_hosts_are_played_quickly(here: Path) -> None:
    told = simulate("--seconds", "30±5", "--times", "1", jobs=20_000, hosts="n[1-500]")
    assert 600 < told["p50"] < 800
