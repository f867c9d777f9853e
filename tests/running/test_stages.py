"""Stages: jobs that wait for others, in real runs on this machine, through resumes, retries and what people ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs import Builder, InputError, JobSpec, Run, UsageError
from sshjobs.errors import EXIT_JOBS_FAILED, EXIT_OK
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.model.states import Outcome
from sshjobs.running.unattended import change
from sshjobs.store import RunReader
from tests.conftest import SshjobsCli
from tests.hints import tries
from tests.lab.waiting import wait_until


@pytest.fixture
def start(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    monkeypatch.chdir(tmp_path)
    return lambda jobs, **options: Run.start(jobs, ["localhost slots=4"], **options)


def outcomes(run: Run) -> dict[str, str | None]:
    return {job.name: job.outcome and str(job.outcome) for job in run.jobs}


def stored(run: Run) -> dict[str, str | None]:
    with RunReader.open(run.paths) as reader:
        return {row.name: row.outcome for row in reader.jobs()}


def reasons(run: Run) -> dict[str, str | None]:
    return {job.name: job.reason for job in run.jobs if job.outcome is Outcome.SKIPPED}


def writes(*names: str) -> Builder:
    """A chain: each job sees what the one before has written."""
    builder = Builder()
    for before, name in zip(("", *names), names, strict=False):
        look = f"test -e {Path.cwd()}/{before}" if before else "true"
        builder.AddJob([look, f"touch {Path.cwd()}/{name}"], name=name, after=[before] if before else [])
    return builder


def test_no_job_starts_before_those_that_it_waits_for_have_succeeded(start: Callable[..., Run]) -> None:
    run = start(writes("a", "b", "c", "d"))
    assert run.wait(60) == EXIT_OK, outcomes(run)


def test_all_repeats_are_waited_for_and_a_job_without_stages_waits_for_nobody(start: Callable[..., Run],
                                                                               tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(f"""
jobs:
- {{name: all, after: part, commands: 'test "$(ls {tmp_path}/parts | wc -l)" = 5'}}
- {{name: part, repeat: 5, commands: 'mkdir -p {tmp_path}/parts; touch {tmp_path}/parts/$SSHJOBS_INDEX'}}
- {{name: other, commands: 'true'}}
""")
    run = start("jobs.yaml")
    assert run.wait(60) == EXIT_OK, outcomes(run)


PAIRS = """
jobs:
- name: first
  matrix: {n: 1..20}
  commands: 'n=${{ n }}; until test $n = 1 || test -e HERE/second-$((n - 1)); do sleep 0.05; done'
- name: second
  matrix: {n: 1..20}
  after: first
  commands: touch HERE/second-${{ n }}
