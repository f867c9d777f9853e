"""Hints about parameters of jobfiles: each mistake is made, and what is said is then accepted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sshjobs import Builder
from sshjobs.errors import SshjobsError
from sshjobs.inputs.jobfile import load_jobfile
from tests.hints import Row, matches
from tests.hints.test_inputs import jobs, where


def matrix(text: str, command: str = "a") -> Callable[[], object]:
    """Return what reads a jobfile with this matrix."""
    return jobs(f"- commands: {json.dumps(command)}\n  matrix: {text}")


def rows(name: str, data: str) -> Callable[[], object]:
    """Return what reads a jobfile that has its combinations from a table."""
    def act() -> None:
        Path(name).write_text(data)
        load_jobfile("jobs.yaml", f"jobs: [{{commands: a, rows: {name}}}]".encode())
    return act


def given(*rows: object) -> Callable[[], object]:
    return lambda: Builder().AddJob("a", rows=list(rows))  # type: ignore[arg-type]


ROWS = [
    Row("write {lr: [0.1, 1]}", matrix("[0.1, 1]"), matrix("{lr: [0.1, 1]}")),
    Row("write rows: params.csv", jobs("- {commands: a, rows: 5}"), rows("params.csv", "a\n1\n")),
    Row("write one text or number", matrix("{lr: [[1]]}"), matrix("{lr: [one, 1]}")),
    Row("write '' for empty text", matrix("{lr: [null]}"), matrix("{lr: ['']}")),
    Row("use letters, digits and _, and begin with no digit", matrix("{1-x: [1]}"), matrix("{x_1: [1]}")),
    Row("take fewer out", matrix("{lr: [1, 2], exclude: [{lr: 1}, {lr: 2}]}"), matrix("{lr: [1, 2], exclude: [{lr: 1}]}")),
    Row("correct it, or take it out", matrix("{lr: [1, 2], exclude: [{lr: 3}]}"), matrix("{lr: [1, 2], exclude: [{lr: 2}]}")),
    Row("take fewer values, or use more runs", matrix("{a: 1..1001, b: 1..1000}"), matrix("{a: 1..10, b: 1..1000}")),
    Row("give it one value at least", matrix("{lr: []}"), matrix("{lr: [1]}")),
    Row("write [a, b]", matrix("{a: [1], b: [1], zip: a}"), matrix("{a: [1], b: [1], zip: [a, b]}")),
    Row("write [{lr: 0.1}]", matrix("{lr: [0.1, 1], exclude: lr}"), matrix("{lr: [0.1, 1], exclude: [{lr: 0.1}]}")),
    Row("write {lr: 0.1}", matrix("{lr: [0.1, 1], exclude: [lr]}"), matrix("{lr: [0.1, 1], exclude: [{lr: 0.1}]}")),
    Row("complete the shorter one", matrix("{a: [1, 2], b: [1], zip: [a, b]}"), matrix("{a: [1, 2], b: [1, 2], zip: [a, b]}")),
    Row("check the values, or compare texts: [[ $x == 1 ]]", matrix("{x: [a]}", "[[ ${{ x }} -eq 1 ]]"),
        matrix("{x: [a]}", "[[ ${{ x }} == 1 ]]")),
    Row("name them by all parameters, or leave name to numbers",
        jobs("- {commands: a, name: '${{ a }}', matrix: {a: [1], b: [1, 2]}}"),
        jobs("- {commands: a, name: '${{ a }}-${{ b }}', matrix: {a: [1], b: [1, 2]}}\n- {commands: a, matrix: {a: [1, 2]}}")),
    Row("correct the pattern, or make the files first", matrix("{a: {glob: '*.tsv'}}"), matrix("{a: {glob: '*.txt'}}")),
    Row("narrow it", where("sweeplists.MAX_VALUES", 1, matrix("{a: {glob: '*/*.csv'}}")),
        where("sweeplists.MAX_VALUES", 1, matrix("{a: {glob: '*/a.csv'}}"))),
    Row("write one value a line", matrix("{a: {lines: empty}}"), matrix("{a: {lines: list.txt}}")),
    Row("split it", where("sweeplists.MAX_VALUES", 1, matrix("{a: {lines: list.txt}}")),
        where("sweeplists.MAX_VALUES", 1, matrix("{a: {lines: one}}"))),
    Row("write 1..100/10, or 100..1/10 to count down", matrix("{a: 100..1/-10}"),
        lambda: [matrix("{a: 1..100/10}")(), matrix("{a: 100..1/10}")()]),
    Row("give it values beside that, as lr: [0.1, 1]", matrix("{exclude: [{lr: 1}]}"), matrix("{lr: [0.1, 1], exclude: [{lr: 1}]}")),
    Row("correct the path, or make the file first", matrix("{a: {lines: list}}"), matrix("{a: {lines: list.txt}}")),
    Row("say how long it may take at first: timeout: 1h", jobs("- {commands: a, retries: {timed_out: {times: 1, timeout: x2}}}"),
        jobs("- {commands: a, timeout: 1h, retries: {timed_out: {times: 1, timeout: x2}}}")),
    Row("raise that, or take it out here", jobs("- {name: a, commands: a, repeat: 0}\n- {commands: b, after: a}"),
        lambda: [jobs("- {name: a, commands: a, repeat: 1}\n- {commands: b, after: a}")(),
                 jobs("- {name: a, commands: a, repeat: 0}\n- {commands: b}")()]),
    Row("correct one of them", jobs("- {name: a, commands: a, outputs: [x]}\n- {commands: b, after: a, files: [{from: a, path: y}]}"),
        jobs("- {name: a, commands: a, outputs: [x]}\n- {commands: b, after: a, files: [{from: a, path: x}]}")),
    Row("take a larger step", matrix("{a: 1..100000000}"), matrix("{a: 1..100000000/1000}")),
    Row("write the number without it", matrix("{a: 01..10}"), matrix("{a: 1..10}")),
    Row("rename it", rows("t.csv", "a b\n1\n"), rows("t.csv", "a_b\n1\n")),
    Row("rename it", jobs("- {commands: a, rows: list.txt}"), rows("list.csv", "a\n1\n")),
    Row("rename one", rows("t.csv", "a,a\n1,1\n"), rows("t.csv", "a,b\n1,1\n")),
    Row("write one combination a line, below the names of the columns", rows("t.csv", "a\n"), rows("t.csv", "a\n1\n")),
    Row("split the file", where("sweeplists.MAX_VALUES", 1, rows("t.csv", "a\n1\n2\n")),
        where("sweeplists.MAX_VALUES", 1, rows("t.csv", "a\n1\n"))),
    Row('a column with " in it is written "…""…"', rows("t.csv", 'a,b\n"x"y,1\n'), rows("t.csv", 'a,b\n"x""y",1\n')),
    Row("complete the row", rows("t.csv", "a,b\n1\n"), rows("t.csv", "a,b\n1,2\n")),
    Row('write {"lr": 0.1, "seed": 1}', rows("t.jsonl", "[1]\n"), rows("t.jsonl", '{"lr": 0.1, "seed": 1}\n')),
    Row("give each line the same", rows("t.jsonl", '{"a": 1}\n{"b": 1}\n'), rows("t.jsonl", '{"a": 1}\n{"a": 2}\n')),
    Row("write one object a line", rows("t.jsonl", '{"a":\n1}\n'), rows("t.jsonl", '{"a": 1}\n')),
    Row("write one parameter at least", rows("t.jsonl", "{}\n"), rows("t.jsonl", '{"a": 1}\n')),
    Row("put it into quotes", rows("t.jsonl", '{"a": null}\n'), rows("t.jsonl", '{"a": "null"}\n')),
    Row("give one at least", lambda: Builder().AddJob("a", rows=()), given({"a": 1})),
    Row("give each row the same names", given({"a": 1}, {"b": 1}), given({"a": 1}, {"a": 2})),
    Row('put the text with {} into quotes: "{}"', jobs("- argv: [a, ${{ x }}]\n  matrix: {x: [1]}"),
        jobs('- argv: [a, "${{ x }}"]\n  matrix: {x: [1]}')),
    Row("write {} NAME }}, or {} for the text {}", matrix("{x: [1]}", "echo ${{ x"),
        lambda: [matrix("{x: [1]}", "echo ${{ x }}")(), matrix("{x: [1]}", "echo $${{ x")()]),
    Row("write $${{ for the text ${{", jobs("- commands: \"echo '${{ x }}'\""), jobs("- commands: \"echo '$${{ x }}'\"")),
    Row("write <<{} without quotes", matrix("{x: [1]}", 'cat <<"EOF"\n${{ x }}\nEOF'), matrix("{x: [1]}", "cat <<EOF\n${{ x }}\nEOF")),
]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in ("data/a.csv", "data/b.csv"):
        Path(name).touch()
    for name, text in (("list.txt", "one\ntwo\n"), ("one", "one\n"), ("empty", "\n")):
        Path(name).write_text(text)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.hint[:60])
def test_what_a_hint_says_is_accepted(row: Row) -> None:
    with pytest.raises(SshjobsError) as error:
        row.wrong()
    assert matches(row.hint, str(error.value)), error.value
    row.right()


def test_every_way_to_write_a_list_that_is_named_is_accepted() -> None:
    with pytest.raises(SshjobsError, match=r"write \[a, b\], 1\.\.100, \{glob: 'data/\*\.csv'\} or \{lines: list\.txt\}"):
        matrix("{lr: 5}")()
    for text in ("[a, b]", "1..100", "{glob: 'data/*.csv'}", "{lines: list.txt}"):
        matrix(f"{{lr: {text}}}")()
