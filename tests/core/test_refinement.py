"""A parameter that explains how long the jobs of an entry take is found, and its long jobs go first."""

from __future__ import annotations

import random

import pytest

from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.template import with_parameters
from sshjobs.scheduling.durations import Durations
from sshjobs.scheduling.lines import Line
from sshjobs.scheduling.naming import jobs_from
from sshjobs.scheduling.refinement import MAX_VALUES, Refinement

MODELS = {"small": 1.0, "medium": 5.0, "large": 30.0}


def swept(values: list[tuple[str | None, ...]], names: tuple[str, ...] = ("seed", "model")) -> list[JobSpec]:
    base = with_parameters(JobSpec(["x"]), names)
    return [base.named(f"x-{n}", 1, one) for n, one in enumerate(values)]


def grid(seeds: int) -> list[JobSpec]:
    return swept([(str(seed), model) for seed in range(seeds) for model in MODELS])


def seconds(spec: JobSpec, rng: random.Random) -> float:
    return MODELS[spec.params["model"]] * rng.uniform(0.8, 1.25)


def test_the_parameter_that_explains_durations_tells_jobs_apart() -> None:
    durations, rng = Durations(), random.Random(5)
    specs = grid(100)
    assert len({durations.kind_of(spec) for spec in specs}) == 1
    for spec in specs[:16]:
        durations.note(spec, "a", seconds(spec, rng))
    kinds = {spec.params["model"]: durations.kind_of(spec) for spec in specs}
    assert len({durations.kind_of(spec) for spec in specs}) == 3 and durations.version == 1
    for model, kind in kinds.items():
        assert durations.of_kind(kind) == pytest.approx(MODELS[model], rel=0.2)
    assert durations.of_kind(specs[0].kind) is not None, "the whole entry is still known"
    (other,) = swept([("1", "huge")])
    assert durations.of_kind(durations.kind_of(other.named("y", 1, ("1", "huge")))) is None


@pytest.mark.parametrize("explained", ["by nothing", "by each alone"])
def test_nothing_is_told_apart_where_no_parameter_explains_it(explained: str) -> None:
    durations, rng = Durations(), random.Random(7)
    specs = swept([(str(seed), "m") for seed in range(200)]) if explained == "by each alone" else grid(70)
    for spec in specs:
        durations.note(spec, "a", rng.choice([1.0, 30.0]))
    assert durations.version == 0 and {durations.kind_of(spec) for spec in specs} == {specs[0].kind}


def test_jobs_that_take_alike_are_of_one_kind_though_a_parameter_explains_the_rest() -> None:
    durations = Durations()
    for n, spec in enumerate(grid(50)):
        durations.note(spec, "a", 10.0 + n % 3)
    assert durations.version == 0


def test_a_parameter_with_many_values_takes_no_room() -> None:
    found = Refinement(2)
    for n in range(1000):
        found.note((str(n), str(n % 4)), 1.0 if n % 4 else 9.0)
        if found.chosen is not None:
            break
    assert found.chosen == 1 and len(dict(found.usual())) == 4
    found = Refinement(1)
    for n in range(10 * MAX_VALUES):
        assert not found.note((str(n),), float(n + 1))
    assert found._by == [None]


def test_long_ones_go_first_once_they_are_known_and_none_is_lost() -> None:
    durations, rng, hosts = Durations(), random.Random(9), [Host("a")]
    line, jobs = Line({"a"}, durations), list(jobs_from(grid(40), hosts))
    for number, job in enumerate(jobs):
        line.add(job, number)
    taken: list[Job] = []
    while line:
        job = line.take("a", spare=lambda: False)
        taken.append(job)
        if len(taken) == 30:
            assert line.remove(jobs[-1]) and not line.remove(jobs[-1])
        durations.note(job.spec, "a", seconds(job.spec, rng))
    assert sorted(job.index for job in taken) == list(range(len(jobs) - 1))
    assert taken[:8] == jobs[:8]
    rest = [job.spec.params["model"] for job in taken[16:]]
    assert rest == sorted(rest, key=lambda model: -MODELS[model])
    assert line.clear() == []
