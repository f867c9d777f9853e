"""Parameters of jobfiles: which combinations there are, what they are called, and what becomes of the texts."""

from __future__ import annotations

import json
import random
import textwrap
import tracemalloc
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from sshjobs import Builder, UsageError
from sshjobs.inputs.jobfile import load_jobfile
from sshjobs.inputs.sweep import Axis, Sweep
from sshjobs.inputs.sweeplists import Range, range_of
from sshjobs.model.params import same_value
from sshjobs.model.spec import JobSpec
from sshjobs.network.session.attempts import launch_spec


def specs(text: str, where: Path) -> list[JobSpec]:
    path = where / "jobs.yaml"
    path.write_text(textwrap.dedent(text))
    return [spec for entry in load_jobfile(path) for spec in entry.specs()]


def swept(matrix: str, where: Path, more: str = "") -> list[dict[str, str]]:
    """Return the parameters of the jobs of a matrix, given as one line of YAML."""
    return [spec.params for spec in specs(f"jobs: [{{commands: a, matrix: {matrix}{more}}}]", where)]


def pairs(found: list[dict[str, str]]) -> list[str]:
    return [" ".join(f"{name}{value}" for name, value in one.items()) for one in found]


def test_all_combinations_are_made_and_the_last_parameter_changes_fastest(tmp_path: Path) -> None:
    assert pairs(swept("{a: [1, 2], b: [x, y], c: [z]}", tmp_path)) == [
        "a1 bx cz", "a1 by cz", "a2 bx cz", "a2 by cz"]


@pytest.mark.parametrize("zipped", ["[a, c]", "[[a, c]]"])
def test_zipped_parameters_are_walked_in_step_where_the_first_of_them_stands(zipped: str, tmp_path: Path) -> None:
    assert pairs(swept(f"{{a: [1, 2], b: [x, y], c: [u, v], zip: {zipped}}}", tmp_path)) == [
        "a1 cu bx", "a1 cu by", "a2 cv bx", "a2 cv by"]


def test_values_are_the_text_that_was_written(tmp_path: Path) -> None:
    assert swept("{a: [0.10, 1e-3, 0755, 1:30, yes, 2024-01-01, '', \"1\", x y]}", tmp_path) == [
        {"a": text} for text in ("0.10", "1e-3", "0755", "1:30", "yes", "2024-01-01", "", "1", "x y")]


def test_excluded_combinations_are_compared_by_number_where_both_are_numbers(tmp_path: Path) -> None:
    assert pairs(swept("{a: [0.10, 1], b: [x, 'y'], exclude: [{a: 1e-1, b: x}, {a: '1', b: y}]}", tmp_path)) == [
        "a0.10 by", "a1 bx"]


def test_what_is_included_is_added_as_github_actions_do_it(tmp_path: Path) -> None:
    # The example of their documentation.
    matrix = """{fruit: [apple, pear], animal: [cat, dog], include: [{color: green}, {color: pink, animal: cat},
      {fruit: apple, shape: circle}, {fruit: banana}, {fruit: banana, animal: cat}]}"""
    assert swept(matrix, tmp_path) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"}, {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"}, {"fruit": "banana", "animal": "cat"}]


def test_a_matrix_may_consist_of_what_is_included(tmp_path: Path) -> None:
    assert swept("{include: [{a: 1, b: 2}, {a: 3}]}", tmp_path) == [{"a": "1", "b": "2"}, {"a": "3"}]


def test_included_and_excluded_ones_agree_with_a_simple_computation() -> None:
    axes = [Axis(("a",), [("1",), ("2",), ("3",)]), Axis(("b", "c"), [("x", "1"), ("y", "2")])]
    excluded = [{"a": "2", "c": "1"}, {"b": "y", "a": "3.0"}]
    included = [{"a": "1", "d": "p"}, {"d": "q", "e": "r"}, {"c": "2.0", "a": "1.0", "e": "s"}, {"a": "2", "b": "x"}]
    expected: list[dict[str, str]] = []
    extra: list[dict[str, str]] = []
    for (a,), (b, c) in product(axes[0].rows, axes[1].rows):
        one = {"a": a, "b": b, "c": c}
        if (a, b) not in (("2", "x"), ("3", "y")):
            added = [{"d": "p"}] if a == "1" else []
            added += [{"d": "q", "e": "r"}, *([{"e": "s"}] if (a, c) == ("1", "2") else [])]
            expected.append({**one, **{name: value for more in added for name, value in more.items()}})
    extra.append({"a": "2", "b": "x"})
    sweep = Sweep(axes, excluded, included)
    found = [{name: value for name, value in zip(sweep.names, values, strict=True) if value is not None}
             for values in sweep.combinations()]
    assert found == [*expected, *extra]
    assert sweep.count() == len(found) == sum(1 for _ in sweep.combinations())


