"""Jobs of a sweep are named by their parameters wherever people name jobs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sshjobs.errors import EXIT_OK, EXIT_USAGE
from tests.cli.here import call_here
from tests.hints import tries

JOBFILE = """\
jobs:
  - name: train
    matrix: {lr: [0.10, 1e-3], file: [a/b, "c,d"]}
    commands: ["echo ${{ lr }} ${{ file }}; test ${{ lr }} = 0.10"]
  - name: train[lr=1]
    commands: [echo exact]
"""


@pytest.fixture
def here(tmp_path: Path, clean_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text(JOBFILE)
    assert call_here("run", "-q", "sweep.yaml").returncode == 1
    return tmp_path


def listed(*words: str) -> list[str]:
    told = call_here("status", "--json", *words)
    assert (told.returncode, told.stderr) == (EXIT_OK, ""), words
    return [job["name"] for job in json.loads(told.stdout)["jobs"]]


def test_jobs_are_named_by_parameters_wherever_jobs_are_named(here: Path) -> None:
    assert listed("train[lr=0.1]") == ["train-1", "train-2"]
    assert listed("sweep-1", "train[lr=1E-3,file=c,d]", "train-1") == ["train-1", "train-4"]
    assert listed("train[file=a/b]") == ["train-1", "train-3"]
    assert listed("train[lr=1]") == ["train[lr=1]"], "a name counts before anything else"
    assert listed("sweep-1", "tr*") == listed() == ["train-1", "train-2", "train-3", "train-4", "train[lr=1]"]
    told = call_here("status", "train[lr=0.001]").stdout
    assert [line.split()[:2] for line in told.splitlines()[-2:]] == [["train-3", "error"], ["train-4", "error"]]
    assert call_here("logs", "train[lr=0.1,file=a/b]").stdout == "0.10 a/b\n"
    assert call_here("logs", "train[file=c,d]").stdout == "==> train-2 <==\n0.10 c,d\n\n==> train-4 <==\n1e-3 c,d\n"
    again = call_here("retry", "train[lr=0.001,file=a/b]")
    assert again.stdout.startswith("1 job of sweep-1 to be tried again\n")
    assert call_here("cancel", "train[lr=0.1]").stdout == "0 jobs cancelled; 2 jobs had ended before\n"
    assert call_here("pause", "train[lr=0.1]").stdout == "0 jobs paused; 2 jobs had ended\n"


@tries("they have {}")
@pytest.mark.parametrize(("word", "complaint"), [
    ("trian[lr=1]", "sweep-1: no entry with parameters is called 'trian'; did you mean train?"),
    ("x[lr=1]", "sweep-1: no entry with parameters is called 'x'; they are train"),
    ("train[lrr=1]", "sweep-1: the jobs of train have no parameter 'lrr'; they have lr, file"),
    ("train[lr=2]", "sweep-1: no job of train has lr=2; see: sshjobs status sweep-1 --all"),
])
def test_what_selects_nothing_is_told(word: str, complaint: str, here: Path) -> None:
    for command in ("status", "logs", "retry"):
        told = call_here(command, word)
        assert (told.returncode, told.stderr) == (EXIT_USAGE, f"sshjobs: {complaint}\n")


def test_a_word_of_status_that_names_nothing_is_no_run(here: Path) -> None:
    told = call_here("status", "sweep-2")
    assert told.returncode == EXIT_USAGE and "no run" in told.stderr


def test_max_jobs_bounds_what_a_jobfile_makes(here: Path) -> None:
    assert call_here("run", "--dry-run", "--max-jobs", "5", "sweep.yaml").returncode == EXIT_OK
    told = call_here("run", "--dry-run", "--max-jobs", "4", "sweep.yaml")
    assert (told.returncode, told.stderr) == (
        EXIT_USAGE, "sweep.yaml:5:5: this would make 5 jobs, the limit is 4; lower repeat, or use more runs\n")
    told = call_here("plan", "--max-jobs", "3", "sweep.yaml")
    assert "sweep.yaml:3:13: this would make 4 jobs, the limit is 3; take fewer values, or use more runs\n" in told.stderr
    assert "the limit is 1" in call_here("add", "--max-jobs", "1", "sweep.yaml").stderr
