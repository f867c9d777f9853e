"""Jobs found by the values of their parameters, against a look at each job."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sshjobs.errors import UsageError
from sshjobs.model.selection import Selection, values_wanted
from sshjobs.model.spec import Job, JobSpec
from sshjobs.store import RunReader, parameters
from sshjobs.store.change import Change
from sshjobs.store.index import JobIndex
from tests.hints import tries
from tests.store.helpers import CREATED, finish, launch, make_store


def make_sweep(number: int, rnd: random.Random) -> list[Job]:
    """Return jobs of three entries: few rates, written in several ways, many seeds, some jobs without a seed, and some without any."""
    rates, long = ["0.1", "0.10", "1e-1", "2", "two", "", "0.3"], "x" * 300
    jobs = []
    for n in range(number):
        entry = rnd.choice(["fit", "eval", "plain"])
        params = {"lr": rnd.choice(rates), "tag": rnd.choice([long, long[1:] + "y", "short"])} if entry != "plain" else {}
        if entry == "fit" and rnd.random() < 0.7:
            params["seed"] = str(rnd.randrange(number))
        jobs.append(Job(JobSpec(["true"], name=f"{entry}-{n}", entry=entry, params=params), n))
    return jobs


def index_of(reader: RunReader) -> JobIndex:
    index = JobIndex()
    while not index.follow(reader, 1):
        pass
    return index


@pytest.mark.parametrize("seed", range(4))
def test_jobs_are_found_by_values_however_many_there_are(tmp_path: Path, seed: int) -> None:
    print("seed", seed)
    rnd = random.Random(seed)
    jobs = make_sweep(rnd.choice([50, 900]), rnd)
    store = make_store(tmp_path, jobs)
    with RunReader.open(store.paths) as reader:
        index = index_of(reader)
        for entry in ("", "fit", "eval", "plain", "nobody"):
            for values in ({"lr": "0.1"}, {"lr": ".1", "tag": "short"}, {"lr": ""}, {"lr": "nosuch"}, {"tag": jobs[0].spec.params.get("tag", "x" * 300)},
                           *({"seed": job.spec.params["seed"]} for job in jobs[:9] if "seed" in job.spec.params), {"seed": "-1"}):
                wanted = Selection(entry, values)
                fitting = [job.index + 1 for job in jobs if entry in ("", job.spec.entry_name) and wanted.selects(job.spec.params)]
                assert index.select(params=wanted, limit=1000) == (len(fitting), False, fitting), wanted
                found = index.select(params=wanted, search="fit", states=["free"], sort="name", descending=True, limit=1000)[2]
                assert sorted(found) == [number for number in fitting if "fit" in jobs[number - 1].name]
    store.close(CREATED)


def test_what_shares_a_byte_is_looked_at_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sshjobs.store.index.MOST_FOUND", 20)
    jobs = [Job(JobSpec(["true"], name=f"j-{n}", entry="j", params={"seed": "same" if n % 2 else str(n)}), n) for n in range(1000)]
    store = make_store(tmp_path, jobs)
    with RunReader.open(store.paths) as reader:
        total, more, numbers = index_of(reader).select(params=Selection("", {"seed": "same"}))
        assert more and 0 < total <= 20 and all(number % 2 == 0 for number in numbers)
    store.close(CREATED)


def test_jobs_that_come_later_and_such_as_are_taken_back_count(tmp_path: Path) -> None:
    jobs = [Job(JobSpec(["true"], name=f"j-{n}", entry="j", params={"lr": str(n % 3)}), n) for n in range(9)]
    store = make_store(tmp_path, jobs[:4])
    with RunReader.open(store.paths) as reader:
        index = index_of(reader)
        store.apply(Change(add=jobs[4:]))
        store.apply(Change(withdraw=[jobs[0]], options={"last_number": 9}))
        index.follow(reader)
        assert index.select(params=Selection("j", {"lr": "0"}))[2] == [4, 7]
    store.close(CREATED)


@tries("see: sshjobs status RUN 'ENTRY[{}=VALUE]'")
def test_of_a_run_that_is_too_large_for_all_parameters_the_first_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.cli.here import call_here

    monkeypatch.setattr(parameters, "MOST_BYTES", 25)
    jobs = [Job(JobSpec(["true"], name=f"j-{n}", entry="j", params={"a": str(n), "b": "2", "c": "3"}), n) for n in range(10)]
    store = make_store(tmp_path, jobs)
    with RunReader.open(store.paths) as reader:
        index = index_of(reader)
        assert index.select(params=Selection("", {"a": "7", "b": "2"}))[2] == [8]
        with pytest.raises(UsageError, match=r"by a, b it can; see: sshjobs status RUN 'ENTRY\[c=VALUE\]'"):
            index.select(params=Selection("", {"c": "3"}))
    store.close(CREATED)
    assert "j-9" in call_here("status", store.paths.name, "j[c=3]", "--results", str(tmp_path)).stdout


@tries("write lr=0.1, or train[lr=0.1]")
@pytest.mark.parametrize(("text", "entry", "values"), [
    ("lr=0.1", "", {"lr": "0.1"}), (" lr = 0.1 , seed=3 ", "", {"lr": "0.1", "seed": "3"}), ("train[lr=0.1]", "train", {"lr": "0.1"}),
    ("x=[1,2]", "", {"x": "[1,2]"}), ("x=a,b,y=", "", {"x": "a,b", "y": ""}), ("x=a]", "", {"x": "a]"}),
    ("train [x=[1]]", "train ", {"x": "[1]"}), ("lr", None, {}), ("=3", None, {}), ("train[]", None, {}), ("[lr=1]", None, {}), ("3=x", None, {})])
def test_values_are_asked_for_in_two_ways(text: str, entry: str | None, values: dict[str, str]) -> None:
    if entry is None:
        with pytest.raises(UsageError, match="write lr=0.1, or train"):
            values_wanted(text)
    else:
        assert values_wanted(text) == (entry, values)


@tries("clear the field: this run has none")
@pytest.mark.parametrize(("params", "hint"), [({"seed": "1"}, "did you mean seed"), ({"a": "1", "b": "2"}, "they are a, b"), ({}, "clear the field")])
def test_a_parameter_that_no_job_has_is_told(tmp_path: Path, params: dict[str, str], hint: str) -> None:
    store = make_store(tmp_path, [Job(JobSpec(["true"], name="j", params=params), 0)])
    with RunReader.open(store.paths) as reader:
        with pytest.raises(UsageError, match=hint):
            index_of(reader).select(params=Selection("", {"sed": "1"}))
        assert index_of(reader).select()[2] == [1]
    store.close(CREATED)


def test_jobs_of_an_entry_are_found_by_what_they_share(tmp_path: Path) -> None:
    jobs = [Job(JobSpec(["true"], name="alone"), 0),
            *(Job(JobSpec(["true"], name=f"fit-{n}", entry="fit", params={"lr": str(n % 3), "seed": str(n)}), n) for n in range(1, 700))]
    store = make_store(tmp_path, jobs)
    for job in jobs[:4]:
        launch(store, job)
        finish(store, job)
    store.commit()
    with RunReader.open(store.paths) as reader:
        index = index_of(reader)

        def names(entry: str, params: dict[str, str], most: int = 2) -> list[str]:
            return [job.name for job in index.of_entry(entry, ["free", "busy", "error"], params, most)]

        assert names("fit", {}) == ["fit-4", "fit-5"]
        assert names("fit", {"lr": "1.0", "other": "x"}) == ["fit-4", "fit-7"]
        assert names("fit", {"seed": "77"}) == ["fit-77"] and names("fit", {"seed": "2"}) == []
        assert names("alone", {}) == [] and names("nobody", {}) == []
        assert [job.name for job in index.of_entry("alone", ["done"], {"lr": "1"}, 5)] == ["alone"]
    store.close(CREATED)
