"""RUN and JOB: which word is which, and what is said when that cannot be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sshjobs.cli.words import handle, run_and_job, run_and_jobs
from sshjobs.errors import EXIT_USAGE, RunNotFoundError, UsageError
from sshjobs.store import RunReader
from sshjobs.store.named import need_job
from tests.cli.runs import make_run
from tests.conftest import SshjobsCli


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An older run ``sweep-1`` and the newest, ``other``, which has a job of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSHJOBS_RESULTS", raising=False)
    make_run(Path("results"), "sweep-1", ["sim-1", "sim-2"])
    make_run(Path("results"), "other", ["sim-9", "sweep-1"])
    return Path("results")


def test_without_a_run_the_newest_is_meant(results: Path) -> None:
    paths, names = run_and_jobs(results, ["sim-9", "sweep-1"])
    assert (paths.name, names) == ("other", ["sim-9", "sweep-1"])
    assert run_and_jobs(results, [])[0].name == "other"


def test_a_path_is_always_a_run(results: Path) -> None:
    paths, names = run_and_jobs(results, ["results/sweep-1", "sim-1"])
    assert (paths.name, names) == ("sweep-1", ["sim-1"])


def test_a_word_that_is_a_run_and_a_job_is_refused_with_both_named(results: Path) -> None:
    for words in (["sweep-1"], ["sweep-1", "sim-1"]):
        with pytest.raises(UsageError) as caught:
            run_and_jobs(results, words)
        assert str(caught.value) == (
            "'sweep-1' is a run and also a job: the run results/sweep-1 and the job sweep-1 of run other; "
            "for the run write results/sweep-1, for the job results/other sweep-1")
        assert caught.value.exit_code == EXIT_USAGE


def test_two_words_of_logs_are_a_run_and_a_job_beyond_doubt(results: Path) -> None:
    paths, name = run_and_job(results, ["sweep-1", "sim-1"])
    assert (paths.name, name) == ("sweep-1", "sim-1")


def test_logs_wants_one_job(results: Path) -> None:
    with pytest.raises(UsageError, match="other is a run, and no job of it was named; write: sshjobs logs other JOB"):
        run_and_job(results, ["other"])
    with pytest.raises(RunNotFoundError, match="there is no run othre; did you mean other"):
        run_and_job(results, ["othre", "sim-9"])
    with pytest.raises(UsageError, match="one job at a time, please: got sim-1, sim-2"):
        run_and_job(results, ["results/sweep-1", "sim-1", "sim-2"])


def test_a_wrong_job_is_told_with_those_that_are_near(results: Path) -> None:
    with RunReader.open(run_and_jobs(results, ["other"])[0]) as reader:
        assert need_job(reader, "sim-9").name == "sim-9"
        with pytest.raises(UsageError, match="other: no job is called 'simm-9'; did you mean sim-9"):
            need_job(reader, "simm-9")
        with pytest.raises(UsageError, match="see: sshjobs status other"):
            need_job(reader, "zzz")


def test_the_handle_of_a_run_leads_to_it_from_here(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = run_and_jobs(results, ["other"])[0]
    assert handle(paths) == "other"
    elsewhere = make_run(Path("elsewhere"), "far")
    assert handle(elsewhere) == "elsewhere/far"
    monkeypatch.setenv("SSHJOBS_RESULTS", "elsewhere")
    assert (handle(elsewhere), handle(paths)) == ("far", "results/other")
    monkeypatch.chdir("results")
    assert handle(paths).endswith("/other")


def test_without_any_run_that_is_said(sshjobs_cli: SshjobsCli) -> None:
    for arguments in (["status"], ["logs", "x"], ["cancel", "x"], ["resume"]):
        told = sshjobs_cli(*arguments)
        assert told.returncode == EXIT_USAGE
        assert told.stderr.startswith("sshjobs: results: there is no run yet; start one with `sshjobs run`")


def test_results_may_be_named_by_option_or_environment(sshjobs_cli: SshjobsCli, tmp_path: Path) -> None:
    make_run(tmp_path / "there", "r")
    assert sshjobs_cli("status", "--results", "there").stdout.startswith("r interrupted")
    assert sshjobs_cli("status", env={"SSHJOBS_RESULTS": "there"}).stdout.startswith("r interrupted")