@pytest.mark.parametrize(("text", "values"), [
    ("1..4", "1 2 3 4"), ("1..10/4", "1 5 9"), ("10..1/4", "10 6 2"), ("0..1/0.25", "0 0.25 0.5 0.75 1"),
    ("-1..1", "-1 0 1"), ("5..5", "5"), ("0.1..0.35/0.1", "0.1 0.2 0.3"), ("98..101", "98 99 100 101"),
    ("100..300/100", "100 200 300"), ("0..-1/0.5", "0 -0.5 -1"),
])
def test_ranges_are_exact(text: str, values: str) -> None:
    found = range_of(text)
    assert found is not None and list(found) == values.split() and len(found) == len(values.split())


def test_a_range_is_made_when_it_is_asked_for() -> None:
    found = Range(Decimal(0), Decimal(10_000_000 - 1), Decimal(1))
    assert len(found) == 10_000_000 and found[9_999_999] == "9999999" and found[2:4] == ["2", "3"]


def test_globs_are_in_the_order_of_people_and_lines_are_those_that_are_not_blank(tmp_path: Path) -> None:
    for name in ("a10.csv", "a2.csv", "b1.csv", ".a1.csv", "a1.txt"):
        (tmp_path / name).touch()
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfone\r\n\r\n two \nthree")
    assert swept("{f: {glob: '*.csv'}}", tmp_path) == [{"f": name} for name in ("a2.csv", "a10.csv", "b1.csv")]
    assert swept("{f: {lines: list.txt}}", tmp_path) == [{"f": text} for text in ("one", " two ", "three")]


