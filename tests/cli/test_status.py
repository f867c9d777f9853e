"""``sshjobs status``: the same truth as a table and as JSON, however large the run is."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from pytest_mock import MockerFixture
from rich.cells import cell_len

from sshjobs.store import RunReader
from sshjobs.store.rundir import find_run
from sshjobs.views.table import MAX_ROWS, Table
from tests.cli.runs import edit, make_run
from tests.cli.terminal import Terminal, plain
from tests.conftest import SshjobsCli, sshjobs_argv


def mixed(results: Path) -> None:
    """Make a run with a job in every state, its manager alive."""
    with edit(results, "mixed", ["ok", "bad", "run", "away", "wait"], attended=True) as run:
        run.done("ok")
        run.failed("bad", stderr=b"oops\n")
        run.busy("run")
        run.busy("away", unknown=True)


def test_failed_jobs_come_first_and_those_that_are_over_last(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    mixed(tmp_path / "results")
    told = sshjobs_cli("status")
    lines = told.stdout.splitlines()
    assert (told.returncode, told.stderr) == (0, "")
    assert lines[0] == "mixed running: 1 done, 1 error, 1 busy, 1 unknown, 1 free of 5 jobs"
    heading = next(n for n, line in enumerate(lines) if line.startswith("JOB"))
    assert [line.split()[:3] for line in lines[heading + 1:]] == [
        ["bad", "error", "b"], ["away", "unknown", "a"], ["run", "busy", "a"], ["wait", "free", "-"],
        ["ok", "done", "a"]]
    assert lines[heading + 1].endswith("exit 3")


def test_a_host_that_is_away_is_shown_with_its_reason_and_since_when(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    mixed(tmp_path / "results")
    told = sshjobs_cli("status", env={"TZ": "UTC"}).stdout
    assert "host away since 2023-11-14 22:14:10: a: no answer in time\n" in told
    assert re.search(r"^away +unknown .* since 2023-11-14 22:14:10: a cannot be asked$", told, re.MULTILINE)


def test_a_run_without_a_manager_says_what_to_type(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    with edit(tmp_path / "results", "left", ["x", "y"]) as run:
        run.busy("x")
    make_run(tmp_path / "results", "idle")
    assert "left unattended: 1 busy, 1 free of 2 jobs\n" in (told := sshjobs_cli("status", "left").stdout)
    assert "its manager is gone, jobs may still run; go on with: sshjobs resume left\n" in told
    assert "nothing runs; go on with: sshjobs resume idle\n" in sshjobs_cli("status", "idle").stdout


def test_a_large_run_is_not_poured_out(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    with edit(tmp_path / "results", "large", [f"sim-{n}" for n in range(3000)]) as run:
        run.failed("sim-7")
        run.done("sim-8")
    lines = sshjobs_cli("status").stdout.splitlines()
    assert len(lines) < 60
    assert lines[-1] == "2,950 jobs not listed; for all: sshjobs status large --all"
    assert any(line.startswith("sim-7 ") for line in lines)
    everything = sshjobs_cli("status", "--all").stdout.splitlines()
    assert len(everything) > 3000
    assert sum(line.startswith("JOB ") for line in everything) == 1


def test_few_jobs_of_a_state_are_looked_for_together_and_states_without_jobs_not_at_all(
        tmp_path: Path, mocker: MockerFixture) -> None:
    with edit(tmp_path, "large", [f"sim-{n}" for n in range(3000)]) as run:
        run.busy("sim-5")
        run.failed("sim-2999")
        run.busy("sim-2998")
    shown = io.StringIO()
    with RunReader.open(find_run(tmp_path, "large")) as reader:
        asked = mocker.spy(reader, "jobs")
        Table(reader, "large", shown).jobs(everything=False)
    lines = [line.split()[:2] for line in shown.getvalue().splitlines()]
    assert lines[1:5] == [["sim-2999", "error"], ["sim-5", "busy"], ["sim-2998", "busy"], ["sim-0", "free"]]
    assert len(lines) == 1 + MAX_ROWS + 2
    assert asked.call_args_list == [mocker.call(["error", "busy"], limit=3), mocker.call(["free"], limit=MAX_ROWS)]


def test_summary_leaves_the_jobs_out(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    mixed(tmp_path / "results")
    assert "JOB" not in sshjobs_cli("status", "--summary").stdout
    document = json.loads(sshjobs_cli("status", "--summary", "--json").stdout)
    assert document == {"run": "mixed", "state": "running",
                        "counts": {"free": 1, "busy": 1, "done": 1, "unknown": 1, "error": 1}}


def test_json_has_exactly_the_promised_keys(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    mixed(tmp_path / "results")
    document = json.loads(sshjobs_cli("status", "mixed", "--json").stdout)
    assert list(document) == ["run", "state", "counts", "jobs"]
    jobs = {job["name"]: job for job in document["jobs"]}
    assert {tuple(job) for job in document["jobs"]} == {
        ("name", "state", "outcome", "exit_status", "signal", "host", "attempts")}
    assert jobs["bad"]["attempts"] == [
        {"n": 1, "host": "b", "state": "error", "outcome": "failed", "exit_status": 3, "signal": None,
         "started": 1_700_000_001.5, "ended": 1_700_000_002.75}]
    assert (jobs["wait"]["state"], jobs["wait"]["outcome"], jobs["wait"]["attempts"]) == ("free", None, [])


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_columns_line_up_on_every_terminal(tmp_path: Path, clean_home: Path, columns: int) -> None:
    names = ["x", "train-learning-rate-0.001-batch-size-32-with-augmentation-seed-17", "größe-日本語の名前-3"]
    with edit(tmp_path / "results", "r", names) as run:
        for name in names:
            run.failed(name)
    with Terminal(sshjobs_argv(["status"]), tmp_path, columns=columns) as terminal:
        lines = plain(terminal.read_to_end()).splitlines()
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("JOB")):]
    rows = [line for line in table if " error" in line]
    assert len({cell_len(line[:line.index("error")]) for line in rows}) == 1, table
    assert all(row[0] == name[0] and name[-1] in row for row, name in zip(rows, names, strict=True))
    assert all(cell_len(line) <= columns for line in rows)
    assert sum("exit 3" in line for line in table) == 3, "beside the job, or below it"
    assert (names[1] in rows[1]) == (columns == 200), "a long name gives way to the facts"


def test_a_terminal_gets_colours_and_no_line_is_wider_than_it(tmp_path: Path, clean_home: Path) -> None:
    with edit(tmp_path / "results", "r", ["a-job-with-a-name-that-is-rather-long-for-a-narrow-terminal", "x"]) as run:
        run.failed("x")
    with Terminal(sshjobs_argv(["status"]), tmp_path, columns=40) as terminal:
        text = terminal.read_to_end()
        assert terminal.wait() == 0
    assert "\x1b[31merror" in text
    with Terminal(sshjobs_argv(["status"]), tmp_path, columns=40, env={**os.environ, "NO_COLOR": "1"}) as terminal:
        assert "\x1b[31m" not in terminal.read_to_end()
