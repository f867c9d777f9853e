"""Which jobs wait for which others, and what follows from each end."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from sshjobs.model.after import Awaited, Member, mistakes
from sshjobs.model.spec import Job, JobSpec, start_over
from sshjobs.model.states import Outcome, state_for
from sshjobs.scheduling.dependencies import Dependencies, Moved, Standing


class Run:
    """The jobs of a run, and who waits for whom."""

    def __init__(self, *entries: Sequence[JobSpec]):
        self.jobs: dict[str, Job] = {}
        self.dependencies = Dependencies()
        self.add(*entries)

    def awaited(self, entry: str) -> Awaited:
        found = [job for job in self.jobs.values() if job.spec.entry_name == entry]
        return Awaited(found[0].spec.param_names if found else (),
                       [Member(job.name, job.spec.params, job.outcome) for job in found])

    def add(self, *entries: Sequence[JobSpec]) -> None:
        jobs = [Job(spec, len(self.jobs) + n) for n, spec in enumerate(itertools.chain(*entries))]
        self.jobs.update((job.name, job) for job in jobs)
        self.dependencies.join(jobs)
        self.dependencies.follow(jobs, {entry: self.awaited(entry) for job in jobs for entry in job.spec.after})

    def end(self, name: str, outcome: Outcome = Outcome.SUCCEEDED) -> tuple[list[str], list[str]]:
        job = self.jobs[name]
        job.outcome, job.state = outcome, state_for(outcome)
        moved: Moved = self.dependencies.ended(job)
        return [one.name for one in moved.ready], [one.name for one in moved.broken]

    def again(self, name: str) -> list[str]:
        job = self.jobs[name]
        revived = self.dependencies.reopened(job)
        start_over(job)
        return [one.name for one in revived]

    def waiting(self) -> list[str]:
        return [job.name for job in self.jobs.values() if self.dependencies.standing(job).waits]


def entry(name: str, after: Any = (), **params: Sequence[str]) -> list[JobSpec]:
    """The jobs of an entry: one for each combination of values."""
    base = JobSpec("true", name=name, entry=name, after=after, params=dict.fromkeys(params, "0"))
    if not params:
        return [base]
    return [base.named(f"{name}-{'-'.join(values)}", n, values)
            for n, values in enumerate(itertools.product(*params.values()), 1)]


def test_a_job_waits_for_all_jobs_of_an_entry_with_which_it_shares_no_parameter():
    run = Run(entry("prep", x=["1", "2", "3"]), entry("all", "prep"))
    assert run.waiting() == ["all"]
    assert run.end("prep-2") == ([], [])
    assert run.end("prep-1") == ([], [])
    assert run.end("prep-3") == (["all"], [])
    assert run.waiting() == []


def test_a_job_waits_for_those_alone_whose_shared_parameters_are_equal_by_number():
    run = Run(entry("prep", lr=["0.1", "1"], side=["l"]), entry("fit", ["prep"], seed=["7"], lr=["1e-1", "1.0", "2"]))
    assert run.waiting() == ["fit-7-1e-1", "fit-7-1.0"], "for 2 there is nothing to wait for"
    assert run.end("prep-1-l") == (["fit-7-1.0"], [])
    assert run.end("prep-0.1-l") == (["fit-7-1e-1"], [])


def test_jobs_all_is_all_whatever_is_shared():
    run = Run(entry("prep", x=["1", "2"]), entry("fit", {"prep": {"jobs": "all"}}, x=["1"]))
    assert run.end("prep-1") == ([], [])
    assert run.end("prep-2") == (["fit-1"], [])


def test_one_that_does_not_succeed_keeps_its_followers_from_running_unless_any_end_will_do():
    run = Run(entry("prep", x=["1", "2"]), entry("fit", "prep", x=["1", "2"]), entry("tidy", {"prep": {"when": "ended"}}))
    assert run.end("prep-1", Outcome.FAILED) == ([], ["fit-1"])
    assert run.dependencies.standing(run.jobs["fit-1"]) == Standing(True, "prep-1")
    assert run.dependencies.standing(run.jobs["fit-2"]) == Standing(True, None)
    assert run.end("prep-2", Outcome.CANCELLED) == (["tidy"], ["fit-2"])


def test_one_that_waits_for_two_entries_waits_for_both():
    run = Run(entry("one"), entry("two"), entry("both", ["one", "two"]))
    assert run.end("two") == ([], [])
    assert run.end("one") == (["both"], [])


def test_another_try_gives_followers_another_chance():
    run = Run(entry("prep", x=["1", "2"]), entry("all", "prep"), entry("late", "all"))
    run.end("prep-1", Outcome.FAILED)
    run.end("all", Outcome.SKIPPED)
    assert run.end("prep-2", Outcome.FAILED) == ([], ["all"])
    assert run.again("prep-1") == [], "another one still stands in the way"
    assert run.again("prep-2") == ["all"]
    assert run.again("all") == ["late"]
    assert run.end("prep-1") == ([], [])
    assert run.end("prep-2") == (["all"], [])
    assert run.end("all") == (["late"], [])


def test_whoever_waited_for_any_end_is_told_once():
    run = Run(entry("prep"), entry("tidy", {"prep": {"when": "ended"}}))
    assert run.end("prep", Outcome.FAILED) == (["tidy"], [])
    assert run.again("prep") == []
    assert run.end("prep") == ([], [])


def test_jobs_that_come_later_wait_for_what_has_not_ended_by_then():
    run = Run(entry("prep", x=["1", "2"]))
    run.end("prep-1")
    run.add(entry("fit", "prep", x=["1", "2"]), entry("prep2"), entry("all", ["prep", "prep2"]))
    assert run.waiting() == ["fit-2", "all"]
    assert run.end("prep-2") == (["fit-2"], [])
    assert run.end("prep2") == (["all"], [])


def test_jobs_of_an_entry_that_come_later_are_waited_for_too():
    run = Run(entry("prep", x=["1"]), entry("all", "prep"))
    run.add(entry("prep", x=["2"]))
    assert run.end("prep-1") == ([], [])
    assert run.end("prep-2") == (["all"], [])


def test_a_job_that_was_withdrawn_is_waited_for_no_more():
    run = Run(entry("prep", x=["1", "2"]), entry("all", "prep"))
    run.end("prep-1")
    assert [one.name for one in run.dependencies.withdrawn(run.jobs.pop("prep-2"))] == ["all"]


def test_an_entry_without_jobs_is_waited_for_by_nobody():
    assert Run(entry("all", "nobody")).waiting() == []


@pytest.mark.parametrize("seed", range(20))
def test_no_job_is_ever_ready_before_what_it_waits_for_nor_left_waiting(seed):
    """Random stages, ends and further tries, beside a model that looks at everything each time."""
    rng = random.Random(seed)
    names = [f"e{n}" for n in range(6)]
    run = Run()
    for n, name in enumerate(names):
        said = {other: {"when": rng.choice(["succeeded", "ended"]), "jobs": rng.choice(["matching", "all"])}
                for other in names[:n] if rng.random() < 0.5}
        values = {key: [str(v) for v in range(rng.randint(1, 3))] for key in "xyz" if rng.random() < 0.5}
        run.add(entry(name, said, **values))
    jobs = run.jobs

    def awaited(job: Job) -> Iterable[tuple[Job, str]]:
        for other, how in job.spec.after.items():
            shared = set(job.spec.param_names)
            for one in jobs.values():
                if one.spec.entry_name == other and (how["jobs"] == "all" or all(
                        one.spec.params[key] == job.spec.params[key] for key in shared & one.spec.params.keys())):
                    yield one, how["when"]

    ready = {job.name for job in jobs.values() if not run.dependencies.standing(job).waits}
    assert ready == {job.name for job in jobs.values() if not list(awaited(job))}
    tried = dict.fromkeys(jobs, 0)
    while waiting := [name for name in sorted(ready) if jobs[name].outcome is None]:
        name = rng.choice(waiting)
        became, _ = run.end(name, rng.choice([Outcome.SUCCEEDED, Outcome.SUCCEEDED, Outcome.FAILED]))
        for one in became:
            assert all(other.outcome is Outcome.SUCCEEDED or (when == "ended" and (other.outcome or tried[other.name]))
                       for other, when in awaited(jobs[one])), (seed, one)
        ready.update(became)
        failed = [one for one, job in jobs.items() if job.outcome is Outcome.FAILED and tried[one] < 2]
        if failed and rng.random() < 0.5:
            tried[one := rng.choice(failed)] += 1
            run.again(one)
    for name, job in jobs.items():
        if job.outcome is None:
            assert any(other.outcome is not Outcome.SUCCEEDED for other, _ in awaited(job)), (seed, name)


@pytest.mark.parametrize(("waits", "told"), [
    ({"a": ["b"], "b": []}, []),
    ({"a": ["a"]}, [("a", " makes a circle: a waits for a; leave one of them out")]),
    ({"a": ["b"], "b": ["c"], "c": ["a"]}, [("a", " makes a circle: a waits for b waits for c waits for a; leave one of them out")]),
    ({"prep": [], "fit": ["prpe"]}, [("fit", " names 'prpe', and no entry is called that; did you mean 'prep'?")]),
    ({"fit": ["x"]}, [("fit", " names 'x', and no entry is called that; write the name of an entry")]),
])
def test_names_that_nobody_has_and_circles_are_told(waits, told):
    assert [tuple(one) for one in mistakes(waits)] == told


def test_a_chain_as_long_as_a_file_is_no_circle():
    chain = {f"e{n}": [f"e{n + 1}"] for n in range(20_000)} | {"e20000": []}
    assert mistakes(chain) == []