@pytest.mark.parametrize(("name", "data"), [
    ("rows.csv", b"\xef\xbb\xbflr,tag\r\n0.10,\"a,\"\"b\"\"\"\r\n\r\n1e-3,\r\n"), ("rows.tsv", b"lr\ttag\n0.10\t\"a,\"\"b\"\"\"\n1e-3\t"),
    ("rows.jsonl", b'{"lr": 0.10, "tag": "a,\\"b\\""}\n\n{"tag": "", "lr": 1e-3}\n'),
])
def test_each_row_of_a_table_is_a_combination(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    found = specs(f"jobs: [{{commands: a, rows: {name}, matrix: {{seed: [1, 2]}}}}]", tmp_path)
    assert [spec.params for spec in found] == [
        {"lr": lr, "tag": tag, "seed": seed} for lr, tag in (("0.10", 'a,"b"'), ("1e-3", "")) for seed in "12"]


def test_jobs_are_numbered_and_repeats_come_after_all_combinations(tmp_path: Path) -> None:
    found = specs("jobs: [{name: t, commands: a, repeat: 2, matrix: {a: [x, y]}}, {commands: b, matrix: {a: [x]}}]",
                  tmp_path)
    assert [(spec.name, spec.index, spec.params["a"]) for spec in found] == [
        ("t-1", 1, "x"), ("t-2", 1, "y"), ("t-3", 2, "x"), ("t-4", 2, "y"), ("job-2-1", 1, "x")]
    assert {spec.entry_name for spec in found} == {"t", "job-2"}


def test_names_may_say_the_parameters(tmp_path: Path) -> None:
    found = specs("""\
        jobs:
          - name: t-${{ a }}_${{b}}
            matrix: {a: [x, y], b: [1]}
            commands: a
          - name: ${{ a }}!
            matrix: {a: [p]}
            repeat: 2
            commands: a
        """, tmp_path)
    assert [(spec.name, spec.entry_name) for spec in found] == [
        ("t-x_1", "t"), ("t-y_1", "t"), ("p!-1", "job-2"), ("p!-2", "job-2")]


def test_placeholders_stand_in_every_text(tmp_path: Path) -> None:
    for name in ("x.txt", "y.txt", "in.txt"):
        (tmp_path / name).touch()
    one, two = specs("""\
        defaults: {hosts: ["${{ host }}", spare]}
        jobs:
          - matrix: {f: [x, y], host: ["node1"]}
            argv: [run, "--file=${{ f }}.txt", "$${{ f }}", "${{ raw:f }}"]
            files: ["${{ f }}.txt"]
            stdin: "${{ f }}.txt"
            cwd: /data/${{ f }}
            env: {F: "${{ f }}-${{f}}", G: plain}
        """, tmp_path)
    assert one.argv == ["run", "--file=x.txt", "${{ f }}", "x"] and two.argv == ["run", "--file=y.txt", "${{ f }}", "y"]
    assert (two.files, two.stdin, two.cwd, two.env, two.hosts) == (
        ["y.txt"], "y.txt", "/data/y", {"F": "y-y", "G": "plain"}, ["node1", "spare"])
    assert one.repeats(two)


def test_jobs_of_an_entry_have_one_script_and_are_told_their_values(tmp_path: Path) -> None:
    one, two = specs("jobs: [{commands: ['run ${{ lr }}'], env: {A: b}, matrix: {lr: [0.1, 1], include: [{lr: 1, x: é}]}}]",
                     tmp_path)
    assert launch_spec(one)["script"] == launch_spec(two)["script"] == 'run "${SSHJOBS_PARAM_lr}"\n'
    assert launch_spec(one)["env"] == {"A": "b", "SSHJOBS_PARAM_lr": "0.1", "SSHJOBS_PARAMS": '{"lr": "0.1"}'}
    assert launch_spec(two)["env"]["SSHJOBS_PARAM_x"] == "é"
    assert json.loads(launch_spec(two)["env"]["SSHJOBS_PARAMS"]) == {"lr": "1", "x": "é"}
    assert one.kind == two.kind


def test_raw_text_is_part_of_the_script(tmp_path: Path) -> None:
    one, two = specs("jobs: [{commands: ['run ${{ raw:o }} ${{ o }}'], matrix: {o: ['-a -b', '']}}]", tmp_path)
    assert one.cmds == ['run -a -b "${SSHJOBS_PARAM_o}"'] and two.cmds == ['run  "${SSHJOBS_PARAM_o}"']
    assert one.kind == two.kind


def test_without_parameters_a_dollar_more_makes_text(tmp_path: Path) -> None:
    (found,) = specs("""\
        jobs:
          - name: a$${{ b
            argv: [echo, "$${{ github.sha }}", $$]
            env: {A: "$${{ x }}"}
        """, tmp_path)
    assert (found.name, found.argv, found.env) == ("a${{ b", ["echo", "${{ github.sha }}", "$$"], {"A": "${{ x }}"})


def test_a_program_gives_values_of_its_own_types(tmp_path: Path) -> None:
    matrix: dict[str, Any] = {"lr": [0.1, 1e-05], "n": range(2), "flag": (True,), "path": [tmp_path]}
    found = Builder().AddJob("run ${{ lr }}", name="t", matrix=matrix).job_specs
    assert [spec.params for spec in found[:2]] == [
        {"lr": "0.1", "n": n, "flag": "true", "path": str(tmp_path)} for n in "01"]
    assert [spec.name for spec in found] == ["t-1", "t-2", "t-3", "t-4"] and found[3].params["lr"] == "1e-05"
    rows = [{"a": 1, "b": "x"}, {"b": "y", "a": 2}]
    assert [spec.params for spec in Builder().AddJob(argv=["${{ b }}"], rows=rows, name="${{ a }}").job_specs] == [
        {"a": "1", "b": "x"}, {"a": "2", "b": "y"}]
    (tmp_path / "rows.csv").write_text("a\n7\n")
    (spec,) = Builder().AddJob("a", rows=tmp_path / "rows.csv", base_dir=tmp_path).job_specs
    assert spec.params == {"a": "7"} and spec.name == "job-1"


@pytest.mark.parametrize(("given", "complaint"), [
    ({"matrix": {}}, "matrix must be a mapping of parameters to lists, got an empty one"),
    ({"matrix": {"a": "x"}}, "matrix.a must be a list, got the text 'x'"),
    ({"matrix": {"a": [None]}}, "matrix.a, item 1, must be text or a number, got nothing"),
    ({"matrix": {"a": [object()]}}, "matrix.a, item 1, must be text or a number"),
    ({"rows": [{"a": 1}, {"b": 1}]}, "rows: row 2 is no mapping of a"),
    ({"rows": []}, "rows: there are no rows; give one at least"),
    ({"rows": "no.csv"}, "rows: 'no.csv' cannot be read"),
    ({"matrix": {"a": [1]}, "name": "${{ b }}"}, "name: there is no parameter 'b'; there are a"),
    ({"matrix": {"a": range(10_000_000)}}, "this would make 10,000,000 jobs, the limit is 1,000,000"),
    ({}, "commands: there is no parameter 'a'; the entry has no matrix"),
])
def test_a_program_is_told_its_first_mistake(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError) as error:
        Builder().AddJob(["run ${{ a }}"], **given)
    assert complaint in str(error.value)


def test_any_sweep_has_the_combinations_that_a_plain_reading_gives() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        names, values = "abcde"[: rng.randint(1, 4)], ["1", "1.0", "2", "x", ""]
        axes = [Axis((name,), [(value,) for value in rng.sample(values, rng.randint(1, 4))]) for name in names]

        excluded, included = (
            [{name: rng.choice(values) for name in rng.sample(choice, rng.randint(1, len(choice)))}
             for _ in range(rng.randint(0, 4))] for choice in (names, names + "yz"))
        expected: list[dict[str, str]] = []
        for row in product(*(axis.rows for axis in axes)):
            one = dict(zip(names, (value for (value,) in row), strict=True))
            if not any(all(same_value(one[name], value) for name, value in out.items()) for out in excluded):
                expected.append(one)
        originals, used = [dict(one) for one in expected], set[int]()
        for one, original in zip(expected, originals, strict=True):
            for n, more in enumerate(included):
                if all(same_value(original[name], value) for name, value in more.items() if name in original):
                    used.add(n)
                    one.update({name: value for name, value in more.items() if name not in original})
        expected += [more for n, more in enumerate(included) if n not in used]
        sweep = Sweep(axes, excluded, included)
        found = [{name: value for name, value in zip(sweep.names, row, strict=True) if value is not None}
                 for row in sweep.combinations()]
        assert found == expected and sweep.count() == len(found), f"seed {seed}"


@pytest.mark.parametrize(("matrix", "command", "complaint"), [
    ({"a": ["x" * 131_072]}, "run", "the parameter a of a job has more than 131,071 bytes"),
    ({"a": ["x" * 70_000], "b": ["y" * 70_000]}, "run", "all parameters of a job have more than 131,071 bytes"),
    ({"a": ["x" * 40_000]}, " ".join(["${{ raw:a }}"] * 25), "commands, argv and env of a job together have more than 900,000 bytes"),
])
def test_a_job_that_would_be_too_large_is_told(matrix: dict[str, Any], command: str, complaint: str) -> None:
    Builder().AddJob(command, matrix={name: ["short", value[:20]] for name, (value,) in matrix.items()})
    with pytest.raises(UsageError) as error:
        Builder().AddJob(command, matrix=matrix)
    assert complaint in str(error.value)


def test_a_sweep_takes_little_more_memory_than_repeats() -> None:
    def per_job(**what: Any) -> float:
        tracemalloc.start()
        try:
            made = Builder().AddJob("run ${{ a }}" if "matrix" in what else "run", name="x", **what).MakeJobSpecs()
            return tracemalloc.get_traced_memory()[0] / len(made)
        finally:
            tracemalloc.stop()

    repeats = per_job(repeat=20_000)
    matrix = {"a": range(200), "b": [f"value {n}" for n in range(100)]}
    assert per_job(matrix=matrix) < repeats + 100
    # Texts with placeholders are shared as well.
    assert per_job(matrix=matrix, env={"A": "${{ a }}"}, cwd="/${{ b }}") < repeats + 100
