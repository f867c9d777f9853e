"""What of a jobfile is new, changed, done or failed: exactly what a comparison of identities as multisets says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from sshjobs.errors import SshjobsError
from sshjobs.inputs.builder import Builder
from sshjobs.model.host import Host
from sshjobs.model.spec import Job, JobSpec
from sshjobs.model.states import Outcome
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.differences import differences
from sshjobs.store.rundir import RunPaths
from tests.planning.did import did, planned, specs_of


def told(specs: list[JobSpec], *runs: RunPaths) -> dict[str, str]:
    """Return what has changed about the jobs that have, by their names."""
    found, standings = planned(specs, *runs)
    return {job.name: "; ".join(differences(found, place, Staging())) for place, job in enumerate(found.jobs)
            if standings[job.name] == "changed"}


def test_each_kind_of_edit_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    before: list[dict[str, Any]] = [
              {"commands": ["a", "b"], "name": "lines"}, {"argv": ["a", "b"], "name": "words"},
              {"commands": "a", "name": "env", "env": {"A": "1", "B": "1"}}, {"commands": "cat", "name": "input",
              "files": ["data"]}, {"commands": "same", "name": "same", "timeout": 5},
              {"commands": "old", "name": "gone"}, {"commands": "late", "name": "late", "after": "lines"}]
    run, ran = did(tmp_path / "results", specs_of(tmp_path, *before), "r-1")
    assert len(ran) == 7
    (tmp_path / "data").write_text("2")
    after: list[dict[str, Any]] = [
             {"commands": ["a", "c"], "name": "lines"}, {"argv": ["a", "b", "c"], "name": "words"},
             {"commands": "a", "name": "env", "env": {"B": "2", "C": "1"}}, {"commands": "cat", "name": "input",
             "files": ["data"]}, {"commands": "same", "name": "renamed", "timeout": 9, "priority": 1},
             {"commands": "new", "name": "new"}, {"commands": "late", "name": "late", "after": "lines"}]
    specs = specs_of(tmp_path, *after)
    found, standings = planned(specs, run)
    assert standings == {"lines": "changed", "words": "changed", "env": "changed", "input": "changed",
                         "renamed": "done", "new": "new", "late": "changed"}
    assert [source.name for source in found.orphans] == ["gone"]
    assert told(specs, run) == {
        "lines": "line 2: b → c", "words": "argument 3: nothing → c",
        "env": "env.B 1 → 2; env.C nothing → 1; env.A 1 → nothing", "input": "data has another content",
        "late": "what it waits for is new or has changed: lines"}


def test_of_a_job_that_was_never_launched_it_is_not_said_that_it_has_read_anything(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    specs = specs_of(tmp_path, {"commands": "cat", "name": "a", "files": ["data"]})
    run, ran = did(tmp_path / "results", specs, "r-1", end=lambda job: None)
    assert not ran and told(specs, run) == {"a": "it was not launched then, so what it was to read is not known"}


def test_parameters_are_told_and_found_again_where_names_move(tmp_path: Path) -> None:
    def sweep(*rates: str) -> list[JobSpec]:
        return [JobSpec("fit", name=f"fit-{n}", entry="fit", params={"lr": rate}, base_dir=tmp_path)
                for n, rate in enumerate(rates, 1)]

    run, _ = did(tmp_path / "results", sweep("0.1", "0.3"), "r-1")
    found, standings = planned(sweep("0.1", "0.2", "0.3"), run)
    assert standings == {"fit-1": "done", "fit-2": "new", "fit-3": "done"} and not found.orphans
    assert told(sweep("0.2", "0.3"), run) == {"fit-1": "lr 0.1 → 0.2"}


def matrix(base: Path, text: str) -> list[JobSpec]:
    (base / "sweep.yaml").write_text(text)
    return Builder().AddJobFile(base / "sweep.yaml").MakeJobSpecs()


def test_an_edited_matrix_says_which_value_has_changed(tmp_path: Path) -> None:
    file = """
      jobs:
        - name: fit
          matrix: {lr: [0.1, 0.3], seed: 1..2}
          repeat: 2
          argv: [fit, "${{ lr }}"]
          env: {SEED: "${{ seed }}"}
          files: ["in-${{ lr }}"]
        - name: sum
          matrix: {lr: [0.1, 0.3]}
          after: fit
          commands: ["echo ${{ lr }}"]
      """
    for rate in ("0.1", "0.2", "0.3"):
        (tmp_path / f"in-{rate}").write_text(rate)
    run, ran = did(tmp_path / "results", matrix(tmp_path, file), "r-1")
    assert len(ran) == 10
    # A value more moves the names of those behind it, and is all that is new.
    found, standings = planned(matrix(tmp_path, file.replace("0.1, 0.3", "0.1, 0.2, 0.3")), run)
    new = {job.spec.params["lr"] for job in found.jobs if standings[job.name] == "new"}
    assert new == {"0.2"} and Counter(standings.values()) == {"new": 5, "done": 10} and not found.orphans
    # Another value in its place is a change of the jobs that had it.
    changed = told(matrix(tmp_path, file.replace("0.1, 0.3", "0.2, 0.3")), run)
    assert Counter(changed.values()) == {"lr 0.1 → 0.2": 5}
    # An input of some of them: these, and those that follow them.
    (tmp_path / "in-0.3").write_text("other")
    assert Counter(told(matrix(tmp_path, file), run).values()) == {
        "in-0.3 has another content": 4, "what it waits for is new or has changed: fit": 1}


def test_what_stands_in_the_file_counts_as_what_is_run(tmp_path: Path) -> None:
    file = "jobs: [{name: a, matrix: {lr: [1]}, argv: [fit, '${{ lr }}'], env: {A: '${{ lr }}'}}]"
    run, _ = did(tmp_path / "results", matrix(tmp_path, file), "r-1")
    assert planned(matrix(tmp_path, file.replace("${{ lr }}", "1")), run)[1] == {"a-1": "done"}


def test_what_failed_or_never_ran_is_to_run_again(tmp_path: Path) -> None:
    ends = {"bad": Outcome.FAILED, "free": None}
    specs = specs_of(tmp_path, *({"commands": name, "name": name} for name in ("good", "bad", "free")),
                     {"commands": "after", "name": "after", "after": "bad"})
    run, _ = did(tmp_path / "results", specs, "r-1", end=lambda job: ends.get(job.name, Outcome.SUCCEEDED))
    _, standings = planned(specs, run)
    assert standings == {"good": "done", "bad": "failed", "free": "waiting", "after": "failed"}
    _, ran = did(tmp_path / "results", specs, "r-2", earlier=[run])
    assert ran == ["bad", "free", "after"]


def test_what_follows_a_job_that_runs_again_runs_again(tmp_path: Path) -> None:
    specs = specs_of(tmp_path, {"commands": "fit", "name": "fit"},
                     {"commands": "tidy", "name": "tidy", "after": {"fit": {"when": "ended"}}},
                     {"commands": "last", "name": "last", "after": {"tidy": {"when": "ended"}}})
    run, ran = did(tmp_path / "results", specs, "r-1",
                   end=lambda job: Outcome.FAILED if job.name == "fit" else Outcome.SUCCEEDED)
    assert ran == ["fit", "tidy", "last"]
    assert told(specs, run) == {"tidy": "it waits for fit, which is to run", "last": "it waits for tidy, which is to run"}
    _, ran = did(tmp_path / "results", specs, "r-2", earlier=[run])
    assert ran == ["fit", "tidy", "last"]


def test_of_equal_jobs_as_many_are_done_as_were(tmp_path: Path) -> None:
    def equal(*names: str) -> list[JobSpec]:
        return [JobSpec("same", name=name, base_dir=tmp_path) for name in names]

    run, _ = did(tmp_path / "results", equal("a", "b"), "r-1")
    assert planned(equal("x", "b", "y"), run)[1] == {"x": "done", "b": "done", "y": "new"}
    found, standings = planned(equal("b"), run)
    assert standings == {"b": "done"} and [source.name for source in found.orphans] == ["a"]
    # What is carried over is the work of the run that it came from, and not done twice.
    again, ran = did(tmp_path / "results", equal("b"), "r-2", earlier=[run])
    assert ran == []
    assert Counter(planned(equal("a", "b", "c"), run, again)[1].values()) == {"done": 2, "new": 1}


def test_each_host_has_its_own_job(tmp_path: Path) -> None:
    specs = specs_of(tmp_path, {"commands": "clean", "name": "clean", "per_host": True})
    run, _ = did(tmp_path / "results", specs, "r-1")
    _, standings = planned(specs, run, hosts=[Host("c"), Host("b"), Host("a")])
    assert standings == {"clean@c": "new", "clean@b": "done", "clean@a": "done"}


def test_the_newest_of_several_runs_counts_and_older_ones_fill_the_gaps(tmp_path: Path) -> None:
    first = specs_of(tmp_path, {"commands": "a", "name": "a"}, {"commands": "b", "name": "b"})
    second = specs_of(tmp_path, {"commands": "a2", "name": "a"}, {"commands": "c", "name": "c"})
    one, _ = did(tmp_path / "results", first, "r-1")
    two, _ = did(tmp_path / "results", second, "r-2")
    both = specs_of(tmp_path, {"commands": "a", "name": "a"}, {"commands": "b", "name": "b"},
                    {"commands": "c", "name": "c"}, {"commands": "d", "name": "d"})
    found, standings = planned(both, one, two)
    assert standings == {"a": "done", "b": "done", "c": "done", "d": "new"}
    assert [found.runs[source.run].name for _, source in sorted(found.sources.items())] == ["r-1", "r-1", "r-2"]
    assert [source.name for source in found.orphans] == ["a"]
    assert planned(second, one, two)[1] == {"a": "done", "c": "done"}


def test_output_that_is_not_whole_counts_for_nothing(tmp_path: Path) -> None:
    specs = specs_of(tmp_path, *({"commands": name, "name": name} for name in ("cut", "gone", "link", "fine")))
    run, _ = did(tmp_path / "results", specs, "r-1")
    run.stdout("cut").write_text("")
    run.stderr("gone").unlink()
    run.stdout("link").unlink()
    run.stdout("link").symlink_to("/etc/passwd")
    found, standings = planned(specs, run)
    assert standings == {"cut": "changed", "gone": "changed", "link": "changed", "fine": "done"}
    assert found.broken == {0: 3}
    assert set(told(specs, run).values()) == {"its output is not there any more as it came from its host"}


def test_inputs_that_cannot_be_read_here_are_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("1")
    specs = specs_of(tmp_path, {"commands": "cat", "name": "cat", "files": ["data"]})
    run, _ = did(tmp_path / "results", specs, "r-1")
    (tmp_path / "data").unlink()
    with pytest.raises(SshjobsError, match="a file of the job cannot be read.*; see to it, then try again"):
        planned(specs, run)


# -- any jobfile, any edit -----------------------------------------------------------------------------------------

class Model:
    """A random jobfile: its entries, and the content of the input files, said as plainly as can be."""

    def __init__(self, rng: random.Random):
        self._rng, self._next = rng, 0
        self.files = {f"in-{n}": "0" for n in range(3)}
        self.entries: list[dict[str, Any]] = []
        for _ in range(rng.randint(2, 7)):
            self.add()

    def add(self) -> None:
        rng, name = self._rng, f"e{self._next}"
        self._next += 1
        entry: dict[str, Any] = {"name": name, "commands": [f"run {name}", "x"], "repeat": rng.choice([1, 1, 2, 3])}
        if rng.random() < 0.4:
            entry["files"] = [rng.choice(list(self.files))]
        if rng.random() < 0.3:
            entry["env"] = {"A": str(rng.randint(0, 9))}
        if self.entries and rng.random() < 0.5:
            entry["after"] = sorted({rng.choice(self.entries)["name"] for _ in range(2)})
        self.entries.append(entry)

    def edit(self) -> None:
        rng = self._rng
        entry = rng.choice(self.entries)
        match rng.randrange(7):
            case 0:
                self.add()
            case 1:
                entry["commands"] = [*entry["commands"][:1], rng.choice("xyz")]
            case 2:
                self.files[rng.choice(list(self.files))] = rng.choice("01")
            case 3:
                entry["repeat"] = rng.randint(1, 4)
            case 4:
                entry["timeout"] = rng.randint(1, 99)
            case 5:
                followed = {one for other in self.entries for one in other.get("after", ())}
                if entry["name"] not in followed and len(self.entries) > 1:
                    self.entries.remove(entry)
            case 6:
                # Work that stands in the file once more, under another name.
                self.entries.append({**entry, "name": f"{entry['name']}-copy{self._next}"})
                self._next += 1

    def specs(self, base: Path) -> list[JobSpec]:
        for name, content in self.files.items():
            (base / name).write_text(content)
        return specs_of(base, *self.entries)

    def identities(self) -> dict[str, Hashable]:
        """Return what each job is, as one would say it on paper."""
        found: dict[str, dict[str, Hashable]] = {}

        def of(name: str) -> dict[str, Hashable]:
            if name not in found:
                entry = next(one for one in self.entries if one["name"] == name)
                followed = Counter(one for awaited in entry.get("after", ()) for one in of(awaited).values())
                names = [name] if entry["repeat"] == 1 else [f"{name}-{n}" for n in range(1, entry["repeat"] + 1)]
                found[name] = {job: (
                    tuple(entry["commands"]), index, tuple(entry.get("env", {}).items()),
                    tuple((file, self.files[file]) for file in entry.get("files", ())), frozenset(followed.items()))
                    for index, job in enumerate(names, 1)}
            return found[name]

        return {job: one for entry in self.entries for job, one in of(entry["name"]).items()}


@pytest.mark.parametrize("seed", range(40))
def test_what_runs_is_what_the_file_asks_for_beyond_what_was_done(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    model, done, runs = Model(rng), Counter[Hashable](), list[RunPaths]()
    for number in range(4):
        specs = model.specs(tmp_path)
        if not specs:
            return
        wanted = model.identities()
        fails = set(rng.sample([spec.name for spec in specs], len(specs) // 4))
        _, standings = planned(specs, *runs)
        to_run = {name for name, standing in standings.items() if standing != "done"}
        assert Counter(wanted[name] for name in to_run) == Counter(wanted.values()) - done, (seed, number)

        def end(job: Job, fails: set[str | None] = fails) -> Outcome:
            return Outcome.FAILED if job.name in fails else Outcome.SUCCEEDED

        run, ran = did(tmp_path / "results", specs, f"r-{number}", earlier=runs, end=end)
        assert len(ran) == len(set(ran)) and set(ran) <= to_run, (seed, number)
        succeeded = [name for name in ran if name not in fails]
        if rng.random() < 0.5:
            runs, done = [*runs, run], done + Counter(wanted[name] for name in succeeded)
        else:
            # A run that continues others has all that they did for it, and needs none of them.
            runs, done = [run], Counter(wanted[name] for name in {*wanted} - to_run | {*succeeded})
        for _ in range(rng.randint(0, 3)):
            model.edit()
