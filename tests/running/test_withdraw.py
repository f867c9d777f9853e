"""A wrong add is undone: jobs that never started leave the run as if they had never been in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from sshjobs.errors import EXIT_OK, UsageError
from sshjobs.model.spec import JobSpec
from sshjobs.model.states import STATE_ERROR, Outcome
from sshjobs.running import requests
from sshjobs.running.unattended import change
from sshjobs.simulation import Program
from sshjobs.store import RunReader
from sshjobs.store.rundir import RunPaths
from tests.cli.runs import edit
from tests.sim.play import Play
from tests.store.helpers import launch

SPEC = JobSpec(["true"], name="wrong").as_dict()


def finished(results: Path, *, failed: bool = False) -> RunPaths:
    """A run that is over."""
    with edit(results, "r", ["good", "bad"]) as run:
        run.done("good")
        (run.failed if failed else run.done)("bad")
        run.store.set_run_state("failed" if failed else "done")
    return run.paths


def known(paths: RunPaths) -> tuple[object, ...]:
    with RunReader.open(paths) as reader:
        assert list(reader.contradictions()) == []
        summary = reader.summary()
        return summary.state, summary.counts, summary.outcomes, [row.name for row in reader.jobs()]


@pytest.mark.parametrize("cancelled", [False, True], ids=["waiting", "cancelled"])
@pytest.mark.parametrize("failed", [False, True], ids=["done", "failed"])
def test_a_run_is_as_it_was_before_a_wrong_add(tmp_path: Path, failed: bool, cancelled: bool) -> None:
    paths = finished(tmp_path, failed=failed)
    before = known(paths)
    names = change(paths, {"do": "add", "specs": [SPEC, SPEC]})["jobs"]
    if cancelled:
        change(paths, {"do": "cancel", "jobs": None})
        assert known(paths)[0] == ("failed" if failed else "cancelled")
    assert change(paths, {"do": "withdraw", "jobs": names})["jobs"] == ["wrong", "wrong-2"]
    assert known(paths) == before


def test_a_name_is_free_again_and_a_number_is_not(tmp_path: Path) -> None:
    paths = finished(tmp_path)
    change(paths, {"do": "add", "specs": [SPEC]})
    change(paths, {"do": "withdraw", "jobs": ["wrong"]})
    assert change(paths, {"do": "add", "specs": [SPEC]})["jobs"] == ["wrong"]
    with RunReader.open(paths) as reader:
        row = reader.job("wrong")
    # Hosts may remember an attempt of the first.
    assert row is not None and row.number == 4


def test_a_name_is_not_free_where_there_are_files_of_it(tmp_path: Path) -> None:
    paths = finished(tmp_path)
    change(paths, {"do": "add", "specs": [SPEC]})
    # As an attempt leaves them that was launched and taken back.
    (paths.job("wrong") / "attempt-1").mkdir(parents=True)
    change(paths, {"do": "withdraw", "jobs": ["wrong"]})
    assert change(paths, {"do": "add", "specs": [SPEC]})["jobs"] == ["wrong-2"]


def test_what_has_started_or_may_have_stays(tmp_path: Path) -> None:
    with edit(tmp_path, "r", ["done", "runs", "waits", "never"]) as run:
        run.done("done")
        run.busy("runs")
        never = run.jobs["never"]
        launch(run.store, never)
        attempt = never.attempts[-1]
        attempt.state = never.state = STATE_ERROR
        attempt.outcome = never.outcome = Outcome.NEVER_STARTED
    for names, why in ((["waits", "done"], "done: it has started, so it stays in the run"),
                       (["waits", "runs"], "runs: it is on its way to a host, or runs there; first: sshjobs cancel r runs"),
                       (["waits", "nosuch"], "r: no job is called 'nosuch'")):
        with pytest.raises(UsageError, match=why):
            change(run.paths, {"do": "withdraw", "jobs": names})
    assert known(run.paths)[-1] == ["done", "runs", "waits", "never"], "nothing of what was refused was done"
    change(run.paths, {"do": "withdraw", "jobs": ["waits", "never"]})
    assert known(run.paths)[-1] == ["done", "runs"]


def test_a_run_under_way_goes_on_without_them() -> None:
    with Play("withdraw", hosts=1, slots=1) as play:
        numbers = iter(range(100))
        play.spec = lambda: JobSpec(argv=["x"], name=f"j{next(numbers)}")  # type: ignore[method-assign]
        play.world.program_of = lambda launch: Program(1.0)
        play.begin(5)
        play.advance(2.5)
        manager = play.manager
        assert manager is not None
        events: list[Any] = []
        manager.handle_act = events.append  # type: ignore[method-assign, assignment]
        waiting = [job.name for job in manager.jobs.InState("free")]
        assert waiting
        requests.carry_out({"do": "withdraw", "jobs": waiting}, requests.Target.of(manager))
        (event,) = events
        assert (event["event"], event["jobs"]) == ("withdrawn", len(waiting))
        play.finish()
        with RunReader.open(play.paths) as reader:
            summary = reader.summary()
            assert [row.name for row in reader.jobs()] == [f"j{n}" for n in range(5 - len(waiting))]
        assert (summary.state, summary.counts["done"]) == ("done", 5 - len(waiting))


def test_the_command_says_what_became_of_the_run(sshjobs_cli: Callable[..., CompletedProcess[str]],
                                                 tmp_path: Path) -> None:
    (tmp_path / "j.yaml").write_text("jobs: [{name: x, commands: 'true'}]")
    assert sshjobs_cli("run", "j.yaml", "--name", "r", "-q").returncode == EXIT_OK
    sshjobs_cli("add", "r", "j.yaml")
    told = sshjobs_cli("withdraw", "r", "x-2")
    assert (told.returncode, told.stdout, told.stderr) == (EXIT_OK, "1 job withdrawn; r is done\n", "")
    assert [job["name"] for job in json.loads(sshjobs_cli("status", "r", "--json").stdout)["jobs"]] == ["x"]
