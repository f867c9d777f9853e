"""``sshjobs table``: runs as tables, from the store of a run that is over, under way, or of an older sshjobs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from sshjobs import JobSpec, Run
from sshjobs.cli.table import FORMATS
from sshjobs.tables import grouping
from sshjobs.views.sheets import FORMS
from tests.cli.here import call_here
from tests.cli.runs import edit


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def test_a_run_with_parameters_and_results_is_a_table(clean_home: Path, here: Path) -> None:
    specs = [JobSpec(["echo ::result::; echo loss=0.$LR; test $LR != 3"], name=f"fit-{lr}", entry="fit", env={"LR": lr},
                     params={"lr": f"0.{lr}", "host": "x"}) for lr in "123"]
    with Run.start(specs, name="sweep") as run:
        run.wait()
    rows = run.table()
    assert [(row["job"], row["entry"], row["lr"], row["param.host"], row["outcome"], row["host"], row["exit_status"], row["loss"])
            for row in rows] == [("fit-1", "fit", 0.1, "x", "succeeded", "localhost", 0, 0.1),
                                 ("fit-2", "fit", 0.2, "x", "succeeded", "localhost", 0, 0.2),
                                 ("fit-3", "fit", 0.3, "x", "failed", "localhost", 1, 0.3)]
    assert all(row["seconds"] > 0 and row["cpu"] > 0 and row["memory"] > 1 << 20 for row in rows)
    assert [job.result for job in run.jobs] == [{"loss": 0.1}, {"loss": 0.2}, {"loss": 0.3}]
    told = call_here("table", "--format", "csv", "--where", "outcome=succeeded and lr>0.1")
    (row,) = csv.DictReader(io.StringIO(told.stdout))
    assert (told.returncode, told.stderr) == (0, "")
    assert (row["job"], row["lr"], row["param.host"], row["loss"]) == ("fit-2", "0.2", "x", "0.2")
    told = call_here("table", "sweep", "--group-by", "outcome", "--agg", "mean,count", "--columns", "loss", "--format", "tsv")
    assert told.stdout == "outcome\tjobs\tloss.mean\tloss.count\nsucceeded\t2\t0.15000000000000002\t2\nfailed\t1\t0.3\t1\n"
    assert call_here("table", "--columns", "job", "--sort", "-loss").stdout.split() == ["job", "fit-3", "fit-2", "fit-1"]


def test_what_a_retried_job_left_is_that_of_its_newest_attempt(clean_home: Path, here: Path) -> None:
    script = "echo ::result::; echo n=$SSHJOBS_ATTEMPT; test $SSHJOBS_ATTEMPT = 2"
    with Run.start([JobSpec([script], name="a", retries=1)], name="r") as run:
        run.wait()
    (job,) = run.jobs
    assert ([attempt.result for attempt in job.attempts], job.result) == ([{"n": 1}, {"n": 2}], {"n": 2})
    assert [(row["attempts"], row["n"]) for row in run.table()] == [(2, 2)]


def test_a_run_under_way_shows_what_there_is(here: Path) -> None:
    with edit(here, "r", ["ok", "bad", "run", "wait"], attended=True) as run:
        run.done("ok")
        run.jobs["ok"].attempts[-1].result_json = '{"loss":0.5}'
        run.failed("bad")
        run.busy("run")
    told = call_here("table")
    assert told.returncode == 0
    assert [line.split() for line in told.stdout.splitlines()] == [
        ["job", "outcome", "host", "seconds", "cpu", "memory", "loss"], ["ok", "succeeded", "a", "1.250", "-", "-", "0.5"],
        ["bad", "failed", "b", "1.250", "-", "-", "-"], ["run", "-", "a", "-", "-", "-", "-"], ["wait", "-", "-", "-", "-", "-", "-"]]


def test_several_runs_stand_in_one_table(here: Path) -> None:
    for name in ("s-1", "s-2"):
        with edit(here, name, ["a"]) as run:
            run.done("a")
    for words in (["s-1", "s-2"], ["s-*"]):
        told = call_here("table", *words, "--columns", "run,job", "--format", "json")
        assert json.loads(told.stdout) == [{"run": "s-1", "job": "a"}, {"run": "s-2", "job": "a"}]


def test_mistakes_are_told_in_a_line_each_and_print_nothing(here: Path) -> None:
    with edit(here, "r", ["a"]) as run:
        run.done("a")
    for words, said in {
        ("--where", "job=a or"): "sshjobs: --where, character 9: a column should stand here, got the end\n",
        ("--columns", "lost"): "sshjobs: --columns: no column is called 'lost'; did you mean host?\n",
        ("--sort", "x"): "sshjobs: --sort: no column is called 'x'; there are job, entry, outcome, host, ",
        ("--agg", "x"): f"sshjobs: --agg: there is no figure 'x'; take of {', '.join(grouping.AGGREGATES)}\n",
        ("nosuch",): "sshjobs: results: there is no run nosuch",
    }.items():
        told = call_here("table", *words)
        assert (told.returncode, told.stdout) == (2, "") and told.stderr.startswith(said), told.stderr


def test_the_formats_of_the_option_are_those_that_there_are() -> None:
    assert FORMATS == tuple(FORMS)
