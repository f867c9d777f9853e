"""What a job is: which of its keys count, and that the table of the documentation says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sshjobs.model.keys import KEYS
from sshjobs.model.spec import JobSpec
from sshjobs.network.staging.inputs import Staging
from sshjobs.planning.identity import AS_WRITTEN, BY_CONTENT, BY_HOST, BY_JOBS, Identities, Work, reads
from tests.core.test_keys import another

PAGE = Path(__file__).parents[2] / "docs" / "continue.md"


def identity(spec: JobSpec, *others: JobSpec, only_host: str | None = None) -> bytes | None:
    """Return the identity of a spec among others."""
    def work(one: JobSpec) -> Work:
        inputs = Staging().manifest(one).inputs if reads(one) else None
        return Work(one, only_host, "" if inputs is None else inputs.digest)

    works = [work(spec), *map(work, others)]
    return Identities(lambda: works).identity(works[0])


def test_how_a_key_counts_is_said_of_each_that_does() -> None:
    counts = {name for name, key in KEYS.items() if key.identity}
    assert counts == {*AS_WRITTEN, *BY_CONTENT, *BY_JOBS, *BY_HOST}
    assert len(AS_WRITTEN) + len(BY_CONTENT) + len(BY_JOBS) + len(BY_HOST) == len(counts)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_counts_exactly_where_its_entry_says_so(name: str, tmp_path: Path) -> None:
    for path in ("some", "one", "two"):
        (tmp_path / path).touch()
    given: dict[str, Any] = {name: another(KEYS[name])}
    prep = JobSpec("prep", name="prep")
    plain, other = JobSpec("x", base_dir=tmp_path), JobSpec("x", base_dir=tmp_path, **given)
    host = "a" if name == "per_host" else None
    assert (identity(plain, prep) != identity(other, prep, only_host=host)) == KEYS[name].identity


def test_the_page_has_a_row_for_every_key_that_counts_and_one_for_the_others() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (yes|no)\b", PAGE.read_text(), re.MULTILINE))
    assert "| each other key | no |" in PAGE.read_text()
    assert {name: rows.get(name, "no") for name in KEYS} == {name: "yes" if key.identity else "no"
                                                             for name, key in KEYS.items()}


def test_the_text_counts_and_the_name_does_not() -> None:
    assert identity(JobSpec("a", name="x")) == identity(JobSpec("a", name="y"))
    assert len({identity(spec) for spec in (
        JobSpec("a"), JobSpec("b"), JobSpec(argv=["a"]), JobSpec(["a", ""]), JobSpec("a", index=2),
        JobSpec("a", params={"lr": "1"}), JobSpec("a", params={"lr": "1.0"}), JobSpec("a", params={"rl": "1"}))}) == 8
    assert identity(JobSpec("a", params={"a": "1", "b": "2"})) == identity(JobSpec("a", params={"b": "2", "a": "1"}))
    assert identity(JobSpec("a", env={"A": "1", "B": "2"})) == identity(JobSpec("a", env={"B": "2", "A": "1"}))


def test_inputs_count_by_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file, used = tmp_path / "data" / "x", tmp_path / "used"
    file.write_text("1")
    used.write_text("1")
    spec = JobSpec("a", files=["data"], base_dir=tmp_path, uses=[{"path": "used"}, {"text": "v1"}])
    seen = [identity(spec)]
    file.touch()
    assert identity(spec) == seen[0], "a new time alone is no new content"
    for change in (lambda: file.write_text("2"), lambda: file.chmod(0o755), lambda: used.write_text("2"),
                   lambda: (tmp_path / "data" / "y").mkdir(), lambda: (tmp_path / "data" / "z").symlink_to("x")):
        change()
        seen.append(identity(spec))
    assert len(set(seen)) == len(seen) and None not in seen
    used.unlink()
    assert Staging().manifest(spec).inputs is None, "what is not sent does not stop a launch"


def test_a_job_counts_as_another_when_what_it_waits_for_does() -> None:
    def fit(after: Any, **params: str) -> JobSpec:
        return JobSpec("fit", name="fit", after=after, params=params)

    def prep(text: str, name: str = "prep", **params: str) -> JobSpec:
        return JobSpec(text, name=name, entry=name.partition("-")[0], params=params)

    one, two = prep("a", "prep-1", lr="1"), prep("a", "prep-2", lr="2")
    other = prep("b", "prep-2", lr="2")
    assert identity(fit("prep"), one, two) == identity(fit("prep"), two, one)
    assert identity(fit("prep"), one, two) != identity(fit("prep"), one, other)
    assert identity(fit("prep"), one, two) != identity(fit("prep"), one, two, two)
    assert identity(fit("prep", lr="1"), one, two) == identity(fit("prep", lr="1"), one, other), "only those selected"
    everything = {"prep": {"jobs": "all"}}
    assert identity(fit(everything, lr="1"), one, two) != identity(fit(everything, lr="1"), one, other)
    chain = [JobSpec(str(n), name=f"e{n}", after=[f"e{n + 1}"] if n < 3000 else []) for n in range(3001)]
    assert identity(*chain) != identity(*chain[:-1], JobSpec("changed", name="e3000")), "along a chain of any length"


def test_circles_and_missing_entries_of_a_damaged_store_end_too() -> None:
    assert identity(JobSpec("a", name="a", after="b"), JobSpec("b", name="b", after="a")) is not None
    assert identity(JobSpec("a", name="a", after="gone")) is not None
