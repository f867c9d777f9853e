"""How long a plan is likely to take: by what earlier runs tell of each value of a parameter, where one explains it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.model.spec import JobSpec
from sshjobs.planning.earlier import DONE
from sshjobs.planning.estimate import estimate
from sshjobs.scheduling.naming import jobs_from

SECONDS = {"small": 1.0, "medium": 10.0, "large": 100.0}


def sweep(models: list[str], seeds: int, name: str = "train") -> list[JobSpec]:
    return Builder().AddJob(argv=["x"], name=name, matrix={"seed": list(range(seeds)), "model": models}).MakeJobSpecs()


def earlier(specs: list[JobSpec]) -> Any:
    """A run in which all of these were done."""
    rows = [SimpleNamespace(spec=spec, started=5.0, ended=5.0 + SECONDS[spec.params["model"]], host="a") for spec in specs]
    return SimpleNamespace(reader=SimpleNamespace(works=lambda: iter(rows)), rank=lambda row: DONE)


def told(specs: list[JobSpec], *runs: Any, slots: int | None = None) -> Any:
    return estimate(list(jobs_from(specs, [Host("a")])), runs, slots)


def test_the_parameter_that_explains_durations_is_reckoned_with() -> None:
    run = earlier(sweep([*SECONDS], 20))
    for model, seconds in SECONDS.items():
        assert told(sweep([model], 3), run).work == pytest.approx(3 * seconds, rel=0.05)
    # Its names and their order may be others, and so may be what it runs.
    again = Builder().AddJob("other", name="train", matrix={"model": ["large"], "lr": [1, 2], "seed": [99]}).MakeJobSpecs()
    assert told(again, run).work == pytest.approx(200, rel=0.05)


def test_a_value_that_is_new_counts_as_the_entry_and_so_do_jobs_without_parameters() -> None:
    run = earlier(sweep([*SECONDS], 20))
    entry = told([JobSpec(["x"], name="train")], run).work
    assert 1.0 < entry < 100.0 and told(sweep(["huge"], 1), run).work == entry
    assert told(sweep(["large"], 1, name="other"), run) is None


def test_the_longest_job_bounds_what_many_slots_can_do() -> None:
    found = told(sweep(["small"], 50), earlier(sweep([*SECONDS], 20)), slots=100)
    assert found.seconds == pytest.approx(1.0, rel=0.05) and found.known == 50