"""


def test_no_pair_of_equal_parameters_waits_for_another(clean_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first half of each pair ends once the second half of the pair before has run: if a second half waited for more
    than its own first half, none would ever run. There is a slot for each job, so none waits for that."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.yaml").write_text(PAIRS.replace("HERE", str(tmp_path)))
    run = Run.start("pairs.yaml", ["localhost slots=40"])
    assert run.wait(60) == EXIT_OK, outcomes(run)
    assert len(list(tmp_path.glob("second-*"))) == 20


def test_what_waits_for_a_job_that_failed_is_skipped_down_the_chain_and_says_so(start: Callable[..., Run]) -> None:
    run = start(Builder().AddJob("exit 3", name="prep").AddJob("true", name="fit", after="prep")
                .AddJob("true", name="plot", after="fit").AddJob("true", name="tidy", after={"prep": {"when": "ended"}}))
    assert run.wait(60) == EXIT_JOBS_FAILED
    assert outcomes(run) == {"prep": "failed", "fit": "skipped", "plot": "skipped", "tidy": "succeeded"}
    assert reasons(run) == {"fit": "prep did not succeed", "plot": "fit did not succeed"}


def test_another_try_of_the_one_that_failed_lets_those_run_that_were_skipped(start: Callable[..., Run],
                                                                              tmp_path: Path) -> None:
    run = start(Builder().AddJob(f"test -e {tmp_path}/mended", name="prep").AddJob("true", name="fit", after="prep")
                .AddJob("true", name="plot", after=["fit"]), name="r")
    assert run.wait(60) == EXIT_JOBS_FAILED
    (tmp_path / "mended").touch()
    assert change(run.paths, {"do": "retry", "jobs": ["plot"]}) == {
        "ok": True, "jobs": [], "refused": [], "blocked": {"plot": "prep"}}
    assert change(run.paths, {"do": "retry", "jobs": ["prep"]})["jobs"] == ["prep", "fit", "plot"]
    assert Run.resume(run.paths).process() == EXIT_OK
    assert set(stored(run).values()) == {"succeeded"}


@tries("{} is not tried again, as {} did not succeed; try that again: sshjobs retry {} {}")
def test_a_job_that_was_skipped_is_tried_again_by_a_retry_of_the_one_that_failed(
        start: Callable[..., Run], tmp_path: Path, sshjobs_cli: SshjobsCli) -> None:
    run = start(Builder().AddJob(f"test -e {tmp_path}/mended", name="prep").AddJob("true", name="fit", after="prep")
                .AddJob("true", name="plot", after=["fit"]), name="r")
    run.wait(60)
    (tmp_path / "mended").touch()
    told = sshjobs_cli("retry", "r", "plot")
    assert (told.returncode, told.stderr) == (
        1, "sshjobs: plot is not tried again, as prep did not succeed; try that again: sshjobs retry r prep\n")
    assert sshjobs_cli("retry", "r", "prep").returncode == EXIT_OK
    assert set(stored(run).values()) == {"succeeded"}


def test_a_live_manager_revives_them_too(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(Builder().AddJob(f"test -e {tmp_path}/mended", name="prep").AddJob("true", name="fit", after="prep"),
                stays_open=True)
    wait_until(lambda: outcomes(run)["fit"] == "skipped")
    (tmp_path / "mended").touch()
    run.request({"do": "retry", "jobs": ["prep"]})
    run.finish()
    assert run.wait(60) == EXIT_OK
    assert outcomes(run) == {"prep": "succeeded", "fit": "succeeded"}


def test_a_cancelled_run_has_no_skipped_jobs_and_a_cancelled_job_skips_those_after_it(start: Callable[..., Run],
                                                                                       tmp_path: Path) -> None:
    chain = Builder().AddJob(f"until test -e {tmp_path}/go; do sleep 0.05; done", name="a").AddJob(
        "true", name="b", after="a").AddJob("true", name="c", after="b")
    run = start(chain)
    run.cancel()
    run.wait(60)
    assert set(outcomes(run).values()) == {"cancelled"} or outcomes(run)["a"] == "signalled"
    assert not reasons(run)
    run = start(chain)
    run.cancel(["b"])
    (tmp_path / "go").touch()
    run.wait(60)
    assert outcomes(run) == {"a": "succeeded", "b": "cancelled", "c": "skipped"}


def test_a_resumed_run_goes_on_with_its_stages(start: Callable[..., Run], tmp_path: Path) -> None:
    gate = f"until test -e {tmp_path}/go; do sleep 0.05; done"
    run = start(Builder().AddJob("true", name="first").AddJob(gate, name="second", after="first")
                .AddJob("true", name="third", after=["first", "second"]), name="r")
    wait_until(lambda: run.jobs[1].state == "busy")
    run.request({"do": "leave"})
    run.wait(60)
    (tmp_path / "go").touch()
    assert Run.resume(run.paths).process() == EXIT_OK
    assert stored(run) == dict.fromkeys(("first", "second", "third"), "succeeded")


def test_jobs_that_are_added_wait_for_entries_that_the_run_has_already(start: Callable[..., Run], tmp_path: Path) -> None:
    gate = f"until test -e {tmp_path}/go; do sleep 0.05; done"
    run = start(Builder().AddJob([gate, f"touch {tmp_path}/done"], name="prep", repeat=2), stays_open=True)
    with pytest.raises(UsageError, match="prpe"):
        run.add([JobSpec("true", name="late", after="prpe")])
    run.add([JobSpec(f"test -e {tmp_path}/done", name="late", after="prep")])
    (tmp_path / "go").touch()
    run.finish()
    assert run.wait(60) == EXIT_OK, outcomes(run)


def test_a_job_that_waits_for_others_may_be_paused_and_goes_on_later(start: Callable[..., Run], tmp_path: Path) -> None:
    run = start(Builder().AddJob(f"until test -e {tmp_path}/go; do sleep 0.05; done", name="a").AddJob(
        "true", name="b", after="a"))
    run.request({"do": "pause", "jobs": ["b"]})
    (tmp_path / "go").touch()
    wait_until(lambda: outcomes(run)["a"] == "succeeded")
    run.request({"do": "unpause", "jobs": ["b"]})
    assert run.wait(60) == EXIT_OK


@pytest.mark.parametrize(("entries", "told"), [
    ("- {name: a, after: b, commands: x}", "2:20: after names 'b', and no entry is called that; write the name of an entry"),
    ("- {name: prep, commands: x}\n- {name: fit, after: [prpe], commands: x}",
     "3:22: after names 'prpe', and no entry is called that; did you mean 'prep'?"),
    ("- {name: a, after: a, commands: x}", "2:20: after makes a circle: a waits for a; leave one of them out"),
    ("- {name: a, after: b, commands: x}\n- {name: b, after: {a: {when: ended}}, commands: x}",
     "2:20: after makes a circle: a waits for b waits for a; leave one of them out"),
    ("- {name: a, commands: x}\n- {name: b, after: {a: {when: done}}, commands: x}",
     "3:31: after a: when cannot be 'done'; use succeeded or ended"),
    ("- {name: a, commands: x}\n- {name: b, after: {a: {which: all}}, commands: x}",
     "3:25: after a has no 'which'; it takes when and jobs"),
    ("- {name: a, commands: x}\n- {name: b, after: 7, commands: x}",
     "3:20: after must be the name of an entry, a list of names, or a mapping of names; write after: prep"),
])
def test_every_mistake_is_told_with_its_place(entries: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        load_jobfile("jobs.yaml", f"jobs:\n{entries}\n".encode())
    assert str(caught.value) == f"jobs.yaml:{told}"


def test_a_program_is_told_before_anything_starts(start: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="fit: after names 'prpe', and no entry is called that"):
        start(Builder().AddJob("true", name="fit", after="prpe"))
    assert not list(tmp_path.glob("results/*"))

