"""The jobfiles in jobfiles/ do what they are there to show: each runs, as it is, on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.here import call_here
from tests.house.source import ROOT

EXAMPLES = sorted(path.name for path in (ROOT / "jobfiles").iterdir() if path.suffix in (".yaml", ".json", ".jsonl"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_all_its_jobs_succeed(name: str, clean_home: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "jobfiles", tmp_path / "jobfiles")
    monkeypatch.chdir(tmp_path)
    told = call_here("run", f"jobfiles/{name}", "-q")
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_commands_in_the_example_of_a_table_are_right(clean_home: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    results = str(tmp_path / "results")
    assert call_here("run", "jobfiles/table.yaml", "-q", "--results", results).returncode == 0
    told = call_here("table", "--results", results, "--where", "loss<0.02 and seed=1", "--format", "csv",
                     "--columns", "rate,seed,loss,steps,model")
    assert told.stdout == "rate,seed,loss,steps,model\n0.2,1,0.01,100,line\n"
    told = call_here("table", "--results", results, "--group-by", "rate", "--agg", "mean,std", "--columns", "loss")
    assert [line.split() for line in told.stdout.splitlines()] == [
        ["rate", "jobs", "loss.mean", "loss.std"], ["0.1", "4", "0.035", "0.0129099"], ["0.2", "4", "0.025", "0.0129099"],
        ["0.3", "4", "0.035", "0.0129099"]]


def test_what_the_example_of_editing_says_is_what_happens(clean_home: Path, tmp_path: Path,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "jobfiles", tmp_path / "jobfiles")
    monkeypatch.chdir(tmp_path)
    file, words = Path("jobfiles/continue.yaml"), Path("jobfiles/words.txt")
    assert call_here("run", str(file), "-q").returncode == 0

    def edited(old: str, new: str) -> list[str]:
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        told = call_here("plan", str(file)).stdout.splitlines()
        file.write_text(text)
        return [line.strip() for line in told if line.startswith("  ")]

    assert edited("0.2]", "0.2, 0.3]") == ["3 new", "1 changed", "7 done"]
    assert edited("timeout: 1m", "timeout: 2m") == edited("name: best", "name: winner") == ["8 done"]
    assert edited("version 1", "version 2") == ["7 changed", "1 done"]
    words.write_text(words.read_text() + "word\n")
    assert edited("", "") == ["1 changed", "7 done"]
    assert call_here("run", str(file), "--continue", "continue-1", "-q").returncode == 0
