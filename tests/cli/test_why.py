"""``sshjobs why``, ``status --cause`` and ``retry --cause`` as people meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sshjobs.model.causes import EndCause
from sshjobs.model.states import STATE_ERROR, Outcome
from tests.cli.here import call_here
from tests.cli.runs import edit
from tests.hints import tries


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    return tmp_path


def says(*words: str) -> list[str]:
    told = call_here(*words)
    assert (told.returncode, told.stderr) == (0, ""), told
    return told.stdout.splitlines()


def mixed(results: Path) -> None:
    """Make a run in which two jobs failed for want of a GPU, one by itself; one is done, one runs, one waits."""
    with edit(results, "r", ["gpu-1", "gpu-2", "own", "ok", "run", "late"], attended=True) as run:
        for name in ("gpu-1", "gpu-2"):
            run.failed(name, stderr=b"epoch 1\nRuntimeError: CUDA error: out of memory\n")
        run.failed("own", stderr=b"loss is nan\n")
        run.done("ok")
        run.busy("run")


@tries("for one of them: sshjobs why {} JOB", "  all that it wrote: sshjobs logs {} {}")
def test_what_why_names_tells_more(here: Path) -> None:
    mixed(here / "results")
    assert says("why")[-1] == "for one of them: sshjobs why r JOB"
    assert says("why", "r", "gpu-1")[-1].strip() == "all that it wrote: sshjobs logs r gpu-1"
    assert "epoch 1" in "\n".join(says("logs", "r", "gpu-1", "--stderr"))


@tries("and {} more: sshjobs why {} --all", "{} × {}, whose last words were not read: sshjobs why {} --all")
def test_all_tells_of_what_was_left_out(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed(here / "results")
    with monkeypatch.context() as few:
        few.setattr("sshjobs.views.reasons.MOST_KINDS", 1)
        assert "and 1 kind more: sshjobs why r --all" in says("why")
    with monkeypatch.context() as few:
        few.setattr("sshjobs.diagnosis.groups.MOST_READ", 1)
        assert any(line.endswith("whose last words were not read: sshjobs why r --all") for line in says("why"))
    shown = says("why", "r", "--all")
    assert not any("--all" in line for line in shown) and sum(" × " in line for line in shown) == 2


def test_a_run_is_told_by_kinds_of_failures(here: Path) -> None:
    mixed(here / "results")
    assert says("why") == [
        "r running: 1 done, 3 error, 1 busy, 1 free of 6 jobs",
        "2 × probably GPU error: RuntimeError: CUDA error: out of memory (gpu-1, gpu-2), all on b; the same passed on a: blame b",
        "1 × exit 3: loss is nan (own), on b",
        "for one of them: sshjobs why r JOB"]


def test_all_is_told_of_a_job(here: Path) -> None:
    mixed(here / "results")
    assert says("why", "r", "gpu-1") == [
        "gpu-1 error: probably GPU error",
        "  attempt 1 on b, 1.2 s: probably GPU error: exit 3, and it wrote: RuntimeError: CUDA error: out of memory",
        "      | epoch 1",
        "      | RuntimeError: CUDA error: out of memory",
        "      results/r/jobs/gpu-1/stderr",
        "  different from those that passed: 1 job passed elsewhere, the same on a, none on b",
        "  all that it wrote: sshjobs logs r gpu-1"]
    assert says("why", "late") == ["late waits: no host that it may run on can be used at present: not heard of yet"]
    assert says("why", "ok")[0] == "ok is done"
    assert says("why", "run")[0] == "run runs on a"


def test_documents_have_a_version(here: Path) -> None:
    mixed(here / "results")
    told = json.loads("\n".join(says("why", "--json")))
    assert (told["version"], told["run"], told["state"]) == (1, "r", "running")
    assert [(kind["count"], kind["cause"], kind["proved"], kind["jobs"], kind["hosts"]) for kind in told["kinds"]] == [
        (2, "gpu_error", False, ["gpu-1", "gpu-2"], {"b": 2}), (1, "exit", True, ["own"], {"b": 1})]
    told = json.loads("\n".join(says("why", "r", "own", "late", "--json")))
    assert told["version"] == 1
    own, late = told["jobs"]
    assert (own["cause"], own["attempts"][0]["lines"], own["waits"]) == ("exit", ["loss is nan"], None)
    assert late["waits"]["for"] == "host"


def test_a_run_in_which_nothing_failed_says_so(here: Path) -> None:
    with edit(here / "results", "r", ["a"]) as run:
        run.done("a")
    assert says("why") == ["r done: 1 done of 1 job", "nothing failed"]


def test_whoever_ended_jobs_is_named(here: Path) -> None:
    with edit(here / "results", "r", ["a", "b", "c"]) as run:
        for name, reason in (("a", "cancelled by a person before it was launched"), ("b", "not started: max_failures ended the run"),
                             ("c", "a did not succeed")):
            job = run.jobs[name]
            job.state, job.reason = STATE_ERROR, reason
            job.outcome = Outcome.SKIPPED if name == "c" else Outcome.CANCELLED
            run.store.touch(job)
    assert says("why", "r")[1:4] == ["1 × cancelled: cancelled by a person before it was launched (a)",
                                     "1 × cancelled: not started: max_failures ended the run (b)", "1 × skipped: a did not succeed (c)"]
    assert says("why", "r", "c") == ["c error: skipped: a did not succeed"]


@tries("for the causes: sshjobs why {}")
def test_jobs_are_shown_and_tried_again_by_cause(here: Path) -> None:
    mixed(here / "results")
    listed = says("status", "r", "--cause", "gpu_error")
    assert [line.split()[0] for line in listed if line.startswith(("gpu", "own"))] == ["gpu-1", "gpu-2"]
    assert [job["name"] for job in json.loads("".join(says("status", "r", "--cause", "exit", "--json")))["jobs"]] == ["own"]
    assert json.loads("".join(says("status", "r", "--cause", "timeout", "--json")))["jobs"] == []
    with edit(here / "results", "left", ["x", "y"]) as run:
        run.failed("x", stderr=b"CUDA error: no\n")
        run.failed("y", stderr=b"no\n")
    told = call_here("retry", "left", "--cause", "disk_full")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr == "sshjobs: left: no job ended for disk_full; for the causes: sshjobs why left\n"
    assert says("why", "left")[1].startswith("1 × probably GPU error: ")
    told = call_here("retry", "left", "--cause", "gpu_error", "--failed")
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)


def test_only_jobs_of_the_cause_are_tried_again_and_they_succeed(here: Path) -> None:
    """On a host whose GPU is there again by then."""
    needs_gpu = 'test -e "$FLAG" || { echo "RuntimeError: CUDA error: no CUDA-capable device is detected" >&2; exit 1; }'
    Path("jobs.yaml").write_text(json.dumps({"defaults": {"env": {"FLAG": str(here / "mended")}}, "jobs": [
        {"name": "train", "repeat": 2, "commands": needs_gpu}, {"name": "own", "commands": "exit 3"}, {"name": "ok", "commands": "true"}]}))
    assert call_here("run", "jobs.yaml", "--name", "r", "-q").returncode == 1
    (here / "mended").touch()
    # One of the names fits, and the cause does not.
    assert call_here("retry", "r", "own", "--cause", "gpu_error").returncode == 2
    told = call_here("retry", "r", "--cause", "gpu_error")
    assert told.returncode == 1, "the run has a failure still"
    assert told.stdout.startswith("2 jobs of r to be tried again\n")
    jobs = {job["name"]: [one["outcome"] for one in job["attempts"]] for job in json.loads(call_here("status", "r", "--json").stdout)["jobs"]}
    assert jobs == {"train-1": ["failed", "succeeded"], "train-2": ["failed", "succeeded"], "own": ["failed"], "ok": ["succeeded"]}
    assert call_here("retry", "r", "own", "--cause", "exit", "--cause", "gpu_error").stdout.startswith("1 job of r to be tried again\n")


@pytest.mark.parametrize("words", [("status", "--cause", "fate"), ("retry", "--cause", "")])
def test_a_cause_that_is_none_is_told(here: Path, words: tuple[str, ...]) -> None:
    mixed(here / "results")
    told = call_here(*words)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert EndCause.GPU_ERROR.value in told.stderr


@pytest.mark.parametrize("words", [("no-such-run",), ("r", "no-such-job"), ("r", "x*")])
def test_what_is_not_there_is_told_in_a_line(here: Path, words: tuple[str, ...]) -> None:
    mixed(here / "results")
    told = call_here("why", *words)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)


def test_nothing_of_a_job_reaches_the_terminal_but_text(here: Path) -> None:
    with edit(here / "results", "r", ["a\u202eb"]) as run:
        run.failed("a\u202eb", stderr=b"\x1b]0;x\x07 \x1b[2J\x9b31m CUDA error: \xe2\x80\xae \xff\n")
    for words in (("why",), ("why", "r", "a\u202eb"), ("status", "--cause", "gpu_error")):
        for line in says(*words):
            assert line.isprintable(), (words, line)
    assert call_here("why", "--json").stdout.isascii()
